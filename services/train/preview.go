package train

import (
	"bytes"
	"context"

	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
)

// previews publishes the splat while it grows, one at a time: where the storage is slower than training, some are left out. One that
// cannot be written is missed by nobody but the person who looks on.
type previews struct {
	job  *stage.Job
	busy chan struct{} // holds something while one is on its way
}

func newPreviews(job *stage.Job) *previews { return &previews{job: job, busy: make(chan struct{}, 1)} }

// publish is trainer.Hooks.Preview. The file is written here, so that training keeps account of what it takes; the way to the
// storage takes none of its time.
func (p *previews) publish(ctx context.Context, cloud *splat.Cloud) {
	select {
	case p.busy <- struct{}{}:
	default:
		return
	}
	var file bytes.Buffer
	if err := cloud.WriteCompressedPLY(&file); err != nil {
		<-p.busy
		return
	}
	go func() {
		defer func() { <-p.busy }()
		_ = p.job.Preview(ctx, &file)
	}()
}

// wait returns when none is on its way any more.
func (p *previews) wait() { p.busy <- struct{}{} }
