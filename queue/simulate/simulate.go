// Package simulate plays days of traffic in seconds: requests arrive, stages take their time, workers are launched, start
// cold and leave, all in virtual time and on the queue's real scheduling code (Submit, Enqueue, Reserve, Adopt, Claim,
// Complete, Fail). It answers how long clients wait, how busy the slots are, and what that costs. `splatworks simulate`
// prints its report. It knows nothing of Redis or of the cloud; stage times and prices are the caller's.
package simulate

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// StageTime is a log-normal distribution, which durations of work tend to follow.
type StageTime struct {
	Median time.Duration
	Spread float64 // standard deviation of the logarithm; 0.5: one in six takes more than 1.65 times the median
}

// Mean of the distribution.
func (s StageTime) Mean() time.Duration {
	return time.Duration(float64(s.Median) * math.Exp(s.Spread*s.Spread/2))
}

func (s StageTime) draw(r *rand.Rand) time.Duration {
	return time.Duration(float64(s.Median) * math.Exp(s.Spread*r.NormFloat64()))
}

// Stage is how one stage behaves.
type Stage struct {
	Time       StageTime
	Slots      int           // most workers at once
	Start      time.Duration // from launch to the first claim
	USDPerHour float64       // of a worker, from its launch to its end
	FailEvery  float64       // one attempt in this many fails with a transient failure; 0: none
	Machine    string        // a worker continues with the next stage on its machine; empty: it does not
}

// Config is one run.
type Config struct {
	PerHour  float64 // arrivals, a Poisson process
	Requests int     // how many arrive before the run is played to its end
	Stages   map[pipeline.Stage]Stage
	// Urgent is the share of requests of priority 1; the others have 0.
	Urgent float64
	// Callers that send requests, each as many as the others but for the first, which sends half of all; 0 or 1: one.
	Callers   int
	FairShare bool
	Seed      uint64
}

// Defaults are times of the order of those measured for captures of some 150 frames on an L4 GPU for training and four
// vCPUs elsewhere, and list prices of Cloud Run without committed use. Calibrate them with the cost records of manifests.
func Defaults() map[pipeline.Stage]Stage {
	const cpu, gpu = 0.32, 1.05 // USD an hour: 4 vCPU + 8 GiB; with an L4 and 16 GiB
	const images = "images"     // export needs no card and has a machine of its own
	return map[pipeline.Stage]Stage{
		pipeline.Filter:     {Time: StageTime{15 * time.Second, 0.5}, Slots: 4, Start: 5 * time.Second, USDPerHour: cpu, Machine: images},
		pipeline.Preprocess: {Time: StageTime{4 * time.Minute, 0.6}, Slots: 16, Start: 8 * time.Second, USDPerHour: cpu, Machine: images},
		pipeline.Depth:      {Time: StageTime{time.Minute, 0.4}, Slots: 4, Start: 10 * time.Second, USDPerHour: cpu, Machine: images},
		pipeline.Train:      {Time: StageTime{10 * time.Minute, 0.4}, Slots: 8, Start: 20 * time.Second, USDPerHour: gpu},
		pipeline.Export:     {Time: StageTime{30 * time.Second, 0.4}, Slots: 4, Start: 5 * time.Second, USDPerHour: cpu},
	}
}

// Separate puts every stage on a machine of its own, so that no worker continues with the next one.
func Separate(stages map[pipeline.Stage]Stage) {
	for name, s := range stages {
		s.Machine = ""
		stages[name] = s
	}
}

// Needed is how many slots a stage must have to keep up: arrivals times mean time of work, retries included. With just so
// many the wait grows without end; a fifth more is a sound start.
func (c Config) Needed(stage pipeline.Stage) float64 {
	s := c.Stages[stage]
	attempts := 1.0
	if s.FailEvery > 1 {
		attempts = 1 / (1 - 1/s.FailEvery)
	}
	return c.PerHour * s.Time.Mean().Hours() * attempts
}

