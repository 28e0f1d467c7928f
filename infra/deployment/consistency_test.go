package deployment

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

func text(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// allVariables is everything that terraform can be given, of all files that declare them.
func allVariables(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "terraform", "variables*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all strings.Builder
	for _, file := range files {
		all.WriteString(text(t, "terraform", filepath.Base(file)))
	}
	return all.String()
}

// TestImagesHoldTheirPrograms: terraform starts /app/STAGE in the image of a stage's job, so that image's Dockerfile must
// put it there; and the build must make every image that terraform asks for.
func TestImagesHoldTheirPrograms(t *testing.T) {
	images := map[string]string{} // by stage
	for _, m := range regexp.MustCompile(`(?m)^\s+(\w+)\s*= \{ image = "(\w+)"`).FindAllStringSubmatch(text(t, "terraform", "variables_stages.tf"), -1) {
		images[m[1]] = m[2]
	}
	build := text(t, "cloudbuild.yaml")
	for _, stage := range pipeline.Stages() {
		kind := images[string(stage)]
		if kind == "" {
			t.Errorf("terraform names no image for stage %s", stage)
			continue
		}
		dockerfile := text(t, "infra", "docker", kind+".Dockerfile")
		copied := regexp.MustCompile(`(?m)^COPY --from=\w+ .*/` + string(stage) + `\b.* /app/$`).MatchString(dockerfile)
		if !copied {
			t.Errorf("%s.Dockerfile puts no %s into /app", kind, stage)
		}
		if next, ok := continues[stage]; ok {
			tools := regexp.MustCompile(`/install\.sh (\w+)`)
			has, needs := tools.FindStringSubmatch(dockerfile), tools.FindStringSubmatch(text(t, "infra", "docker", images[string(next)]+".Dockerfile"))
			if has == nil || needs == nil || has[1] != needs[1] {
				t.Errorf("%s.Dockerfile installs %q, and the worker of %s continues with %s, which needs %q", kind, has, stage, next, needs)
			}
		}
		if !strings.Contains(build, "infra/docker/build.sh "+kind+"\n") {
			t.Errorf("cloudbuild.yaml does not build %s", kind)
		}
		for _, m := range regexp.MustCompile(`(?m)^    waitFor: \[.*\bstatic, .*\]$`).FindAllString(build, -1) {
			if !regexp.MustCompile(`\b` + kind + `\b`).MatchString(m) {
				t.Errorf("cloudbuild.yaml does not wait for %s in %q", kind, strings.TrimSpace(m))
			}
		}
		for _, script := range []string{"terraform/build/images.sh", "terraform/build/settings.sh", "terraform/check.sh", "terraform/variables.tf", "infra/docker/build.sh"} {
			if !regexp.MustCompile(`(?:static|kind).*\b` + kind + `\b|"` + kind + `"`).MatchString(text(t, script)) {
				t.Errorf("%s does not list image %s", script, kind)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join("..", "docker", "*.Dockerfile"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d Dockerfiles, %v", len(files), err)
	}
	for _, file := range files {
		content := text(t, "infra", "docker", filepath.Base(file))
		stages := regexp.MustCompile(`(?m)^FROM `).Split(content, -1)
		if final := stages[len(stages)-1]; !strings.Contains(content, "USER 65532:65532") || strings.Contains(final, "\nRUN ") {
			t.Errorf("%s: the image must run as 65532 and its last stage must need no shell", filepath.Base(file))
		}
		for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(content, -1) {
			if !strings.HasPrefix(from[1], "${") && from[1] != "scratch" && !regexp.MustCompile(`(?m)^FROM \S+ AS `+from[1]+`$`).MatchString(content) {
				t.Errorf("%s: base %s must be an argument, given by digest", filepath.Base(file), from[1])
			}
		}
	}
}

// TestEveryAlertHasARunbook compares the alerts with the runbook's sections, and the backend's tick with the log filter.
func TestEveryAlertHasARunbook(t *testing.T) {
	monitoring := text(t, "terraform", "monitoring.tf")
	var alerts []string
	for _, m := range regexp.MustCompile(`(?m)^    "([A-Z][^"]+)" = \{$`).FindAllStringSubmatch(monitoring, -1) {
		alerts = append(alerts, m[1])
	}
	_, runbook, found := strings.Cut(text(t, "docs", "operations.md"), "\n## Runbook\n")
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	if !found || len(alerts) < 5 {
		t.Fatalf("%d alerts, runbook there: %t", len(alerts), found)
	}
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(runbook, -1) {
		sections = append(sections, m[1])
	}
	slices.Sort(alerts)
	slices.Sort(sections)
	if !slices.Equal(alerts, sections) {
		t.Errorf("alerts   %q\nsections %q", alerts, sections)
	}
	tick := text(t, "functions", "operators", "tick.go")
	for _, name := range []string{`"tick"`, `"expired_leases"`, `"oldest_ready_s"`, `"ended"`} {
		if !strings.Contains(tick, name) || !strings.Contains(monitoring, strings.Trim(name, `"`)) {
			t.Errorf("%s must stand in functions/operators/tick.go and in monitoring.tf", name)
		}
	}
}
