// Package deployment holds no code: its tests hold terraform/, the programs' configuration and docs/operations.md to one
// another, and run terraform/check.sh.
package deployment

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/app"
)

// notSet lists the variables that a program reads and terraform rightly does not set.
var notSet = map[string]string{
	"PORT":                        "Cloud Run sets it for services",
	"STORAGE_EMULATOR_HOST":       "an emulator's address, on a laptop",
	"PUBSUB_EMULATOR_HOST":        "the same",
	"LOOPBACK_WEBHOOKS":           "a laptop's own receivers",
	"WORKER_NAME":                 "a laptop's launcher, which sees how its workers end",
	"DEPTH_MODELS":                "depth's image sets it, which holds them",
	"ONNXRUNTIME_LIBRARY":         "the same",
	"DEPTH_PROVIDER":              "auto is right for both of depth's images",
	"OTEL_EXPORTER_OTLP_ENDPOINT": "the services reach nothing outside Google and the queue; Cloud Monitoring has the dashboard",
	"TRAIN_DEVICE":                "auto is right for both of train's images",
}

// notOurs lists the variables that terraform sets for somebody else than app.
var notOurs = map[string]string{
	"FUNCTION_TARGET": "read by functions-framework-go: which function a container is",
}

// TestConfigurationNames fails when terraform sets a variable that no program reads, or a program reads one that nobody
// sets. It reads the .tf files as text, so it needs no terraform.
func TestConfigurationNames(t *testing.T) {
	set := namesInTerraform(t)
	read := namesInConfig(reflect.TypeFor[app.Config](), "")
	if len(read) < 10 || len(set) < 10 {
		t.Fatalf("%d names read and %d set: the comparison would prove nothing", len(read), len(set))
	}
	for name, where := range set {
		if _, known := read[name]; !known && notOurs[name] == "" {
			t.Errorf("%s sets %s, which no program reads", where, name)
		}
	}
	for name := range read {
		if set[name] == "" && notSet[name] == "" {
			t.Errorf("app reads %s, which terraform does not set", name)
		}
		if set[name] != "" && notSet[name] != "" {
			t.Errorf("%s sets %s, but: %s", set[name], name, notSet[name])
		}
	}
}

// upperKey finds an argument or map key in capitals, which in these files is always the name of an environment variable.
var upperKey = regexp.MustCompile(`(?:^|[\s{(,])([A-Z][A-Z0-9_]{2,})\s*=[^=>]`)

// namesInTerraform returns the variables set by any .tf file, with the file that sets them.
func namesInTerraform(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	root := filepath.Join("..", "..", "terraform")
	for _, pattern := range []string{"*.tf", "modules/*/*.tf"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				code, _, _ := strings.Cut(line, "#")
				for _, match := range upperKey.FindAllStringSubmatch(stringLiteral.ReplaceAllString(code, `""`), -1) {
					names[match[1]] = strings.TrimPrefix(file, filepath.Join("..", "..")+"/")
				}
			}
		}
	}
	return names
}

// TestSettingsAreDocumented compares the tables under Settings in docs/operations.md with terraform's variables and with what the
// programs read.
func TestSettingsAreDocumented(t *testing.T) {
	_, rest, begun := strings.Cut(text(t, "docs", "operations.md"), "\n## Settings\n")
	section, _, ended := strings.Cut(rest, "\n## ")
	if !begun || !ended {
		t.Fatal("docs/operations.md has no section Settings")
	}
	variables, others, _ := strings.Cut(section, "What else the programs read")
	documented, read := map[string]int{}, map[string]int{}
	for line := range strings.Lines(variables) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]]++
			}
			others += cells[4]
		}
	}
	for _, m := range regexp.MustCompile("`([A-Z][A-Z0-9_]+)`").FindAllStringSubmatch(others, -1) {
		read[m[1]]++
	}
	same(t, "variables of terraform", documented, regexp.MustCompile(`(?m)^variable "(\w+)"`).FindAllStringSubmatch(allVariables(t), -1))
	var names [][]string
	for name := range namesInConfig(reflect.TypeFor[app.Config](), "") {
		names = append(names, []string{name, name})
	}
	same(t, "variables of the programs", read, names)
}

// same fails for what is documented and does not exist, exists and is not documented, or is documented twice.
func same(t *testing.T, what string, documented map[string]int, existing [][]string) {
	t.Helper()
	if len(existing) < 20 {
		t.Fatalf("%d %s were found", len(existing), what)
	}
	for _, m := range existing {
		if n := documented[m[1]]; n != 1 {
			t.Errorf("%s: %s is documented %d times", what, m[1], n)
		}
		delete(documented, m[1])
	}
	for name := range documented {
		t.Errorf("%s: %s is documented and does not exist", what, name)
	}
}

var stringLiteral = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// namesInConfig returns the names in the env tags of a struct and of the structs in it; true for required ones.
func namesInConfig(structure reflect.Type, prefix string) map[string]bool {
	names := map[string]bool{}
	for _, field := range reflect.VisibleFields(structure) {
		tag, tagged := field.Tag.Lookup("env")
		parts := strings.Split(tag, ",")
		nested := field.Type
		if nested.Kind() == reflect.Pointer {
			nested = nested.Elem()
		}
		if nested.Kind() == reflect.Struct && parts[0] == "" && !field.Anonymous {
			inner := prefix
			for _, part := range parts[1:] {
				if p, ok := strings.CutPrefix(strings.TrimSpace(part), "prefix="); ok {
					inner += p
				}
			}
			for name, required := range namesInConfig(nested, inner) {
				names[name] = required
			}
			continue
		}
		if tagged && parts[0] != "" {
			names[prefix+parts[0]] = slices.ContainsFunc(parts[1:], func(p string) bool { return strings.TrimSpace(p) == "required" })
		}
	}
	return names
}
