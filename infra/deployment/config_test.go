package deployment

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestExampleHasTerraformsDefaults: splatworks.example.yaml promises the values that hold without it.
func TestExampleHasTerraformsDefaults(t *testing.T) {
	var example struct {
		Stages map[string]struct {
			Slots, CPU int
			Machine    string
			Memory     int `yaml:"memory_gib"`
			Timeout    int `yaml:"timeout_s"`
		}
		Limits, Prices map[string]any
		OfAll          map[string]any `yaml:"limits_of_all"`
		Retention      map[string]any `yaml:"retention_days"`
	}
	if err := yaml.Unmarshal([]byte(text(t, "splatworks.example.yaml")), &example); err != nil {
		t.Fatal(err)
	}
	variables := allVariables(t)
	rows := regexp.MustCompile(`(?m)^    (\w+) +=( \{ image = .*)$`).FindAllStringSubmatch(variables, -1)
	if len(rows) != 5 || len(example.Stages) != len(rows) {
		t.Fatalf("%d stages of terraform, %d of the example", len(rows), len(example.Stages))
	}
	field := func(row, name string) string {
		m := regexp.MustCompile(` ` + name + ` = "?(\w+)"?`).FindStringSubmatch(row)
		if m == nil {
			return ""
		}
		return m[1]
	}
	for _, row := range rows {
		s := example.Stages[row[1]]
		for name, value := range map[string]any{"cpu": s.CPU, "memory_gib": s.Memory, "timeout_s": s.Timeout, "max_executions": s.Slots, "machine": s.Machine} {
			if got, want := field(row[2], name), strings.TrimSpace(strings.Trim(toText(value), `"`)); got != want {
				t.Errorf("%s: terraform's %s is %s, the example's %s", row[1], name, got, want)
			}
		}
	}
	compared := 0
	for _, section := range []map[string]any{example.Limits, example.OfAll, example.Prices, example.Retention} {
		for name, value := range section {
			m := regexp.MustCompile(`(?m)^ +` + name + ` +=.*optional\(number, ([0-9.]+)\)`).FindStringSubmatch(variables)
			if m == nil {
				continue // prices.gpu_s: infra/cost compares it
			}
			compared++
			var want any
			if err := yaml.Unmarshal([]byte(m[1]), &want); err != nil || toText(want) != toText(value) {
				t.Errorf("%s: terraform has %s, the example %v", name, m[1], value)
			}
		}
	}
	if compared != 16 {
		t.Errorf("%d values were compared", compared)
	}
}

func toText(v any) string {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// TestTerraformReadsTheFile with the real terraform: what it says becomes variables, and what it may not say ends the deployment.
func TestTerraformReadsTheFile(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform in PATH")
	}
	none := filepath.Join(t.TempDir(), "none.tfrc")
	if err := os.WriteFile(none, []byte("disable_checkpoint = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "splatworks.yaml")
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		command := exec.Command("sh", filepath.Join("..", "..", "terraform", "build", "config.sh"), "prod")
		command.Env = append(os.Environ(), "CONFIG="+path, "TF_CLI_CONFIG_FILE="+none)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := read(""); err != nil || out != "{}\n" {
		t.Errorf("without a file: %v %s", err, out)
	}
	out, err := read("stages: {train: {slots: 3}}\nmodels: {depth: {a: 80, b: 20}}\npresets: {high: {max_images: 90}}\ntenants: {app: {max_usd_day: 3}}\nlimits_of_all: {max_minutes_day: 5}\nretention_days: {uploads: 2}\n")
	for _, want := range []string{`"depth_shares":{"a":80,"b":20}`, `"presets":{"high":{"max_images":90}}`, `"api_key_limits":{"app":{"max_usd_day":3}}`, `"limits_of_all":{"max_minutes_day":5,"max_upload_bytes_day":0,"max_usd_day":0}`, `"retention_days":{"artifacts":90,"manifests":90,"uploads":2}`,
		`"train":{"cpu":8,"disk_gib":null,"image":"train","machine":"splats","max_executions":3,`} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v, want %s in\n%s", err, want, out)
		}
	}
	for text, want := range map[string]string{"stages: {train: {slotz: 3}}\nstages2: {}\n": "stages2", "a: &a [x]\nb: *a\n": "has anchors", "x: " + strings.Repeat("y", 70000): "larger than 64 KiB"} {
		if out, err := read(text); err == nil || !strings.Contains(out, want) {
			t.Errorf("%.40s: %v %s", text, err, out)
		}
	}
}
