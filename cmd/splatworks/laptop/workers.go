package laptop

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/infra/local"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// workerEnded reports workers that ended without a report to the queue, so that their tasks do not wait for the end of the lease. A
// worker may have continued with later stages: where it held nothing there is nothing to end.
func (b *Backend) workerEnded(c app.Config, log *slog.Logger) func(local.End) {
	reaper := b.parts.Reaper()
	return func(e local.End) {
		if e.Err == nil || e.Closing { // closing: what it held is released at the next start
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, s := range c.WorksOn(e.Stage) {
			if err := reaper.WorkerEnded(ctx, s, e.Worker, workerLost(s, e)); err != nil {
				log.Warn("the tasks of a worker that ended wait for their leases", "worker", e.Worker, "stage", s, "error", err.Error())
			}
		}
	}
}

// workerLost is queue.WorkerLost with what the launcher knows.
func workerLost(s pipeline.Stage, e local.End) *pipeline.Failure {
	f := queue.WorkerLost(s)
	how := e.Err.Error()
	if how == "signal: killed" {
		how += ", as it is when memory runs out"
	}
	f.Message = fmt.Sprintf("The worker of this stage stopped without reporting why (%s).", how)
	if e.Words != "" {
		f.Message += fmt.Sprintf(" The last that it printed: %q.", e.Words)
	}
	return f
}
