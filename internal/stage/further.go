package stage

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Post is a stage at which a worker may work.
type Post struct {
	Definition Definition
	Limit      int // slots of the stage
}

// Further is where a worker may continue once its own stage has nothing ready: at the next stage of the request that it served last, and
// then at the one after it, which saves their workers' starts. Moving there it takes a slot of that stage and frees its own, and it
// claims what is first in line there, like every worker: nobody's place changes.
type Further struct {
	Posts []Post // those that follow the worker's stage, in order, without a gap
	Queue interface {
		Enqueue(ctx context.Context, t queue.Task) (added bool, err error)
		Next(ctx context.Context, stage pipeline.Stage, n int) (requestIDs []string, err error)
	}
}

// result is what the last task of a stage left: the next stage's input.
type result struct {
	requestID string
	manifest  pipeline.Object
}

// releaseTime bounds how long a worker tries to free a slot; one that is not freed expires.
const releaseTime = 5 * time.Second

// secure takes a slot of the next stage for a worker whose own stage has nothing ready, before its manifest can raise an event: with a
// worker there that has no task yet, Staffing starts none. Where there is no slot the worker stays at its stage.
func (w *Worker) secure(ctx context.Context, stop <-chan struct{}) {
	next, ok := w.nextPost()
	if !ok || w.secured || !w.hasTimeFor(ctx, next.Definition, stop) {
		return
	}
	waiting, err := w.Further.Queue.Next(ctx, w.at.Definition.Stage, 1)
	if err == nil && len(waiting) == 0 {
		w.secured, err = w.Slots.Adopt(ctx, next.Definition.Stage, w.ID, next.Limit)
	}
	if err != nil {
		w.Log.WarnContext(ctx, "the request's next stage is left to another worker", "stage", next.Definition.Stage, "error", err.Error())
	}
}

// nextPost is where the worker may continue from here.
func (w *Worker) nextPost() (next Post, ok bool) {
	if w.step >= len(w.Further.Posts) {
		return next, false
	}
	next = w.Further.Posts[w.step]
	following, ok := w.at.Definition.Stage.Next()
	return next, ok && following == next.Definition.Stage
}

// unsecure frees the slot of the next stage, if the worker has one. A task that comes there meanwhile waits for the reaper.
func (w *Worker) unsecure(ctx context.Context) error {
	if !w.secured {
		return nil
	}
	w.secured = false
	return w.release(ctx, w.Further.Posts[w.step].Definition.Stage)
}

// advance moves the worker to the next stage, of which it has a slot, with the request that it served last. Where that is not possible
// it stays, and the manifest's event brings the request to another worker.
func (w *Worker) advance(ctx context.Context, last result, stop <-chan struct{}) (moved bool) {
	next, ok := w.nextPost()
	if !ok || !w.secured || last.requestID == "" || !w.hasTimeFor(ctx, next.Definition, stop) {
		return false
	}
	log := w.Log.With("request_id", last.requestID, "stage", next.Definition.Stage)
	moved, err := w.handOver(ctx, w.at.Definition.Stage, queue.Task{RequestID: last.requestID, Stage: next.Definition.Stage, Input: last.manifest})
	if err != nil {
		log.WarnContext(ctx, "the request's next stage is left to another worker", "error", err.Error())
	}
	if moved {
		w.at, w.step, w.secured = next, w.step+1, false
		debug.FreeOSMemory() // the next stage plans with the whole machine
		log.InfoContext(ctx, "the worker continues with the request's next stage")
	}
	return moved
}

// handOver frees the slot that the worker leaves and makes the request's next task ready, as its manifest's event would: the later of
// the two changes nothing, and starts no worker. A task that came to the stage meanwhile found the slot taken and started none; so the
// stage is looked at after the slot was freed, and with such a task the worker stays.
func (w *Worker) handOver(ctx context.Context, from pipeline.Stage, t queue.Task) (done bool, err error) {
	if err := w.release(ctx, from); err != nil {
		return false, err
	}
	waiting, err := w.Further.Queue.Next(ctx, from, 1)
	if err != nil || len(waiting) > 0 {
		return false, err
	}
	_, err = w.Further.Queue.Enqueue(ctx, t)
	return err == nil, err
}

// release frees the worker's slot of a stage, also when it is stopping.
func (w *Worker) release(ctx context.Context, s pipeline.Stage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	return w.Slots.Release(ctx, s, w.ID)
}
