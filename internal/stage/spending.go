package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// affords refuses a request that has cost more than one may, and one whose caller has used up its day. It is asked where a stage or another attempt
// begins, so what is finished stays.
func (w *Worker) affords(ctx context.Context, job *Job) error {
	if err := w.withinCost(job); err != nil {
		return err
	}
	if _, later := job.stage.Previous(); !later {
		bytes := int64(0)
		for _, a := range job.known {
			if a.Kind == artifacts.Upload {
				bytes += a.Object.Size
			}
		}
		if err := ofDay(w.Days.Upload(ctx, job.Request.Caller, job.Request.ID, bytes)); err != nil {
			return err
		}
	}
	return ofDay(w.charge(ctx, job.Request, job.journal))
}

// withinCost refuses a request that has cost more than one may.
func (w *Worker) withinCost(job *Job) error {
	if !(w.MaxUSD > 0) {
		return nil
	}
	usd := job.record.Cost() // of this stage's earlier attempts
	for _, r := range job.history {
		usd += r.Cost()
	}
	if usd <= w.MaxUSD {
		return nil
	}
	return pipeline.Invalid("cost_limit_exceeded", fmt.Sprintf("The request has cost %.4g USD so far, by estimate, and %.4g are allowed for one.", usd, w.MaxUSD),
		"Submit a smaller capture, fewer images (max_images), or a smaller preset, or ask the operator for a higher limit.")
}

// ofDay makes a failure of a limit that was reached, and of a meter that does not answer one that another attempt may not meet.
func ofDay(err error) error {
	var used *tenant.Excess
	switch {
	case errors.As(err, &used):
		return pipeline.Invalid(pipeline.QuotaExceeded, used.Error(), "Submit the capture again later, or ask the operator for a higher limit.")
	case err != nil:
		return &pipeline.Failure{Kind: pipeline.Transient, Code: "limits_unavailable", Err: err, Message: "What the caller may use could not be read.",
			Advice: "Submit the request again in some minutes."}
	}
	return nil
}

// charge counts what an attempt has taken so far for the day of its caller.
func (w *Worker) charge(ctx context.Context, r pipeline.Request, a *journal) error {
	took := w.Now().Sub(a.ClaimedAt)
	return w.Days.Work(ctx, r.Caller, fmt.Sprintf("%s/%s/%d", r.ID, a.task.Stage, a.Fence), took, took.Seconds()*w.USDPerS)
}

// meter charges for the work while it is done, and ends it where the day of its caller, or that of all together, is used up: so a limit is
// passed by no more than a heartbeat of each worker. A charge that fails is made up for by the next.
func (w *Worker) meter(ctx context.Context, cancel context.CancelCauseFunc, job *Job) {
	if w.Days == nil {
		return
	}
	tick := time.NewTicker(w.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := w.charge(ctx, job.Request, job.journal)
		if used := (*tenant.Excess)(nil); errors.As(err, &used) {
			cancel(ofDay(err))
			return
		}
		if err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "work not counted yet", "request_id", job.Request.ID, "stage", job.stage, "error", err.Error())
		}
	}
}

// settleTime bounds the last charge of an attempt: its lease is running.
const settleTime = 2 * time.Second

// settle charges for the rest of an attempt, whatever became of it: the machine was used. That its caller has no more left ends the next one.
func (w *Worker) settle(ctx context.Context, lease queue.Lease, a *journal, log *slog.Logger) {
	if w.Days == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := w.charge(ctx, lease.Request(), a)
	if used := (*tenant.Excess)(nil); err != nil && !errors.As(err, &used) {
		log.WarnContext(ctx, "the last seconds of an attempt are not counted for its caller", "error", err.Error())
	}
}
