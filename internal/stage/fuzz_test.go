package stage_test

import (
	"context"
	"log/slog"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// checked takes tasks and holds them to what a receiver may make of an event.
type checked struct {
	t *testing.T
	s pipeline.Stage
}

func (c checked) Enqueue(_ context.Context, task queue.Task) (bool, error) {
	if task.Stage != c.s || task.Input.Bucket != "inbox" || task.Input.Generation <= 0 || !pipeline.ValidRequestID(task.RequestID) || !artifacts.Starts(task.Input.Name) {
		c.t.Fatalf("%+v", task)
	}
	return false, nil
}

// FuzzEvent: an event whose data is anything at all becomes a task of its request or is acknowledged and ignored.
func FuzzEvent(f *testing.F) {
	const id = "06gztda6gn2bxw0r414dfn5d58"
	for _, data := range []string{`{"bucket":"inbox","name":"` + id + `/input","generation":"1","size":"1"}`, `{"bucket":"inbox","name":"` + id + `/uploads/1.jpg","generation":"1","size":"1"}`,
		`{"bucket":"inbox","name":"` + id + `/filter.manifest.json","generation":"-1","size":"1"}`, `{"bucket":"other"}`, `{"name":1}`, `[]`, `x`} {
		f.Add(stage.Finalized, []byte(data))
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		for _, s := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess} {
			e := cloudevents.NewEvent()
			e.SetID("1")
			e.SetSource("fuzz")
			e.SetType(kind)
			_ = e.SetData(cloudevents.ApplicationJSON, data)
			r := stage.Receiver{Stage: s, Inbox: "inbox", Tasks: checked{t, s}, Log: slog.New(slog.DiscardHandler)}
			if err := r.Receive(t.Context(), e); err != nil {
				t.Fatalf("it would come back for a day: %v", err)
			}
		}
	})
}
