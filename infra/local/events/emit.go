package events

import (
	"container/heap"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
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