func (c Config) validate() error {
	if !(c.PerHour > 0) || c.Requests <= 0 {
		return fmt.Errorf("simulate: arrivals of %v/h and %d requests: both must be positive", c.PerHour, c.Requests)
	}
	for _, name := range pipeline.Stages() {
		s := c.Stages[name]
		if s.Slots <= 0 || s.Time.Median <= 0 || !(s.Time.Spread >= 0) || !(s.FailEvery == 0 || s.FailEvery > 1) {
			return fmt.Errorf("simulate: stage %s needs a slot, a time, and one failure in more than one attempt or none", name)
		}
	}
	if !(c.Urgent >= 0 && c.Urgent <= 1) {
		return fmt.Errorf("simulate: a share of %v urgent requests is not within 0 and 1", c.Urgent)
	}
	return nil
}

// event is something that happens at a time.
type event struct {
	at  time.Time
	seq int64 // first come, first served among equal times
	do  func() error
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// world is one run.
type world struct {
	ctx     context.Context
	cfg     Config
	q       *memq.Queue
	now     time.Time
	start   time.Time
	agenda  events
	seq     int64
	rand    *rand.Rand
	arrived int
	workers int
	ready   map[pipeline.Stage]int // tasks that wait
	since   map[pipeline.Stage]map[string]time.Time
	stats   *collector
	reaped  time.Time
}

// Run plays the arrivals and everything that follows from them.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	w := &world{ctx: ctx, cfg: cfg, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(cfg.Seed, 1)),
		ready: map[pipeline.Stage]int{}, since: map[pipeline.Stage]map[string]time.Time{}}
	w.now, w.reaped = w.start, w.start
	w.stats = newCollector(cfg)
	for _, s := range pipeline.Stages() {
		w.since[s] = map[string]time.Time{}
	}
	const forever = 100 * 365 * 24 * time.Hour // nobody dies here
	w.q = memq.New(queue.Config{Now: func() time.Time { return w.now }, Rand: w.rand.Float64, LeaseFor: forever, SlotFor: forever,
		Keep: time.Minute, KeepEvents: 1, FairShare: cfg.FairShare})
	w.in(w.gap(), w.arrive)
	for n := 0; len(w.agenda) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
		e := heap.Pop(&w.agenda).(event)
		w.now = e.at
		if err := e.do(); err != nil {
			return Report{}, fmt.Errorf("simulate: %w", err)
		}
	}
	return w.stats.report(w.now.Sub(w.start)), nil
}

func (w *world) in(d time.Duration, do func() error) {
	w.seq++
	heap.Push(&w.agenda, event{w.now.Add(d), w.seq, do})
}

// gap between two arrivals of a Poisson process.
func (w *world) gap() time.Duration {
	return time.Duration(w.rand.ExpFloat64() / w.cfg.PerHour * float64(time.Hour))
}

func (w *world) arrive() error {
	w.arrived++
	var random [10]byte
	binary.BigEndian.PutUint64(random[2:], uint64(w.arrived))
	id, err := pipeline.NewRequestID(w.now, strings.NewReader(string(random[:])))
	if err != nil {
		return err
	}
	r := pipeline.Request{ID: id, SessionID: id, TokenHash: id, Caller: w.caller(), CreatedAt: w.now}
	if w.rand.Float64() < w.cfg.Urgent {
		r.Priority = 1
	}
	if err := w.q.Submit(w.ctx, r); err != nil {
		return err
	}
	if w.arrived < w.cfg.Requests {
		w.in(w.gap(), w.arrive)
	}
	if w.now.Sub(w.reaped) > time.Hour { // forget who is done
		w.reaped = w.now
		if _, err := w.q.Reap(w.ctx); err != nil {
			return err
		}
	}
	return w.enqueue(queue.Task{RequestID: id, Stage: pipeline.Filter, Input: pipeline.Object{Name: id, Generation: 1}})
}

func (w *world) caller() string {
	if w.cfg.Callers < 2 || w.rand.IntN(2) == 0 {
		return "caller-0"
	}
	return fmt.Sprintf("caller-%d", 1+w.rand.IntN(w.cfg.Callers-1))
}

// enqueue is what the event of an upload or manifest does: a task, and a worker for it.
func (w *world) enqueue(t queue.Task) error {
	if _, err := w.q.Enqueue(w.ctx, t); err != nil {
		return err
	}
	w.waits(t)
	return w.want(t.Stage)
}

func (w *world) waits(t queue.Task) {
	w.since[t.Stage][t.RequestID] = w.now
	w.ready[t.Stage]++
	w.stats.waiting(t.Stage, w.ready[t.Stage])
}

