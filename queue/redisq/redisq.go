// Package redisq is the queue that serves: queue.Queue on one Redis or Valkey, version 7 or later. Every operation is one
// Lua script, so it happens whole or not at all; the scripts lie in lua/, one file each, and lua/keys.lua names all keys.
// Only a main may name this package; everybody else asks for the interfaces of package queue.
//
// Redis must not evict (maxmemory-policy noeviction) and should keep an append-only file. What a crash loses with
// appendfsync everysec, about a second, queue.Rebuild brings back.
package redisq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var _ queue.Queue = (*Queue)(nil)

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
// not dial yet. It sends no CLIENT commands, which managed services refuse, and repeats nothing by itself: the queue knows better
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

// Open returns the queue that lies in client's database: New and Prepare in one.
func Open(ctx context.Context, client *redis.Client, cfg queue.Config) (*Queue, error) {
	q, err := New(client, cfg)
	if err != nil {
		return nil, err
	}
	return q, q.Prepare(ctx)
}

// New returns the queue that lies in client's database, without asking for it: Prepare must have succeeded before it is used.
func New(client *redis.Client, cfg queue.Config) (*Queue, error) {
	if client.Options().MaxRetries > 0 {
		return nil, errors.New("queue: the redis client must not repeat commands by itself: use redisq.Connect")
	}
	cfg = cfg.WithDefaults()
	scripts, err := loadScripts(cfg)
	if err != nil {
		return nil, fmt.Errorf("queue: read scripts: %w", err)
	}
	return &Queue{redis: client, cfg: cfg, scripts: scripts, patience: Patience, pause: 20 * time.Millisecond, name: rand.Text()[:13]}, nil
}

// Prepare migrates state that an older program left.
func (q *Queue) Prepare(ctx context.Context) error { return q.migrate(ctx, Version, q.migrations()) }

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
	args, err := submitArgs(r)
	if err != nil {
		return err
	}
	v, err := q.call(ctx, "submit", q.now(), args...)
	if err != nil {
		return err
	}
	return submitted(r.ID, v)
}

// SubmitAll is Submit for many requests in few round trips; one error, or nil, for each.
func (q *Queue) SubmitAll(ctx context.Context, requests []pipeline.Request) ([]error, error) {
	args := make([][]any, len(requests))
	for i, r := range requests {
		var err error
		if args[i], err = submitArgs(r); err != nil {
			return nil, err
		}
	}
	answers, err := q.calls(ctx, "submit", q.now(), len(args), 1, func(i int) []any { return args[i] })
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(requests))
	for i, v := range answers {
		errs[i] = submitted(requests[i].ID, v)
	}
	return errs, nil
}

func submitArgs(r pipeline.Request) ([]any, error) {
	if r.ID == "" || strings.ContainsAny(r.ID, " \r\n") || r.SessionID == "" || strings.Contains(r.SessionID+r.Caller, nul) || r.Priority < 0 || r.Priority > pipeline.MaxPriority {
		return nil, fmt.Errorf("submit: request %q needs an id, a session and a priority of 0 to %d", r.ID, pipeline.MaxPriority)
	}
	fields, err := requestFields(r)
	if err != nil {
		return nil, err
	}
	var deadline any = ""
	if !r.Deadline.IsZero() {
		deadline = r.Deadline.UnixMilli()
	}
	return append([]any{r.ID, r.SessionKey(), tokenField(r.TokenHash), deadline}, fields...), nil
}

func submitted(id string, answer any) error {
	switch v := answer.(type) {
	case error:
		return v
	case string:
		if v == "!" {
			return queue.ErrTokenTaken
		}
		if v != id {
			return &queue.DuplicateError{RequestID: v}
		}
		return nil
	}
	return unexpected("submit", answer)
}

func unexpected(script string, answer any) error {
	return fmt.Errorf("queue: %s gave the unexpected answer %v", script, answer)
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
	s, err := q.lookup(ctx, "", tokenField(tokenHash))
	if err == nil && s.TokenHash != tokenHash { // found by a part of its digest
		return queue.State{}, queue.ErrNotFound
	}
	return s, err
}

func (q *Queue) lookup(ctx context.Context, id, token string) (queue.State, error) {
	now := q.now()
	v, err := q.call(ctx, "lookup", now, id, token)
	if err != nil {
		return queue.State{}, err
	}
	answer, _ := v.([]any)
	if len(answer) == 0 {
		return queue.State{}, queue.ErrNotFound
	}
	if len(answer) != 3 {
		return queue.State{}, unexpected("lookup", v)
	}
	found, _ := answer[0].(string)
	record, err := fieldsOf(answer[1])
	if err != nil {
		return queue.State{}, fmt.Errorf("queue: record of %s: %w", found, err)
	}
	extra, err := fieldsOf(answer[2])
	if err != nil {
		return queue.State{}, fmt.Errorf("queue: extra of %s: %w", found, err)
	}
	r := reader{fields: record}
	s := r.state(found, extra)
	if !s.RetryAt.After(now) {
		s.RetryAt = time.Time{}
	}
	if r.err != nil {
		return queue.State{}, fmt.Errorf("queue: record of %s: %w", found, r.err)
	}
	return s, nil
}

// Position implements queue.Requests.
func (q *Queue) Position(ctx context.Context, requestID string) (int, error) {
	v, err := q.ask(ctx, "position", q.now(), requestID)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, unexpected("position", v)
	}
	if n < 0 {
		return 0, queue.ErrNotFound
	}
	return int(n), nil
}

// Cancel implements queue.Requests.
func (q *Queue) Cancel(ctx context.Context, requestID string) error {
	n, err := q.number(ctx, "cancel", q.now(), requestID)
	switch {
	case err != nil:
		return err
	case n == -1:
		return queue.ErrNotFound
	case n == -2:
		return queue.ErrTerminal
	}
	return nil
}

// ask runs a script that wakes tasks whose time has come before it answers, until there are none.
func (q *Queue) ask(ctx context.Context, script string, now time.Time, args ...any) (any, error) {
	const more = int64(-2)
	for {
		if v, err := q.call(ctx, script, now, args...); err != nil || v != more {
			return v, err
		}
	}
}

// number runs a script that answers with one.
func (q *Queue) number(ctx context.Context, script string, now time.Time, args ...any) (int64, error) {
	v, err := q.call(ctx, script, now, args...)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, unexpected(script, v)
	}
	return n, nil
}
