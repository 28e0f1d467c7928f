// Package events is Eventarc on a laptop: it takes events from the local storage and the local Pub/Sub, keeps them in an
// outbox on disk, and delivers each to the URL of every trigger that it matches, as CloudEvents in binary mode over HTTP.
//
// It promises what Eventarc promises and no more (documentation, "Retry events"): at least once, in no order, again
// after 10 s to 600 s until a receiver answers 2xx, for 24 hours. With Chaos it shows the worst of that on purpose.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/infra/local/outbox"
)

// PushTimeout is how long a receiver may take to answer. Its programs count on it: serve.EventDeadline.
const PushTimeout = 10 * time.Second

// Options of a Relay. The zero value behaves like Eventarc.
type Options struct {
	RetryMin    time.Duration     // before the first repetition; 10 s
	RetryMax    time.Duration     // between later ones, doubling up to it; 600 s
	Retention   time.Duration     // after which an event is given up; 24 h
	PushTimeout time.Duration     // for a receiver's answer; 10 s
	InFlight    int               // deliveries at a time per trigger; 8
	Transport   http.RoundTripper // loopback.Transport(): receivers are on this machine
	Expect      []Trigger         // that will be registered: what they match is kept until then; their URL is ignored
	Chaos       Chaos
	Log         *slog.Logger // silent when nil
}

// Chaos makes deliveries as bad as the promise allows. The zero value does nothing.
type Chaos struct {
	Seed       uint64
	Duplicates int           // further deliveries of every event, with the same id
	MaxDelay   time.Duration // every delivery waits a random time up to this
	Reorder    bool          // deliveries that are due are made in random order
}

// Stats counts deliveries since the relay was opened.
type Stats struct {
	Pending   int // known and not yet delivered, repetitions included
	Parked    int // of these, for triggers that no one registered in this run
	Delivered int // answered 2xx
	Refused   int // attempts that were not
	Expired   int // given up
}

// Relay delivers events. Close it before its folder is opened again.
type Relay struct {
	o      Options
	dir    string
	box    *outbox.Box
	client *http.Client
	wake   chan struct{}
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	random   *mathrand.Rand
	known    map[string]Trigger // by name; those from an earlier run have no URL
	queue    dueQueue
	parked   map[string][]*delivery
	inFlight map[string]int
	stats    Stats
	changed  chan struct{} // closed and replaced when the number of pending deliveries falls
}

// Open starts a relay that keeps its state in dir. Events left from an earlier run are delivered as soon as their
// trigger is registered again.
func Open(dir string, o Options) (*Relay, error) {
	setDefault(&o.RetryMin, 10*time.Second)
	setDefault(&o.RetryMax, 600*time.Second)
	setDefault(&o.Retention, 24*time.Hour)
	setDefault(&o.PushTimeout, PushTimeout)
	if o.InFlight == 0 {
		o.InFlight = 8
	}
	if o.Transport == nil {
		o.Transport = loopback.Transport()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of events: %w", err)
	}
	box, err := outbox.Open(outboxPath(dir))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{o: o, dir: dir, box: box, wake: make(chan struct{}, 1), cancel: cancel,
		client:   &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		random:   mathrand.New(mathrand.NewPCG(o.Chaos.Seed, 0)),
		known:    map[string]Trigger{},
		parked:   map[string][]*delivery{},
		inFlight: map[string]int{},
		changed:  make(chan struct{}),
	}
	if err := r.load(); err != nil {
		cancel()
		return nil, errors.Join(err, box.Close())
	}
	r.ended.Go(func() { r.run(ctx) })
	return r, nil
}

func outboxPath(dir string) string { return filepath.Join(dir, "outbox") }

func (r *Relay) outboxPath() string { return outboxPath(r.dir) }

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func (r *Relay) load() error {
	if err := r.loadTriggers(); err != nil {
		return err
	}
	if n := r.box.Damaged(); n > 0 {
		r.o.Log.Warn("events: damaged lines in the outbox", "file", r.outboxPath(), "lines", n)
	}
	for _, e := range r.box.Pending() {
		if time.Since(e.At) > r.o.Retention {
			r.stats.Expired++
			if err := r.box.Done(e.Seq); err != nil {
				return err
			}
			continue
		}
		d := &delivery{entry: e, due: time.Now()}
		if err := json.Unmarshal(e.Body, &d.event); err != nil {
			return fmt.Errorf("decode event %d in %s: %w", e.Seq, r.outboxPath(), err)
		}
		r.add(d)
	}
	return nil
}

// loadTriggers reads which triggers there were. Every program registers its own again: a list that cannot be read is written
// anew by the first of them, and those to expect are known without it.
func (r *Relay) loadTriggers() error {
	body, err := os.ReadFile(r.triggersPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read triggers: %w", err)
	}
	var triggers []Trigger
	if err == nil {
		if err := json.Unmarshal(body, &triggers); err != nil {
			r.o.Log.Error("events: the list of triggers cannot be read and is written anew", "file", r.triggersPath(), "error", err.Error())
			triggers = nil
		}
	}
	for _, t := range append(triggers, r.o.Expect...) {
		t.URL = ""
		r.known[t.Name] = t
	}
	return nil
}

// Stats counts.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	for _, list := range r.parked {
		s.Parked += len(list)
	}
	return s
}

// Idle waits until every event for a registered trigger was delivered or given up.
func (r *Relay) Idle(ctx context.Context) error {
	for {
		r.mu.Lock()
		parked := 0
		for _, list := range r.parked {
			parked += len(list)
		}
		idle, changed := r.stats.Pending == parked, r.changed
		r.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for events: %w", ctx.Err())
		case <-changed:
		}
	}
}

// Close ends deliveries under way; the outbox still has them.
func (r *Relay) Close() error {
	r.cancel()
	r.ended.Wait()
	return r.box.Close()
}
