package events

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/splatworks/splatworks/infra/local/outbox"
)

// delivery is one event on its way to one trigger.
type delivery struct {
	entry     outbox.Entry
	event     Event
	duplicate bool // made by Chaos: the outbox does not know it
	attempts  int
	due       time.Time
	place     float64 // among those that are due
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

// headerValue escapes what an HTTP header cannot hold (CloudEvents HTTP protocol binding 1.0, section 3.1.3.2): space,
// double quote, percent and everything outside printable ASCII, as the bytes of its UTF-8.
func headerValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
