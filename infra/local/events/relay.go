// Package events is Eventarc on a laptop: it takes events from the local storage and the local Pub/Sub, keeps them in an
// outbox on disk, and delivers each to the URL of every trigger that it matches, as CloudEvents in binary mode over HTTP.
//
// It promises what Eventarc promises and no more (documentation, "Retry events"): at least once, in no order, again
// after 10 s to 600 s until a receiver answers 2xx, for 24 hours. With Chaos it shows the worst of that on purpose.
package events

import (
	"bytes"
	"container/heap"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/splatworks/splatworks/infra/local/outbox"
)

// Event is a CloudEvent, version 1.0, with a JSON payload.
type Event struct {
	ID         string            `json:"id"` // set by Emit: every trigger's copy has its own
	Type       string            `json:"type"`
	Source     string            `json:"source"`
	Subject    string            `json:"subject,omitempty"`
	Time       time.Time         `json:"time"`
	Extensions map[string]string `json:"extensions,omitempty"` // lower-case names
	Data       json.RawMessage   `json:"data"`
}

// Trigger sends the events of one source and type to a URL.
type Trigger struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Type   string `json:"type"`
	URL    string `json:"-"` // of this run: the next one may listen elsewhere
}

// Options of a Relay. The zero value behaves like Eventarc.
type Options struct {
	RetryMin    time.Duration     // before the first repetition; 10 s
	RetryMax    time.Duration     // between later ones, doubling up to it; 600 s
	Retention   time.Duration     // after which an event is given up; 24 h
	PushTimeout time.Duration     // for a receiver's answer; 10 s
	InFlight    int               // deliveries at a time per trigger; 8
	Transport   http.RoundTripper // http.DefaultTransport
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

// delivery is one event on its way to one trigger.
type delivery struct {
	entry     outbox.Entry
	event     Event
	duplicate bool // made by Chaos: the outbox does not know it
	attempts  int
	due       time.Time
	place     float64 // among those that are due
}

// Open starts a relay that keeps its state in dir. Events left from an earlier run are delivered as soon as their
// trigger is registered again.
func Open(dir string, o Options) (*Relay, error) {
	setDefault(&o.RetryMin, 10*time.Second)
	setDefault(&o.RetryMax, 600*time.Second)
	setDefault(&o.Retention, 24*time.Hour)
	setDefault(&o.PushTimeout, 10*time.Second)
	if o.InFlight == 0 {
		o.InFlight = 8
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of events: %w", err)
	}
	box, err := outbox.Open(filepath.Join(dir, "outbox"))
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

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func (r *Relay) load() error {
	body, err := os.ReadFile(r.triggersPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read triggers: %w", err)
	}
	var triggers []Trigger
	if err == nil {
		if err := json.Unmarshal(body, &triggers); err != nil {
			return fmt.Errorf("decode triggers: %w", err)
		}
	}
	for _, t := range triggers {
		r.known[t.Name] = t
	}
	if n := r.box.Damaged(); n > 0 {
		r.o.Log.Warn("events: damaged lines in the outbox", "lines", n)
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
			return fmt.Errorf("decode event %d: %w", e.Seq, err)
		}
		r.add(d)
	}
	return nil
}

func (r *Relay) triggersPath() string { return filepath.Join(r.dir, "triggers.json") }

// Register sets a trigger. From then on, and in later runs, it is sent every event that matches.
func (r *Relay) Register(t Trigger) error {
	if t.Name == "" || t.Source == "" || t.Type == "" || t.URL == "" {
		return fmt.Errorf("trigger %+v lacks a name, source, type or URL", t)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[t.Name] = t
	if err := r.saveTriggers(); err != nil {
		return err
	}
	waiting := r.parked[t.Name]
	delete(r.parked, t.Name)
	for _, d := range waiting {
		r.stats.Pending--
		r.add(d)
	}
	r.nudge()
	return nil
}

// Unregister removes a trigger and what waits for it.
func (r *Relay) Unregister(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
	if err := r.saveTriggers(); err != nil {
		return err
	}
	var rest dueQueue
	for _, d := range append(r.queue, r.parked[name]...) {
		if d.entry.To != name {
			rest = append(rest, d)
			continue
		}
		r.forget(d)
	}
	delete(r.parked, name)
	heap.Init(&rest)
	r.queue = rest
	return nil
}

// saveTriggers replaces the file; r.mu is held.
func (r *Relay) saveTriggers() error {
	list := []Trigger{}
	for _, t := range r.known {
		list = append(list, t)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	tmp := r.triggersPath() + ".new"
	if err := os.WriteFile(tmp, body, 0o600); err != nil {
		return fmt.Errorf("keep triggers: %w", err)
	}
	if err := os.Rename(tmp, r.triggersPath()); err != nil {
		return fmt.Errorf("keep triggers: %w", err)
	}
	return nil
}

// Emit takes an event for every trigger that matches. It returns when the event is on its way to disk; with durable set,
// when a loss of power could not undo it. An event that no trigger matches is gone.
func (r *Relay) Emit(e Event, durable bool) error { return r.emit(e, 0, durable) }

func (r *Relay) emit(e Event, mark int64, durable bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed error
	matched := false
	for _, t := range r.known {
		if t.Source != e.Source || t.Type != e.Type {
			continue
		}
		matched = true
		copied := e
		copied.ID = rand.Text()
		failed = errors.Join(failed, r.put(t.Name, copied, mark))
	}
	if !matched && mark != 0 {
		failed = r.box.SetMark(mark)
	}
	if matched && durable && failed == nil {
		failed = r.box.Flush()
	}
	r.nudge()
	return failed
}

// put keeps an event for one trigger. It is delivered even when it cannot be written down.
func (r *Relay) put(trigger string, e Event, mark int64) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	entry, err := r.box.Put(trigger, time.Now(), body, mark)
	d := delivery{entry: entry, event: e, due: time.Now(), duplicate: err != nil}
	copies := 1 + r.o.Chaos.Duplicates
	for i := range copies {
		one := d
		one.duplicate = one.duplicate || i > 0
		if r.o.Chaos.MaxDelay > 0 {
			one.due = one.due.Add(time.Duration(r.random.Int64N(int64(r.o.Chaos.MaxDelay))))
		}
		r.add(&one)
	}
	return err
}

// add queues a delivery, or parks it until its trigger has a URL. r.mu is held, or nobody else knows r yet.
func (r *Relay) add(d *delivery) {
	r.stats.Pending++
	if r.known[d.entry.To].URL == "" {
		r.parked[d.entry.To] = append(r.parked[d.entry.To], d)
		return
	}
	d.place = float64(d.entry.Seq)
	if r.o.Chaos.Reorder {
		d.place = r.random.Float64()
	}
	heap.Push(&r.queue, d)
}

func (r *Relay) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run starts deliveries when they are due.
func (r *Relay) run(ctx context.Context) {
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		timer.Reset(r.startDue(ctx))
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// startDue starts what is due and says how long nothing more is.
func (r *Relay) startDue(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var busy []*delivery
	defer func() {
		for _, d := range busy {
			heap.Push(&r.queue, d)
		}
	}()
	for len(r.queue) > 0 && ctx.Err() == nil {
		d := r.queue[0]
		if d.due.After(now) {
			return d.due.Sub(now)
		}
		heap.Pop(&r.queue)
		switch {
		case now.Sub(d.entry.At) > r.o.Retention:
			r.stats.Expired++
			r.o.Log.Error("events: given up", "trigger", d.entry.To, "subject", d.event.Subject, "attempts", d.attempts)
			r.forget(d)
		case r.inFlight[d.entry.To] >= r.o.InFlight:
			busy = append(busy, d) // the end of a delivery wakes the loop
		default:
			r.inFlight[d.entry.To]++
			url := r.known[d.entry.To].URL
			r.ended.Go(func() { r.deliver(ctx, d, url) })
		}
	}
	return math.MaxInt64
}

// forget ends a delivery for good; r.mu is held.
func (r *Relay) forget(d *delivery) {
	r.stats.Pending--
	if !d.duplicate {
		if err := r.box.Done(d.entry.Seq); err != nil {
			r.o.Log.Error("events: the outbox cannot be written", "error", err)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Relay) deliver(ctx context.Context, d *delivery, url string) {
	err := r.push(ctx, d.event, url)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.nudge()
	r.inFlight[d.entry.To]--
	d.attempts++
	if _, registered := r.known[d.entry.To]; err == nil || !registered {
		if err == nil {
			r.stats.Delivered++
		}
		r.forget(d)
		return
	}
	if ctx.Err() != nil {
		return // closing: it stays in the outbox
	}
	r.stats.Refused++
	wait := r.backoff(d.attempts)
	d.due = time.Now().Add(wait)
	r.o.Log.Warn("events: not delivered", "trigger", d.entry.To, "subject", d.event.Subject, "attempt", d.attempts, "again_in", wait, "error", err)
	heap.Push(&r.queue, d)
}

// backoff doubles from RetryMin to RetryMax.
func (r *Relay) backoff(attempts int) time.Duration {
	wait := r.o.RetryMin
	for range attempts - 1 {
		if wait = min(2*wait, r.o.RetryMax); wait == r.o.RetryMax {
			break
		}
	}
	return wait
}

// push makes one HTTP request (CloudEvents HTTP protocol binding 1.0, section 3.1, binary content mode).
func (r *Relay) push(ctx context.Context, e Event, url string) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.PushTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(e.Data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{"specversion": "1.0", "id": e.ID, "type": e.Type, "source": e.Source,
		"subject": e.Subject, "time": e.Time.UTC().Format(time.RFC3339Nano)} {
		if value != "" {
			req.Header.Set("ce-"+name, headerValue(value))
		}
	}
	for name, value := range e.Extensions {
		req.Header.Set("ce-"+name, headerValue(value))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // for the log only
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
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

// dueQueue is a heap by time, then place.
type dueQueue []*delivery

func (q dueQueue) Len() int { return len(q) }
func (q dueQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].place < q[j].place
}
func (q dueQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(x any)   { *q = append(*q, x.(*delivery)) }
func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return d
}
