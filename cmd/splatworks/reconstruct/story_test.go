package reconstruct

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
)

// TestStoryOfARun: an attempt whose process died without a report is in it while the run has its queue; what is in the folder is enough for
// every other.
func TestStoryOfARun(t *testing.T) {
	w := newWorld(t, "dies once")
	r, err := w.prepare("input", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := r.Story(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := Story(t.Context(), w.dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for s, lost := range map[*story.Story]bool{found: true, left: false} {
		if s.Status != pipeline.Completed || len(s.Stages) != len(pipeline.Stages()) || !(s.Sum.WorkS > 0) || !(s.Sum.TotalS >= s.Sum.WorkS) {
			t.Fatalf("%+v", s)
		}
		for _, line := range s.Stages {
			want := 1
			if line.Stage == pipeline.Train && lost {
				want = 2
			}
			if len(line.Attempts) != want || line.Attempts[want-1].Outcome != "finished" || want == 2 && (line.Attempts[0].Outcome != "lost" || line.Attempts[0].Code != "worker_lost") {
				t.Errorf("%+v", line)
			}
		}
	}
	if _, err := Story(t.Context(), filepath.Join(w.dir, "nothing"), time.Now); !errors.Is(err, story.ErrUnknown) {
		t.Error(err)
	}
}
