package load

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// carrier brings events to their receivers. What its fault says is done to each.
type carrier struct {
	next  http.RoundTripper
	fault atomic.Pointer[func(*http.Request) treatment]
}

// treatment of an event.
type treatment struct {
	copies int           // brought besides the first
	spread time.Duration // each waits a random time up to this, so that they overtake each other
	lose   bool          // it is confirmed and never brought
}

// RoundTrip implements http.RoundTripper.
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	fault := c.fault.Load()
	if fault == nil {
		return c.next.RoundTrip(r)
	}
	t := (*fault)(r)
	if t.lose {
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: http.NoBody, Request: r}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := func(ctx context.Context) *http.Request {
		one := r.Clone(ctx)
		one.Body = io.NopCloser(bytes.NewReader(body))
		return one
	}
	for range t.copies {
		go func() {
			time.Sleep(rand.N(t.spread + 1)) // the fault is that it comes late
			resp, err := c.next.RoundTrip(again(context.WithoutCancel(r.Context())))
			if err == nil {
				resp.Body.Close()
			}
		}()
	}
	time.Sleep(rand.N(t.spread + 1))
	return c.next.RoundTrip(again(r.Context()))
}

// set switches a fault on, and off with nil.
func (c *carrier) set(fault func(*http.Request) treatment) {
	if fault == nil {
		c.fault.Store(nil)
		return
	}
	c.fault.Store(&fault)
}

// ofStages says whether an event is for the receiver of a stage: the others ask for webhooks.
func ofStages(r *http.Request) bool { return !strings.HasSuffix(r.URL.Path, "/notify") }
