package cost

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

// TestDocumentedTables fails when docs/operations.md does not hold what the program prints.
func TestDocumentedTables(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(text), "<!-- go run ./infra/cost/cmd -->\n")
	documented, _, ended := strings.Cut(rest, "<!-- end -->")
	if !begun || !ended {
		t.Fatal("docs/operations.md lacks the marks around the output of go run ./infra/cost/cmd")
	}
	var printed bytes.Buffer
	if err := Print(&printed); err != nil {
		t.Fatal(err)
	}
	if documented != printed.String() {
		t.Errorf("docs/operations.md does not hold what go run ./infra/cost/cmd prints; it should be:\n%s", printed.String())
	}
}

// TestSizesAreTerraforms compares the machines priced here with the ones that terraform makes.
func TestSizesAreTerraforms(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "terraform", "variables_stages.tf"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(\w+)\s*= \{ image = .*cpu = (\d+), memory_gib = (\d+),.*max_executions = (\d+)`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[4] + " of " + m[2] + "/" + m[3]
	}
	for _, m := range regexp.MustCompile(`(?s)variable "(\w+)_gpu" \{.*?cpu\s*= optional\(number, (\d+)\).*?memory_gib = optional\(number, (\d+)\)`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]+" with GPU"] = m[2] + "/" + m[3]
	}
	for _, stage := range pipeline.Stages() {
		if work50[string(stage)] == (Work{}) {
			t.Errorf("stage %s costs nothing: give it a line in work50", stage)
		}
	}
	machines := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(\w+)\s*= \{ image = .*machine = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		machines[m[1]] = m[2]
	}
	for _, stage := range pipeline.Stages() {
		before, ok := stage.Previous()
		shared := ok && machines[string(stage)] != "" && machines[string(stage)] == machines[string(before)]
		if priced := continued[string(stage)]; shared != (ok && priced == string(before)) || !shared && priced != "" {
			t.Errorf("terraform puts %s on the machine of %q, priced as continuing after %q", stage, machines[string(stage)], priced)
		}
	}
	priced := map[string]string{}
	for stage, m := range sizes {
		priced[stage] = fmt.Sprintf("%d of %.0f/%.0f", slots[stage], m.VCPU, m.MemoryGiB)
	}
	for stage, m := range gpuSizes {
		priced[stage+" with GPU"] = fmt.Sprintf("%.0f/%.0f", m.VCPU, m.MemoryGiB)
	}
	if fmt.Sprint(found) != fmt.Sprint(priced) {
		t.Errorf("terraform makes %v\n   priced are %v", found, priced)
	}
}

// TestPricesAreTerraforms compares the list prices with the defaults that terraform gives to workers for their estimates.
func TestPricesAreTerraforms(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "terraform", "variables_stages.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]Price{`vcpu_s = optional\(number, ([0-9.]+)\)`: VCPU, `gib_s  = optional\(number, ([0-9.]+)\)`: Memory, `"nvidia-l4" = ([0-9.]+)`: L4} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
		if m == nil {
			t.Errorf("no price for %s", want.Name)
		} else if got, err := strconv.ParseFloat(m[1], 64); err != nil || got != want.USD {
			t.Errorf("%s costs %s, priced are %v", want.Name, m[1], want.USD)
		}
	}
}

// TestWorkedExample is the arithmetic of the price list's own worked example: an L4 with 4 vCPU and 16 GiB is 1.05 an hour,
// with 8 and 32 it is 1.42.
func TestWorkedExample(t *testing.T) {
	for _, test := range []struct {
		m    Machine
		want float64
	}{{Machine{4, 16, true}, 1.05}, {Machine{8, 32, true}, 1.42}} {
		if got := 3600 * test.m.PerSecond(); !(math.Abs(got-test.want) <= 0.005) {
			t.Errorf("%+v costs %.3f an hour, want %.2f", test.m, got, test.want)
		}
	}
	for work, want := range map[float64]float64{1: OverheadS + 1, MinimumS: OverheadS + MinimumS} {
		short := Stage{Machine: Machine{VCPU: 1, MemoryGiB: 1}, Work: Work{WallS: work}}
		if got := short.Seconds(); got != max(MinimumS, want) {
			t.Errorf("%v s of work are billed as %v s, want %v", work, got, want)
		}
	}
}

// TestAlertsAreTerraforms compares the number of alert conditions that are billed with those that terraform makes.
func TestAlertsAreTerraforms(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "terraform", "monitoring.tf"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`(?m)^    "([A-Z][^"]+)" = \{$`).FindAllString(string(text), -1)); n != Alerts {
		t.Errorf("terraform makes %d alerts, priced are %d", n, Alerts)
	}
}

// TestEveryEngineHasABill: each of the queue's engines has a column, and the small machine is the cheapest that runs here.
func TestEveryEngineHasABill(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "terraform", "variables_kept.tf"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`contains\(\[([^\]]*)\], var\.redis\.engine\)`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("terraform/variables_kept.tf does not say which engines there are")
	}
	names, bills := Engines()
	for _, engine := range regexp.MustCompile(`\w+`).FindAllString(m[1], -1) {
		if !strings.Contains(strings.Join(names, " "), engine) {
			t.Errorf("no bill for engine %s", engine)
		}
	}
	for i, bill := range bills {
		if cheapest := Total(bills[0]); i > 0 && names[i][:3] != "url" && !(cheapest < Total(bill)) {
			t.Errorf("%s costs %.2f a month, %s %.2f", names[0], cheapest, names[i], Total(bill))
		}
	}
}