// worker is one that was launched for a stage and works at that or a later one.
type worker struct {
	name     string
	launched time.Time
	started  pipeline.Stage // whose machine it has
	at       pipeline.Stage
}

// want launches a worker if there is a slot.
func (w *world) want(stage pipeline.Stage) error {
	s := w.cfg.Stages[stage]
	free, err := w.q.Reserve(w.ctx, stage, s.Slots, 100*365*24*time.Hour)
	if err != nil || !free {
		return err
	}
	w.workers++
	launched := &worker{name: fmt.Sprintf("%s-%d", stage, w.workers), launched: w.now, started: stage, at: stage}
	w.in(s.Start, func() error {
		if _, err := w.q.Adopt(w.ctx, stage, launched.name, s.Slots); err != nil {
			return err
		}
		return w.next(launched)
	})
	return nil
}

// next is a worker's turn: another task, or the end.
func (w *world) next(k *worker) error {
	leases, err := w.q.Claim(w.ctx, k.at, k.name, 1)
	if err != nil {
		return err
	}
	if len(leases) == 0 {
		w.stats.worker(k.started, w.now.Sub(k.launched))
		return w.q.Release(w.ctx, k.at, k.name)
	}
	w.work(leases[0], k)
	return nil
}

// work is what a worker does with a task, to which it comes now.
func (w *world) work(l queue.Lease, k *worker) {
	stage, id := l.Task().Stage, l.Task().RequestID
	s := w.cfg.Stages[stage]
	w.ready[stage]--
	w.stats.claimed(stage, w.now.Sub(w.since[stage][id]))
	delete(w.since[stage], id)
	took := s.Time.draw(w.rand)
	fails := s.FailEvery > 0 && w.rand.Float64()*s.FailEvery < 1
	w.in(took, func() error {
		w.stats.worked(stage, w.now.Add(-took).Sub(w.start), w.now.Sub(w.start))
		if fails {
			if err := w.fail(l); err != nil {
				return err
			}
			return w.next(k)
		}
		next, err := w.complete(l, k)
		switch {
		case err != nil:
			return err
		case next == nil:
			return w.next(k)
		}
		w.work(next, k)
		return nil
	})
}

func (w *world) fail(l queue.Lease) error {
	retry, err := l.Fail(w.ctx, &pipeline.Failure{Kind: pipeline.Transient, Code: "simulated"})
	if err != nil {
		return err
	}
	if !retry {
		w.stats.failed()
		return nil
	}
	state, err := w.q.Lookup(w.ctx, l.Task().RequestID)
	if err != nil {
		return err
	}
	w.in(state.RetryAt.Sub(w.now), func() error { w.waits(l.Task()); return w.want(l.Task().Stage) })
	return nil
}

// complete ends a task, claims the worker's next one if there is one, and hands over to the next stage: to this worker, or as the
// event of the manifest would do.
func (w *world) complete(l queue.Lease, k *worker) (next queue.Lease, err error) {
	t := l.Task()
	manifest := pipeline.Object{Name: t.RequestID + "/" + string(t.Stage), Generation: 1}
	if next, err = l.CompleteAndClaim(w.ctx, manifest); err != nil {
		return nil, err
	}
	following, more := t.Stage.Next()
	if !more {
		w.stats.completed(l.Request().Priority, w.now.Sub(l.Request().CreatedAt))
		return next, nil
	}
	task := queue.Task{RequestID: t.RequestID, Stage: following, Input: manifest}
	if next == nil {
		moved, err := w.advance(k, task)
		if err != nil || moved {
			return nil, err
		}
	}
	return next, w.enqueue(task)
}

// advance moves a worker to the next stage with the request that it served, as stage.Worker does.
func (w *world) advance(k *worker, t queue.Task) (moved bool, err error) {
	here, there := w.cfg.Stages[k.at], w.cfg.Stages[t.Stage]
	if here.Machine == "" || here.Machine != there.Machine {
		return false, nil
	}
	if moved, err = w.q.Adopt(w.ctx, t.Stage, k.name, there.Slots); err != nil || !moved {
		return false, err
	}
	if err := w.q.Release(w.ctx, k.at, k.name); err != nil {
		return false, err
	}
	if _, err := w.q.Enqueue(w.ctx, t); err != nil {
		return false, err
	}
	k.at = t.Stage
	w.waits(t)
	return true, nil
}
