package machine

import (
	"strings"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

func TestDepthIsOptionalWithoutAHome(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "SPLATWORKS_TOOLS", "SPLATWORKS_MODELS"} {
		t.Setenv(name, "")
	}
	if _, err := Stage(pipeline.Depth); err != nil {
		t.Errorf("what is optional stops the start: %v", err)
	}
}

func TestTooLittleMemoryIsSaidInWords(t *testing.T) {
	for limit, ok := range map[uint64]bool{800 << 20: false, LeastMemory - 1: false, LeastMemory: true, ^uint64(0): true} {
		if err := checkMemory(limit); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "ulimit -v") {
			t.Errorf("%d bytes: %v", limit, err)
		}
	}
}

// TestEveryStageHasADefinition: tools may be missing here, a stage may not.
func TestEveryStageHasADefinition(t *testing.T) {
	for _, s := range pipeline.Stages() {
		if d, err := Stage(s); d.Stage != s || d.Run == nil {
			t.Errorf("stage %s is %q here: %v", s, d.Stage, err)
		}
	}
}
