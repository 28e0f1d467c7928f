package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/adapters/cloudrun"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/redisq"
)

// Parts are the adapters that a configuration names, opened: those that the program uses, the others are nil.
type Parts struct {
	Queue     *redisq.Queue
	Redis     *redis.Client
	Store     *gcs.Store
	Buckets   artifacts.Buckets
	Launcher  stage.Launcher
	Publisher *Publisher
	Log       *slog.Logger
	// DepthModels, when set, lists the depth models that a request may name, in place of the configuration's.
	DepthModels func() []string
	// Deliveries, when set, counts the tries to deliver webhooks and mails.
	Deliveries *notify.Deliveries

	config  Config
	awaited *serve.Awaited // the queue; nil where none is used
	opened  time.Time
}

// uses are the parts that a program opens.
type uses struct{ queue, store, publisher, launcher bool }

// Open connects to everything c names and returns once the queue answers, for which it waits as long as for any other answer of
// Redis. Close the parts after use.
func (c Config) Open(ctx context.Context, log *slog.Logger) (*Parts, error) {
	parts, err := c.open(ctx, log, uses{queue: true, store: true, publisher: true, launcher: true})
	if err != nil {
		return nil, err
	}
	if err := parts.wait(ctx, redisq.Patience); err != nil {
		parts.Close()
		return nil, err
	}
	return parts, nil
}

// open makes the parts that a program uses, without calling the queue: it may be out of reach for a while after the start.
// Close the parts after use.
func (c Config) open(ctx context.Context, log *slog.Logger, u uses) (*Parts, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	parts := &Parts{Buckets: c.Buckets(), Log: log, Launcher: noLauncher{}, config: c, opened: time.Now()}
	if err := parts.open(ctx, u); err != nil {
		parts.Close()
		return nil, err
	}
	return parts, nil
}

func (p *Parts) open(ctx context.Context, u uses) (err error) {
	c := p.config
	if u.queue {
		if p.Redis, err = connectRedis(c); err != nil {
			return err
		}
		if p.Queue, err = redisq.New(p.Redis, queue.Config{Now: c.Now, LeaseFor: c.LeaseTTL, SlotFor: c.LeaseTTL, FairShare: c.FairShare}); err != nil {
			return err
		}
		p.awaited = awaitQueue(p.Queue, p.Redis.Options().Addr, p.Log)
	}
	if u.store {
		if p.Store, err = gcs.Open(ctx, gcs.Options{Endpoint: c.Storage}); err != nil {
			return err
		}
	}
	if u.publisher {
		if p.Publisher, err = openPublisher(ctx, c); err != nil {
			return err
		}
	}
	if u.launcher && len(c.Jobs) > 0 {
		jobs := map[pipeline.Stage]string{}
		for name, job := range c.Jobs {
			jobs[pipeline.Stage(name)] = job
		}
		launcher, err := cloudrun.New(ctx, cloudrun.Config{Project: c.ProjectID, Region: c.Region, Jobs: jobs})
		if err != nil {
			return err
		}
		p.Launcher = launcher
	}
	return nil
}

// wait returns when the queue answers, or with an error after a time.
func (p *Parts) wait(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.awaited.Watch(ctx)
}

// Close ends the connections.
func (p *Parts) Close() {
	var problems []error
	if p.Publisher != nil {
		problems = append(problems, p.Publisher.Close())
	}
	if p.Store != nil {
		problems = append(problems, p.Store.Close())
	}
	if p.Redis != nil {
		problems = append(problems, p.Redis.Close())
	}
	if err := errors.Join(problems...); err != nil {
		p.Log.Warn("connections not closed cleanly", "error", err.Error())
	}
}

// noLauncher stands where no way to start workers is configured.
type noLauncher struct{}

func (noLauncher) Launch(_ context.Context, s pipeline.Stage) error {
	return fmt.Errorf("no way to start a %s worker: JOBS names none", s)
}
