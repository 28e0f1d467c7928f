package app_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/functions/trigger"
)

// TestUploadLimitsAreWhatThePagesSay: the request API's own default, and terraform's.
func TestUploadLimitsAreWhatThePagesSay(t *testing.T) {
	read := func(page string) string {
		body, err := os.ReadFile("../" + page)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	found := regexp.MustCompile(`(?s)variable "max_upload_bytes" \{.*?default += (\d+)`).FindStringSubmatch(read("terraform/variables_callers.tf"))
	if found == nil {
		t.Fatal("terraform/variables_callers.tf: no default of max_upload_bytes")
	}
	deployed, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil || deployed > trigger.MaxUploadBytes {
		t.Fatalf("terraform allows %d bytes, more than the code's own %d: %v", deployed, int64(trigger.MaxUploadBytes), err)
	}
	gib := func(n int64) string { return fmt.Sprintf("%g GiB", float64(n)/(1<<30)) }
	for page, says := range map[string][]string{
		"docs/api.md":                    {gib(deployed) + " in Google Cloud", gib(trigger.MaxUploadBytes) + " on a laptop"},
		"functions/trigger/openapi.json": {gib(deployed) + " in a deployment by terraform", gib(trigger.MaxUploadBytes) + " where nothing is configured"},
		"docs/operations.md":             {"| `max_upload_bytes` | " + gib(deployed)},
	} {
		for _, what := range says {
			if !strings.Contains(read(page), what) {
				t.Errorf("%s does not say %q", page, what)
			}
		}
	}
}
