package redisq

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue"
)

//go:embed lua/*.lua
var sources embed.FS

// tag is the one key that scripts are given: it leads them to the shard of all others.
var tag = []string{"{q}"}

// scripts by the name of their file. Each is the common functions, and then itself. The names that lua/keys.lua gives and those of
// the policy are replaced by their values: as locals that functions share they would cost each call a microsecond, as much as a
// command.
type scripts map[string]*redis.Script

// constant is a line of lua/keys.lua that names a value.
var constant = regexp.MustCompile(`(?m)^local ([A-Z]+) *= *('[^']*')`)

// capitals are how constants are written; nothing else in the scripts' code is a word of them that these name.
var capitals = regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)*\b`)

func loadScripts(cfg queue.Config) (scripts, error) {
	text := func(name string) (string, error) {
		b, err := fs.ReadFile(sources, path.Join("lua", name+".lua"))
		return string(b), err
	}
	values := map[string]string{
		"LEASE": strconv.FormatInt(cfg.LeaseFor.Milliseconds(), 10), "KEEP": strconv.FormatInt(cfg.Keep.Milliseconds(), 10), "KEEP_EVENTS": fmt.Sprintf("'%d'", cfg.KeepEvents),
		"ATTEMPTS": strconv.Itoa(cfg.MaxAttempts), "FAIR_SHARE": strconv.FormatBool(cfg.FairShare),
		"ANNOUNCE": strconv.FormatInt(cfg.AnnounceGrace.Milliseconds(), 10), "RECENT": strconv.FormatInt(queue.Recent.Milliseconds(), 10),
	}
	keys, err := text("keys")
	if err != nil {
		return nil, err
	}
	for _, found := range constant.FindAllStringSubmatch(keys, -1) {
		values[found[1]] = found[2]
	}
	common, err := text("common")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(sources, "lua/*.lua")
	if err != nil {
		return nil, err
	}
	all := scripts{}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".lua")
		if name == "keys" || name == "common" {
			continue
		}
		body, err := text(name)
		if err != nil {
			return nil, err
		}
		all[name] = redis.NewScript(capitals.ReplaceAllStringFunc(common+body, func(name string) string { return cmp.Or(values[name], name) }))
	}
	return all, nil
}

// call runs a script as of now, and again while Redis is away or still loading, for no longer than the queue's patience.
// A call whose answer was lost may have happened: from the second try on the script is told so and does not do it twice.
func (q *Queue) call(ctx context.Context, script string, now time.Time, args ...any) (any, error) {
	argv := append([]any{0, now.UnixMilli()}, args...)
	var v any
	err := q.patiently(ctx, func(try int) error {
		if try > 0 {
			argv[0] = 1
		}
		var err error
		v, err = q.scripts[script].Run(ctx, q.redis, tag, argv...).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %s: %w", script, err)
	}
	return v, nil
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

// Passing says whether an error comes from a Redis that restarts, loads its data, fails over or is out of reach: time may cure it.
func Passing(err error) bool {
	for _, prefix := range []string{"LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "BUSY "} {
		if redis.HasErrorPrefix(err, strings.TrimSpace(prefix)) {
			return true
		}
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ENOENT) || errors.As(err, &network)
}

// batchSize things that scripts do travel together.
const batchSize = 2048

// calls runs a script n times, in order, many in one round trip; args are the arguments of the i-th, which does so many things.
// While Redis works on one batch the next is made ready. The answers are values or errors, one for each; err is set when Redis
// stayed away.
func (q *Queue) calls(ctx context.Context, script string, now time.Time, n, things int, args func(i int) []any) (answers []any, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan []*redis.Cmd, 1)
	head := []any{"evalsha", q.scripts[script].Hash(), 1, tag[0], 0, now.UnixMilli()} // the same for all, so made once
	go func() {
		defer close(batches)
		size := batchSize / things
		for start := 0; start < n; start += size {
			batch := make([]*redis.Cmd, 0, size)
			for i := start; i < min(start+size, n); i++ {
				batch = append(batch, redis.NewCmd(ctx, slices.Concat(head, args(i))...))
			}
			select {
			case batches <- batch:
			case <-ctx.Done():
				return
			}
		}
	}()
	answers = make([]any, 0, n)
	for batch := range batches {
		if err := q.send(ctx, script, batch); err != nil {
			return answers, fmt.Errorf("queue: %s: %w", script, err)
		}
		for _, c := range batch {
			v, err := c.Result()
			if err != nil {
				v = err
			}
			answers = append(answers, v)
		}
	}
	return answers, ctx.Err()
}

// again is the place in a command of what says that it is tried again.
const again = 4

// send runs commands in one round trip, and again those that have no answer yet.
func (q *Queue) send(ctx context.Context, script string, open []*redis.Cmd) error {
	return q.patiently(ctx, func(try int) error {
		for missing := true; missing; {
			pipe := q.redis.Pipeline()
			for _, c := range open {
				c.Args()[again] = min(try, 1)
				_ = pipe.Process(ctx, c) // it is put down, not sent
			}
			_, _ = pipe.Exec(ctx) // every command has its own error
			var rest []*redis.Cmd
			var trouble error
			missing = false
			for _, c := range open {
				switch err := c.Err(); {
				case redis.HasErrorPrefix(err, "NOSCRIPT"):
					missing = true
					rest = append(rest, c)
				case err != nil && Passing(err):
					trouble = err
					rest = append(rest, c)
				}
			}
			if open = rest; trouble != nil {
				return trouble
			}
			if missing {
				if err := q.scripts[script].Load(ctx, q.redis).Err(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
