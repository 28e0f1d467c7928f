package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Awaited is what a program needs from outside and cannot start itself, such as the queue's store. The program listens first and
// waits afterwards: a new instance's network may take a minute or more to reach it (Cloud Run's documentation, "Direct VPC egress",
// limitations). Fill in the fields, run Watch, and put Gate and Answer in front of the handlers. A nil Awaited waits for nothing.
type Awaited struct {
	Name string // in logs, in /ready, and in the code of refusals: NAME_unavailable
	// Look asks once whether it is there. It may take longer than its context.
	Look func(context.Context) error
	// Passing says whether time may cure an error of Look. Others end Watch.
	Passing func(error) bool
	Log     *slog.Logger

	Now   func() time.Time // nil: time.Now
	Pause time.Duration    // between two looks of Watch; 0: 500 ms
	Hold  time.Duration    // how long Gate keeps a request before it refuses it; 0: 5 s, half of what Pub/Sub gives an event
	Bound time.Duration    // of the look that /ready takes; 0: 2 s

	init  sync.Once
	seen  chan struct{} // closed at the first successful look
	since time.Time     // when the waiting began
	looks singleflight.Group
}

func (a *Awaited) setup() {
	a.init.Do(func() {
		a.seen = make(chan struct{})
		if a.Now == nil {
			a.Now = time.Now
		}
		a.since = a.Now()
	})
}

// logEvery is how often Watch repeats what it is waiting for.
const logEvery = 10 * time.Second

// Watch looks until the first success and says in the log what it waits for. It returns an error when time cannot cure what it
// saw, or when ctx ended first: that one wraps ctx's error and the last look's.
func (a *Awaited) Watch(ctx context.Context) error {
	if a == nil {
		return nil
	}
	a.setup()
	var logged time.Time
	var last error // of a look that had an answer
	for {
		err := a.look(ctx)
		now := a.Now()
		waited := now.Sub(a.since).Round(time.Millisecond)
		switch {
		case err == nil:
			if !logged.IsZero() {
				a.Log.InfoContext(ctx, a.Name+" answers", "waited", waited.String())
			}
			close(a.seen)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w after waiting %v for the %s: %w", context.Cause(ctx), waited, a.Name, cmp.Or(last, err))
		case !a.Passing(err):
			return err
		case logged.IsZero() || now.Sub(logged) >= logEvery:
			logged = now
			a.Log.WarnContext(ctx, "waiting for the "+a.Name, "waited", waited.String(), "error", err.Error())
		}
		last = err
		timer := time.NewTimer(cmp.Or(a.Pause, 500*time.Millisecond))
		select {
		case <-ctx.Done(): // the next look says so
			timer.Stop()
		case <-timer.C:
		}
	}
}

// look returns when ctx ends, whether Look does so or not. Who looks while another does shares its answer.
func (a *Awaited) look(ctx context.Context) error {
	answer := a.looks.DoChan("", func() (any, error) { return nil, a.Look(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return fmt.Errorf("no answer from the %s: %w", a.Name, context.Cause(ctx))
	case r := <-answer:
		return r.Err
	}
}

// Gate refuses requests with 503 until Watch has seen what it waits for. It holds each a little first, since mostly that is a
// matter of milliseconds after the start.
func (a *Awaited) Gate(next http.Handler) http.Handler {
	if a == nil {
		return next
	}
	a.setup()
	hold := cmp.Or(a.Hold, 5*time.Second)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-a.seen:
			next.ServeHTTP(w, r)
			return
		default:
		}
		timer := time.NewTimer(hold)
		defer timer.Stop()
		select {
		case <-a.seen:
			next.ServeHTTP(w, r)
			return
		case <-timer.C:
		case <-Draining(r.Context()):
		case <-r.Context().Done():
		}
		WriteProblem(w, Unavailable(a.Name+"_unavailable", "This instance has just started and does not reach the "+a.Name+" yet, so nothing was changed."))
	})
}

// ReadyPath is where a program says whether it can work. (Google's front end keeps paths that end in z to itself.)
const ReadyPath = "/ready"

// Readiness is the answer at ReadyPath.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing,omitempty"`  // what does not answer
	WaitedS float64  `json:"waited_s,omitempty"` // since the start, as long as it has never answered
}

// Answer serves ReadyPath in front of next: 200 while what is awaited answers, 503 before that and whenever it has gone away.
func (a *Awaited) Answer(next http.Handler) http.Handler {
	if a != nil {
		a.setup()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != ReadyPath {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		state := a.readiness(r.Context())
		if state.Ready {
			WriteJSON(w, http.StatusOK, state)
			return
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		WriteJSON(w, http.StatusServiceUnavailable, state)
	})
}

func (a *Awaited) readiness(ctx context.Context) Readiness {
	if a == nil {
		return Readiness{Ready: true}
	}
	missing := Readiness{Missing: []string{a.Name}}
	select {
	case <-a.seen:
	default:
		missing.WaitedS = a.Now().Sub(a.since).Seconds()
		return missing
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Bound, 2*time.Second))
	defer cancel()
	if a.look(ctx) != nil {
		return missing
	}
	return Readiness{Ready: true}
}
