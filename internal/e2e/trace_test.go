package e2e

import (
	"encoding/json"
	"testing"

	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
)

// checkTrace holds the story of a COMPLETED request, as the terminal gets it, to what was done to it: its trainer was killed.
func (b *backend) checkTrace(a accepted) {
	t := b.t
	t.Helper()
	code, stdout, stderr := splatworks(t, "trace", a.RequestID, "--operators", b.logged(`"unix_socket":"([^"]+)"`), "--json")
	if code != 0 {
		t.Fatalf("trace: exit %d: %s", code, stderr)
	}
	var s story.Story
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if s.Status != pipeline.Completed || len(s.Stages) != len(pipeline.Stages()) || !(s.Sum.WorkS > 0) || !(s.Sum.WorkS <= s.Sum.TotalS) {
		t.Fatalf("%s", stdout)
	}
	for _, line := range s.Stages {
		checkStageStory(t, line)
	}
}

func checkStageStory(t *testing.T, line story.Stage) {
	t.Helper()
	last := line.Attempts[len(line.Attempts)-1]
	if line.State != story.Done || last.Outcome != "finished" || !(last.WorkS > 0) {
		t.Errorf("%+v", line)
	}
	switch first := line.Attempts[0]; line.Stage {
	case pipeline.Train:
		if len(line.Attempts) < 2 || first.Outcome != "lost" || first.Code != "worker_lost" || !(first.WorkS > 0) {
			t.Errorf("the trainer was killed: %+v", line.Attempts)
		}
	case pipeline.Preprocess:
		if len(line.Programs) == 0 || len(line.Steps) == 0 {
			t.Errorf("COLMAP has no times: %+v", line)
		}
	}
}
