package monitoring

import (
	"bytes"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFilesAreWritten fails when a file is not what the table says.
func TestFilesAreWritten(t *testing.T) {
	for file, write := range map[string]func(io.Writer) error{"dashboard.json": WriteDashboard, "rules.yaml": WriteRules} {
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		if read(t, file) != want.String() {
			name, _, _ := strings.Cut(file, ".")
			t.Errorf("%s is not up to date: go run ./infra/monitoring/cmd %s >infra/monitoring/%s", file, name, file)
		}
	}
}

// TestTerraformIsCovered: each of terraform's charts and alerts is in the table or has a reason why not, with its severity and threshold.
func TestTerraformIsCovered(t *testing.T) {
	monitoring, variables := read(t, "../../terraform/monitoring.tf"), read(t, "../../terraform/variables_kept.tf")
	cloud := map[string]bool{}
	for _, m := range regexp.MustCompile(`"title": "([^"]+)"`).FindAllStringSubmatch(read(t, "../../terraform/dashboard.json.tftpl"), -1) {
		cloud[m[1]] = true
	}
	alerts := map[string]string{} // name -> its lines
	for _, m := range regexp.MustCompile(`(?m)^    "([A-Z][^"]+)" = \{\n((?:      .*\n)+)`).FindAllStringSubmatch(monitoring, -1) {
		alerts[m[1]] = m[2]
	}
	if len(cloud) < 9 || len(alerts) < 8 {
		t.Fatalf("%d charts and %d alerts of terraform", len(cloud), len(alerts))
	}
	covered := maps.Clone(Elsewhere)
	for _, c := range Charts {
		if c.Cloud != "" && !cloud[c.Cloud] {
			t.Errorf("terraform has no chart %q", c.Cloud)
		}
		covered[c.Cloud] = c.Title
		a := c.Alert
		if a == nil {
			continue
		}
		covered[a.Name] = c.Title
		body := alerts[a.Name]
		if !strings.Contains(body, `severity = "`+a.Severity+`"`) {
			t.Errorf("%s: severity %s is not terraform's:\n%s", a.Name, a.Severity, body)
		}
		threshold, seconds := field(body, "threshold"), field(body, "duration_s")
		if name, ok := strings.CutPrefix(threshold, "var.alert_thresholds."); ok {
			threshold = regexp.MustCompile(name + ` += optional\(number, ([0-9.]+)\)`).FindStringSubmatch(variables)[1]
		}
		if v, err := strconv.ParseFloat(threshold, 64); err != nil || v != a.Threshold {
			t.Errorf("%s: threshold %g, terraform has %s", a.Name, a.Threshold, threshold)
		}
		if d, err := strconv.Atoi(strings.TrimSuffix(a.For, "m")); err != nil || strconv.Itoa(60*d) != seconds {
			t.Errorf("%s: for %s, terraform has %s s", a.Name, a.For, seconds)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(cloud)), slices.Collect(maps.Keys(alerts))) {
		if covered[name] == "" {
			t.Errorf("terraform has %q: give it a chart, or say in Elsewhere where its numbers are", name)
		}
	}
	for name := range Elsewhere {
		if !cloud[name] && alerts[name] == "" {
			t.Errorf("Elsewhere has %q, and terraform does not", name)
		}
	}
}

func field(body, name string) string {
	m := regexp.MustCompile(name + ` = ([^,]+),`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

// TestQueriesNameMetrics that docs/operations.md lists with these labels: a test of functions/operators holds that table to what is served.
func TestQueriesNameMetrics(t *testing.T) {
	labels := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(splatworks_[a-z_]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(read(t, "../../docs/operations.md"), -1) {
		labels[m[1]] = m[2]
	}
	used := 0
	for _, c := range Charts {
		queries := c.Query
		if c.Alert != nil {
			queries += " " + c.Alert.Query
		}
		if strings.Count(queries, "(") != strings.Count(queries, ")") {
			t.Errorf("%s: brackets", c.Title)
		}
		for _, name := range regexp.MustCompile(`splatworks_[a-z_]+`).FindAllString(queries, -1) {
			has, known := labels[strings.TrimSuffix(name, "_bucket")]
			if !known {
				t.Errorf("%s: there is no metric %s", c.Title, name)
			}
			for _, l := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(c.Legend, -1) {
				if l[1] != "quantile" && !strings.Contains(has, "`"+l[1]+"`") {
					t.Errorf("%s: %s has no label %s", c.Title, name, l[1])
				}
			}
			used++
		}
	}
	if used < len(Charts) {
		t.Errorf("%d metrics in %d charts", used, len(Charts))
	}
}
