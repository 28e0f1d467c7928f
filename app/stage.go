package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sethvargo/go-envconfig"
	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Define makes a stage's definition as a deployment's configuration says.
type Define func(Config) (stage.Definition, error)

// RunStage is the whole life of a stage's deployable, configured by the environment. As a Cloud Run job (CLOUD_RUN_JOB is
// set there) it is a worker, as a Cloud Run service the stage's receiver. further are the stages that follow in the same program: the
// worker continues with those that the configuration puts on its machine.
func RunStage(define Define, further ...Define) Program {
	return func(ctx context.Context, log *slog.Logger) error {
		if os.Getenv("CLOUD_RUN_JOB") != "" {
			return RunWorker(ctx, log, define, further...)
		}
		return runReceiver(ctx, log, define)
	}
}

func runReceiver(ctx context.Context, log *slog.Logger, define Define) error {
	return withParts(ctx, log, uses{queue: true, launcher: true}, func(c Config, parts *Parts) error {
		def, err := define(c)
		if err != nil {
			return err
		}
		events, err := serve.Events(parts.Receiver(def.Stage).Receive)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("POST /{$}", events)
		return parts.serve(ctx, serve.Server{Listen: ":" + c.Port, Handler: serve.Hardening{Log: log}.Wrap(parts.awaited.Gate(mux))})
	})
}

// workerPatience is how long a worker waits for the queue after its start. It has to be well under START_BUDGET's default of 5
// minutes, after which the worker's slot may go to another.
const workerPatience = 3 * time.Minute

// RunWorker works on a stage's tasks, and then on those of the stages that follow on its machine, until nothing is left to do.
func RunWorker(ctx context.Context, log *slog.Logger, define Define, further ...Define) error {
	return withParts(ctx, log, uses{queue: true, store: true, publisher: true}, func(c Config, parts *Parts) error {
		def, err := define(c)
		if err != nil {
			return err
		}
		err = parts.wait(ctx, workerPatience)
		if err != nil && ctx.Err() != nil {
			log.Info("stopped before there was a task", "reason", err.Error())
			return nil
		}
		if err != nil {
			return err
		}
		posts, err := c.posts(def.Stage, further)
		if err != nil {
			return err
		}
		return parts.Work(ctx, def, posts...)
	})
}

// posts are where a worker of a stage may continue: the stages that follow on its machine, as far as its program has them.
func (c Config) posts(s pipeline.Stage, further []Define) (posts []stage.Post, err error) {
	for i, next := range c.WorksOn(s)[1:] {
		if i >= len(further) {
			break
		}
		def, err := further[i](c)
		if err != nil {
			return nil, err
		}
		if def.Stage != next {
			return nil, fmt.Errorf("this program continues %s with %s, and %s follows", s, def.Stage, next)
		}
		posts = append(posts, stage.Post{Definition: def, Limit: c.Slots[string(next)]})
	}
	return posts, nil
}

// withParts runs a program with the parts that it uses, opened as the environment says.
func withParts(ctx context.Context, log *slog.Logger, u uses, run func(Config, *Parts) error) error {
	c, err := Load(ctx, envconfig.OsLookuper())
	if err != nil {
		return err
	}
	parts, err := c.open(ctx, log, u)
	if err != nil {
		return err
	}
	defer parts.Close()
	return run(c, parts)
}

// serve listens at once and lets the handlers' Gate wait for the queue meanwhile. What time cannot cure ends the program.
func (p *Parts) serve(ctx context.Context, s serve.Server) error {
	s.Log = p.Log
	s.Handler = p.awaited.Answer(s.Handler)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := p.awaited.Watch(running); err != nil && running.Err() == nil {
			return err
		}
		return nil
	})
	group.Go(func() error { return s.Run(running) })
	return group.Wait()
}

// Receiver of a stage's events.
func (p *Parts) Receiver(s pipeline.Stage) *stage.Receiver {
	return &stage.Receiver{Stage: s, Inbox: p.Buckets.Inbox[s], Tasks: p.Queue, Staffing: p.Staffing(), Log: p.Log}
}

// Reaper of all stages.
func (p *Parts) Reaper() *stage.Reaper {
	return &stage.Reaper{Queue: p.Queue, Staffing: p.Staffing(), Archive: &stage.Archive{Store: p.Store, Buckets: p.Buckets}, Ended: p.Ended, Log: p.Log}
}

// Staffing launches workers as the configuration says.
func (p *Parts) Staffing() stage.Staffing {
	return stage.Staffing{Slots: p.Queue, Launcher: p.Launcher, Limit: p.config.Limits(), StartBudget: p.config.StartBudget, Counts: p.Queue.Counts}
}

// Work claims tasks of a stage until none is left, and continues with the stages of further. When ctx ends, as SIGTERM makes it, the task at hand may save its
// state and is released; it is abandoned when that takes longer than grace.
func (p *Parts) Work(ctx context.Context, def stage.Definition, further ...stage.Post) error {
	const grace = 9 * time.Second // Cloud Run kills 10 s after SIGTERM
	working, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, abandon) })

	name, err := p.workerName()
	if err != nil {
		return fmt.Errorf("name this worker: %w", err)
	}
	dir, err := os.MkdirTemp(p.config.WorkDir, "splatworks-"+string(def.Stage)+"-")
	if err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	defer os.RemoveAll(dir)
	days, err := p.days()
	if err != nil {
		return err
	}
	w := stage.Worker{
		Definition: def, ID: name, Further: stage.Further{Posts: further, Queue: p.Queue},
		Tasks: p.Queue, Slots: p.Queue, Limit: p.config.Limits()[def.Stage], Store: p.Store, Buckets: p.Buckets,
		WorkDir: dir, Room: func() (stage.Space, error) { return stage.FolderSpace(dir, os.Getenv("CLOUD_RUN_JOB") != "") }, Beat: p.config.Heartbeat, Now: p.config.Now, Log: p.Log,
		Ended: p.Ended, USDPerS: p.config.USDPerS, MaxUSD: p.config.MaxUSD, Days: days,
	}
	if p.config.TaskTimeout > 0 {
		w.Until = p.opened.Add(p.config.TaskTimeout) // Cloud Run counts from the start, and the queue may have kept us waiting
	}
	return w.Run(working, ctx.Done())
}

// workerName is what the launcher of this worker calls it, or else a name that no other has.
func (p *Parts) workerName() (string, error) {
	if p.config.Worker != "" {
		return p.config.Worker, nil
	}
	host, err := os.Hostname()
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano()), err
}

// Ended notes and announces that a request ended, and reports to the queue that this is done: at least once, and safe to repeat.
func (p *Parts) Ended(ctx context.Context, r pipeline.Request, status pipeline.Status) error {
	if status != pipeline.Completed {
		state, err := p.Queue.Lookup(ctx, r.ID)
		if err != nil {
			return err
		}
		archive := stage.Archive{Store: p.Store, Buckets: p.Buckets}
		if state.Stage == "" { // it never began, so nobody will read what was uploaded for it
			if err := archive.DeleteParts(ctx, r.ID); err != nil {
				p.Log.WarnContext(ctx, "uploads of a request that never began stay until their retention ends", "request_id", r.ID, "stage", state.Stage, "error", err.Error())
			}
		}
		if err := archive.NoteOutcome(ctx, r.ID, queue.Outcome{Status: status, Failure: state.Failure, At: p.config.Now()}); err != nil {
			return err
		}
	}
	if err := p.Publisher.PublishFinished(ctx, r, status); err != nil {
		return err
	}
	return p.Queue.Announced(ctx, r.ID)
}
