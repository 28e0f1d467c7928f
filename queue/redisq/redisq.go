// Package redisq is the queue that serves: the interfaces of package queue on one Redis or Valkey, version 7 or later. Every operation
// is one Lua script, so it happens whole or not at all: lua/ has a file for each, and lua/keys.lua describes all keys and the record
// of a request. Only a main may name this package; all others ask for the interfaces of package queue.
//
// Redis must not evict (maxmemory-policy noeviction) and should keep an append-only file. What a crash loses with
// appendfsync everysec, about a second, queue.Rebuild brings back.
package redisq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Queue is safe for use by several goroutines.
type Queue struct {
	redis    *redis.Client
	cfg      queue.Config
	scripts  scripts
	patience time.Duration
	pause    time.Duration // before the second try; doubles up to a second
	name     string        // of this value among all
	named    atomic.Int64  // that needed a name of their own
}

// Patience is how long a call keeps trying while Redis restarts, loads or fails over, unless its context ends sooner. It
// must stay well under Config.LeaseFor: a try uses the time at which the call began.
const Patience = 15 * time.Second

// Connect makes a client that fits New, from a URL: redis://host:port/db, rediss://..., or unix:///path/to/socket?db=0. It does
// not dial yet. It sends no CLIENT commands, which managed services refuse, and repeats nothing: the queue knows better
// what may be repeated.
func Connect(url string) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		// The parser's own words repeat parts of the URL, and so of its password.
		return nil, errors.New("redis URL: not of the form redis://user:password@host:port/db, rediss://... or unix:///path; " +
			"special characters of a password must be percent-encoded")
	}
	o.DisableIdentity = true
	o.Protocol = 2
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries = -1
	o.DialerRetries = 1
	return redis.NewClient(o), nil
}

// Open returns the queue that is in client's database: New and Prepare in one.
func Open(ctx context.Context, client *redis.Client, cfg queue.Config) (*Queue, error) {
	q, err := New(client, cfg)
	if err != nil {
		return nil, err
	}
	return q, q.Prepare(ctx)
}

// New returns the queue that is in client's database, without asking for it: Prepare must have succeeded before it is used.
func New(client *redis.Client, cfg queue.Config) (*Queue, error) {
	if client.Options().MaxRetries > 0 {
		return nil, errors.New("queue: the redis client must not repeat commands: use redisq.Connect")
	}
	scripts, err := loadScripts()
	if err != nil {
		return nil, fmt.Errorf("queue: read scripts: %w", err)
	}
	return &Queue{redis: client, cfg: cfg.WithDefaults(), scripts: scripts, patience: Patience, pause: 20 * time.Millisecond, name: rand.Text()[:13]}, nil
}

// Ping asks Redis once whether it answers, and is not patient.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("queue: ping: %w", err)
	}
	return nil
}

func (q *Queue) now() time.Time { return q.cfg.Now().Truncate(time.Millisecond).UTC() }

// unique is a name that no other call has, in any process.
func (q *Queue) unique() string { return q.name + strconv.FormatInt(q.named.Add(1), 36) }

// Submit implements queue.Requests.
func (q *Queue) Submit(ctx context.Context, r pipeline.Request) error {
	args, err := identityArgs(r)
	if err != nil {
		return err
	}
	submitted, err := submission(r)
	if err != nil {
		return err
	}
	answer, err := q.call(ctx, "submit", q.now(), append(args, submitted, r.CreatedAt.UnixMilli())...)
	if err != nil {
		return err
	}
	holder, ok := answer.(string)
	if !ok {
		return unexpected("submit", answer)
	}
	if holder != r.ID {
		return &queue.DuplicateError{RequestID: holder}
	}
	return nil
}

// identityArgs are the arguments by which a request is found, and when it ends at the latest.
func identityArgs(r pipeline.Request) ([]any, error) {
	if r.ID == "" || strings.ContainsAny(r.ID, " \r\n") || r.SessionID == "" || strings.Contains(r.SessionID+r.Caller, "\x00") ||
		r.Priority < 0 || r.Priority > pipeline.MaxPriority {
		return nil, fmt.Errorf("submit: request %q needs an id, a session and a priority of 0 to %d", r.ID, pipeline.MaxPriority)
	}
	var deadline any = ""
	if !r.Deadline.IsZero() {
		deadline = r.Deadline.UnixMilli()
	}
	return []any{r.ID, r.SessionKey(), r.TokenHash, deadline}, nil
}

// Holder implements queue.Requests.
func (q *Queue) Holder(ctx context.Context, r pipeline.Request) (string, error) {
	v, err := q.call(ctx, "holder", q.now(), r.SessionKey())
	if err != nil {
		return "", err
	}
	holder, ok := v.(string)
	if !ok {
		return "", unexpected("holder", v)
	}
	if holder == r.ID {
		return "", queue.ErrNotFound
	}
	return holder, nil
}

// Lookup implements queue.Requests.
func (q *Queue) Lookup(ctx context.Context, requestID string) (queue.State, error) {
	if requestID == "" {
		return queue.State{}, queue.ErrNotFound
	}
	return q.lookup(ctx, requestID, "")
}

// LookupToken implements queue.Requests.
func (q *Queue) LookupToken(ctx context.Context, tokenHash string) (queue.State, error) {
	s, err := q.lookup(ctx, "", tokenHash)
	if err == nil && s.TokenHash != tokenHash { // found by a part of its digest
		return queue.State{}, queue.ErrNotFound
	}
	return s, err
}

func (q *Queue) lookup(ctx context.Context, id, tokenHash string) (queue.State, error) {
	now := q.now()
	answer, err := q.call(ctx, "lookup", now, id, tokenHash)
	if err != nil {
		return queue.State{}, err
	}
	r, err := newRecord(answer)
	if err != nil {
		return queue.State{}, fmt.Errorf("queue: answer of lookup: %w", err)
	}
	s := r.state(now)
	return s, r.err
}

// Position implements queue.Overview.
func (q *Queue) Position(ctx context.Context, requestID string) (int, error) {
	return q.number(ctx, "position", q.now(), requestID)
}

// Cancel implements queue.Requests.
func (q *Queue) Cancel(ctx context.Context, requestID string) error {
	return q.do(ctx, "cancel", q.now(), requestID)
}

// Promise implements queue.Uploads.
func (q *Queue) Promise(ctx context.Context, p queue.Promise) ([]int64, error) {
	args := []any{p.RequestID, p.MaxFiles, p.MaxBytes, len(p.Arrived)}
	for _, f := range slices.Concat(p.Arrived, p.Files) {
		args = append(args, f.Name, f.Bytes)
	}
	return q.numbers(ctx, "promise", q.now(), len(p.Files), args...)
}
