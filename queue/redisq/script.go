package redisq

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue"
)

//go:embed lua/*.lua
var sources embed.FS

// scripts by the name of their file. Each is lua/functions.lua, then lua/requests.lua where it says so, and then itself; lua/keys.lua
// describes all keys.
type scripts map[string]*redis.Script

func loadScripts() (scripts, error) {
	texts := map[string]string{}
	files, err := fs.Glob(sources, "lua/*.lua")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, err := fs.ReadFile(sources, file)
		if err != nil {
			return nil, err
		}
		texts[strings.TrimSuffix(path.Base(file), ".lua")] = string(b)
	}
	all := scripts{}
	for name, text := range texts {
		switch {
		case name == "keys" || name == "functions" || name == "requests":
		case strings.Contains(text, "\n-- With requests.lua.\n"):
			all[name] = redis.NewScript(texts["functions"] + texts["requests"] + text)
		default:
			all[name] = redis.NewScript(texts["functions"] + text)
		}
	}
	return all, nil
}

// keys are KEYS of every script.
var keys = []string{tag}

// argv is ARGV of every script; lua/functions.lua lists the first ones.
func (q *Queue) argv(repeated bool, now time.Time, args []any) []any {
	return append([]any{flag(repeated), now.UnixMilli(), q.cfg.KeepEvents, q.cfg.Keep.Milliseconds(), q.cfg.AnnounceGrace.Milliseconds()},
		args...)
}

// flag is how scripts get a yes or no.
func flag(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// answers are the words by which scripts refuse.
var answers = map[string]error{
	"lost": queue.ErrLeaseLost, "canceled": queue.ErrCanceled, "unknown": queue.ErrNotFound, "finished": queue.ErrTerminal,
	"token_taken": queue.ErrTokenTaken, "no_room": queue.ErrTooMuch, "active": queue.ErrActive,
}

// call runs a script as of now, and again while Redis is away or still loading, for no longer than the queue's patience, and while it
// has more to do before it answers. A call whose answer was lost may have happened: from the second try on the script knows it and
// does not do it twice. A word by which a script refuses is returned as its error.
func (q *Queue) call(ctx context.Context, script string, now time.Time, args ...any) (answer any, err error) {
	for answer = any("more"); answer == "more"; {
		err := q.patiently(ctx, func(try int) (err error) {
			answer, err = q.scripts[script].Run(ctx, q.redis, keys, q.argv(try > 0, now, args)...).Result()
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("queue: %s: %w", script, err)
		}
	}
	if word, ok := answer.(string); ok && answers[word] != nil {
		return nil, answers[word]
	}
	return answer, nil
}

// do is call for a script that answers 'ok' when it does not refuse.
func (q *Queue) do(ctx context.Context, script string, now time.Time, args ...any) error {
	answer, err := q.call(ctx, script, now, args...)
	if err == nil && answer != "ok" {
		err = unexpected(script, answer)
	}
	return err
}

// number is call for a script that answers with one.
func (q *Queue) number(ctx context.Context, script string, now time.Time, args ...any) (int, error) {
	answer, err := q.call(ctx, script, now, args...)
	if err != nil {
		return 0, err
	}
	n, ok := answer.(int64)
	if !ok {
		return 0, unexpected(script, answer)
	}
	return int(n), nil
}

// list is call for a script that answers with a list of numbers or of texts.
func list[T int64 | string](ctx context.Context, q *Queue, script string, now time.Time, args ...any) ([]T, error) {
	answer, err := q.call(ctx, script, now, args...)
	if err != nil {
		return nil, err
	}
	values, ok := answer.([]any)
	if !ok {
		return nil, unexpected(script, answer)
	}
	var all []T
	for _, value := range values {
		v, ok := value.(T)
		if !ok {
			return nil, unexpected(script, answer)
		}
		all = append(all, v)
	}
	return all, nil
}

// numbers is list for a script that answers with n numbers.
func (q *Queue) numbers(ctx context.Context, script string, now time.Time, n int, args ...any) ([]int64, error) {
	all, err := list[int64](ctx, q, script, now, args...)
	if err == nil && len(all) != n {
		err = unexpected(script, all)
	}
	return all, err
}

// records is call for a script that answers with a list of records, each of which read understands.
func (q *Queue) records(ctx context.Context, read func(any) (*record, error), script string, now time.Time, args ...any) ([]*record, error) {
	answer, err := q.call(ctx, script, now, args...)
	if err != nil {
		return nil, err
	}
	list, ok := answer.([]any)
	if !ok {
		return nil, unexpected(script, answer)
	}
	records := make([]*record, len(list))
	for i, one := range list {
		if records[i], err = read(one); err != nil {
			return nil, fmt.Errorf("queue: answer of %s: %w", script, err)
		}
	}
	return records, nil
}

func unexpected(script string, answer any) error {
	return fmt.Errorf("queue: %s gave the unexpected answer %v", script, answer)
}

// callAll runs a script once for each list of arguments, in order and in one round trip: a rebuild has a record for every request. All
// are repeated when one has no answer.
func (q *Queue) callAll(ctx context.Context, script string, now time.Time, args [][]any) (answers []any, err error) {
	if len(args) == 0 {
		return nil, nil
	}
	err = q.patiently(ctx, func(try int) error {
		if err := q.scripts[script].Load(ctx, q.redis).Err(); err != nil {
			return err
		}
		pipe := q.redis.Pipeline()
		for _, a := range args {
			q.scripts[script].EvalSha(ctx, pipe, keys, q.argv(try > 0, now, a)...)
		}
		done, err := pipe.Exec(ctx)
		answers = answers[:0]
		for _, c := range done {
			answers = append(answers, c.(*redis.Cmd).Val())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %s: %w", script, err)
	}
	return answers, nil
}

// patiently repeats what fails because Redis is away. A try against one that hangs takes long, so time counts and not tries.
func (q *Queue) patiently(ctx context.Context, do func(try int) error) error {
	pause, begin := q.pause, time.Now()
	for try := 0; ; try++ {
		err := do(try)
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err == nil || !Passing(err) || time.Since(begin) >= q.patience || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		case <-timer.C:
		}
		pause = min(2*pause, time.Second)
	}
}

// Passing reports whether an error comes from a Redis that restarts, loads its data, fails over or is out of reach: time may cure it.
func Passing(err error) bool {
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ENOENT) || errors.As(err, &network)
}
