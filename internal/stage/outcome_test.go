package stage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// TestFailedStageIsNoSuccess: the seed's workflow ended in success when a step of it had failed. Here a failure of any kind,
// on any attempt, leaves no manifest, starts no later stage, and ends as FAILED with a failure that says why.
func TestFailedStageIsNoSuccess(t *testing.T) {
	for name, err := range map[string]error{
		"error": errors.New("boom"), "panic": nil, "invalid input": pipeline.Invalid("not_a_video", "No.", "Send a video."),
		"exhausted": &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: "out_of_memory", Message: "Memory ran out.", Advice: "Send less."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(context.Context, *stage.Job) error {
				if err == nil {
					panic("boom")
				}
				return err
			})
			id := w.submit()
			for range 5 {
				w.work()
				w.advance(time.Hour)
			}
			s := w.state(id)
			if s.Status != pipeline.Failed || s.Failure == nil || s.Failure.Code == "" || s.Failure.Advice == "" || s.Stage != pipeline.Filter {
				t.Errorf("state %v at %s, failure %+v", s.Status, s.Stage, s.Failure)
			}
			if w.manifest(id, pipeline.Filter) != nil {
				t.Error("a failed stage left a manifest")
			}
			for _, later := range pipeline.Stages()[1:] {
				if leases, err := w.queue.Claim(t.Context(), later, "w", 1); err != nil || len(leases) != 0 {
					t.Errorf("%s was started: %v %v", later, leases, err)
				}
			}
			if len(w.ended) != 1 || w.ended[0] != id+" FAILED" {
				t.Errorf("announced %v", w.ended)
			}
		})
	}
}
