package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/queue/redisq"
)

// connectRedis makes the client that the configuration names. It does not dial.
func connectRedis(c Config) (*redis.Client, error) {
	if c.RedisURL == "" {
		return nil, errors.New("REDIS_URL is not set, and this program needs the queue")
	}
	client, err := redisq.Connect(c.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if c.RedisCA != "" {
		authority := x509.NewCertPool()
		if !authority.AppendCertsFromPEM([]byte(c.RedisCA)) {
			return nil, errors.Join(errors.New("REDIS_CA_CERT holds no PEM certificate"), client.Close())
		}
		client.Options().TLSConfig = signedBy(authority)
	}
	return client, nil
}

// awaitQueue is how a program waits for its queue: Redis answers, and state of an older version is removed.
func awaitQueue(q *redisq.Queue, address string, log *slog.Logger) *serve.Awaited {
	var prepared atomic.Bool
	look := func(ctx context.Context) error {
		if err := q.Ping(ctx); err != nil || prepared.Load() {
			return err
		}
		err := q.Prepare(ctx)
		prepared.Store(err == nil)
		return err
	}
	return &serve.Awaited{Name: "queue", Passing: redisq.Passing, Log: log,
		Look: func(ctx context.Context) error {
			if err := look(ctx); err != nil {
				return fmt.Errorf("redis at %s: %w", address, explain(err))
			}
			return nil
		}}
}

// explain says which setting to look at where an error of Redis shows it, and time will not cure it.
func explain(err error) error {
	var (
		strange *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
	)
	switch {
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "NOPERM"):
		return fmt.Errorf("it refuses the user or the password in REDIS_URL: %w", err)
	case errors.As(err, &strange), errors.As(err, &unknown), errors.As(err, &invalid):
		return fmt.Errorf("its certificate is not one of the authority in REDIS_CA_CERT (without it: of the system's authorities): %w", err)
	case errors.As(err, &plain):
		return fmt.Errorf("it speaks no TLS, which REDIS_URL asks for with rediss:, or REDIS_CA_CERT does: %w", err)
	}
	return err
}

// quiet drops the redis client's own log: plain lines, one for every failed dial. Every error comes back to its caller as well.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }
