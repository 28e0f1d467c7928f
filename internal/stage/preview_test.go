package stage_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// TestPreviewsAreReplacedAndRemoved: the queue hears of each, there is one at a time, none is in the manifest, and at the end none is left,
// not even that of a worker which was killed before.
func TestPreviewsAreReplacedAndRemoved(t *testing.T) {
	var seen []pipeline.Object
	var w *world
	w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
		for _, content := range []string{"one", "two"} {
			if err := job.Preview(ctx, strings.NewReader(content)); err != nil {
				return err
			}
			job.Progress(pipeline.Progress{Step: "step of " + content}) // news that come later keep it
			var p *pipeline.Object
			for p == nil || len(seen) > 0 && *p == seen[0] {
				p = w.state(job.Request.ID).Progress.Preview
			}
			seen = append(seen, *p)
		}
		return job.PublishFrom(ctx, artifacts.Selection, strings.NewReader("{}"))
	})
	id := w.submit()
	old := artifacts.Path(id, pipeline.Filter, 1, artifacts.Preview) // the worker's fence is the next one
	lost, err := w.queue.Claim(t.Context(), pipeline.Filter, "killed", 1)
	if err != nil || len(lost) != 1 || lost[0].Fence() != 1 {
		t.Fatal(lost, err)
	}
	if _, err := w.store.Put(t.Context(), "artifacts", old, strings.NewReader("old"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := lost[0].GiveBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.work()
	if len(seen) != 2 || seen[0].Name != seen[1].Name || seen[0].Name == old || seen[0].Generation == seen[1].Generation {
		t.Errorf("previews %v", seen)
	}
	for o, err := range w.store.List(t.Context(), "artifacts", id+"/") {
		if err != nil || strings.HasSuffix(o.Name, artifacts.Preview.FileName()) {
			t.Errorf("left: %v, %v", o, err)
		}
	}
	m := w.manifest(id, pipeline.Filter)
	if _, ok := m.Find(artifacts.Preview); ok || len(m.Outputs) != 1 {
		t.Errorf("the manifest names %v", m.Outputs)
	}
	if p := w.state(id).Progress.Preview; p != nil {
		t.Errorf("the queue still has %v", p)
	}
}

// TestPreviewsOfFailuresAreRemoved, too.
func TestPreviewsOfFailuresAreRemoved(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		return errors.Join(job.Preview(ctx, strings.NewReader("one")), pipeline.Invalid("no", "No.", "Do otherwise."))
	})
	id := w.submit()
	w.work()
	if s := w.state(id); s.Status != pipeline.Failed {
		t.Fatalf("state %+v", s)
	}
	for o := range w.store.List(t.Context(), "artifacts", id+"/") {
		if strings.HasSuffix(o.Name, artifacts.Preview.FileName()) {
			t.Errorf("left: %v", o)
		}
	}
}
