package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/infra/cloudrun"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/redisq"
)

// Parts are the adapters that a configuration names, opened.
type Parts struct {
	Queue     *redisq.Queue
	Redis     *redis.Client
	Store     *gcs.Store
	Buckets   artifacts.Buckets
	Launcher  stage.Launcher
	Publisher *Publisher
	Log       *slog.Logger

	config Config
}

// Open connects to everything c names. Close the parts after use.
func (c Config) Open(ctx context.Context, log *slog.Logger) (p *Parts, err error) {
	p = &Parts{Buckets: c.Buckets(), Log: log, config: c}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.Redis, err = redisq.Connect(c.RedisURL); err != nil {
		return nil, err
	}
	if c.RedisCA != "" {
		authority := x509.NewCertPool()
		if !authority.AppendCertsFromPEM([]byte(c.RedisCA)) {
			return nil, errors.New("REDIS_CA_CERT holds no PEM certificate")
		}
		p.Redis.Options().TLSConfig = signedBy(authority)
	}
	if p.Queue, err = redisq.Open(ctx, p.Redis, queue.Config{LeaseFor: c.LeaseTTL, SlotFor: c.LeaseTTL}); err != nil {
		return nil, err
	}
	if p.Store, err = gcs.Open(ctx, gcs.Options{Endpoint: c.Storage}); err != nil {
		return nil, err
	}
	if p.Publisher, err = openPublisher(ctx, c); err != nil {
		return nil, err
	}
	p.Launcher = noLauncher{}
	if len(c.Jobs) > 0 {
		jobs := map[pipeline.Stage]string{}
		for name, job := range c.Jobs {
			jobs[pipeline.Stage(name)] = job
		}
		if p.Launcher, err = cloudrun.New(ctx, cloudrun.Config{Project: c.ProjectID, Region: c.Region, Jobs: jobs}); err != nil {
			return nil, err
		}
	}
	return p, nil
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
