package stage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Preview stores what the stage has made so far, of the kind artifacts.Preview, in place of the one before, and reports it with the
// progress. It is removed when the attempt ends.
func (j *Job) Preview(ctx context.Context, r io.Reader) error {
	o, err := j.put(ctx, artifacts.Preview, r)
	if err != nil {
		return fmt.Errorf("store a preview: %w", err)
	}
	j.mu.Lock()
	j.progress.Preview = &o
	j.mu.Unlock()
	j.signal()
	return nil
}

// removePreviews deletes the preview of an attempt that has ended, and those that killed ones before it left. What cannot be deleted
// goes with the request.
func (w *Worker) removePreviews(ctx context.Context, job *Job) {
	if job.latest().Preview == nil || ctx.Err() != nil {
		return
	}
	if err := w.deletePreviews(ctx, job); err != nil {
		w.Log.WarnContext(ctx, "preview not removed", "request_id", job.Request.ID, "stage", job.stage, "error", err.Error())
	}
}

func (w *Worker) deletePreviews(ctx context.Context, job *Job) error {
	var old []pipeline.Object
	for o, err := range w.Store.List(ctx, w.Buckets.Artifacts, artifacts.StagePrefix(job.Request.ID, job.stage)) {
		if err != nil {
			return fmt.Errorf("look for previews: %w", err)
		}
		fence, ok := artifacts.FenceOf(o.Name)
		if ok && fence <= job.fence && o.Name == artifacts.Path(job.Request.ID, job.stage, fence, artifacts.Preview) {
			old = append(old, o)
		}
	}
	for _, o := range old {
		if err := w.Store.Delete(ctx, o); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
			return fmt.Errorf("delete %v: %w", o, err)
		}
	}
	return nil
}
