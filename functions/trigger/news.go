package trigger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/splatworks/splatworks/queue"
)

// news wakes those who wait for a change of one request. One reader of the queue's transitions serves all of them; it runs
// only while somebody waits, so that nothing works between requests.
type news struct {
	events queue.Events // nil: nobody is ever woken
	log    *slog.Logger

	mu       sync.Mutex
	watchers map[string]map[chan struct{}]bool // by request id
	stop     context.CancelFunc                // of the reader; nil when nobody waits
}

const (
	newsBatch = 256
	newsWait  = 10 * time.Second // of one question to the queue
)

// watch returns a channel that gets a value after the request changed, and what ends the watch. A value may come without
// a change; several changes may be one value.
func (n *news) watch(requestID string) (changed <-chan struct{}, end func()) {
	c := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watchers[requestID] == nil {
		n.watchers[requestID] = map[chan struct{}]bool{}
	}
	n.watchers[requestID][c] = true
	if n.stop == nil && n.events != nil {
		ctx, stop := context.WithCancel(context.Background())
		n.stop = stop
		go n.read(ctx)
	}
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if delete(n.watchers[requestID], c); len(n.watchers[requestID]) == 0 {
			delete(n.watchers, requestID)
		}
		if len(n.watchers) == 0 && n.stop != nil {
			n.stop()
			n.stop = nil
		}
	}
}

// read follows the transitions until its context ends.
func (n *news) read(ctx context.Context) {
	cursor, known := "", false
	for ctx.Err() == nil {
		if !known {
			var err error
			if cursor, err = n.events.Newest(ctx); err != nil {
				n.rest(ctx, err)
				continue
			}
			// Readers that looked before this cursor may have missed something: all look again.
			known = true
			n.wakeAll()
		}
		transitions, err := n.events.After(ctx, cursor, newsBatch, newsWait)
		if err != nil {
			known = false
			n.rest(ctx, err)
			continue
		}
		for _, t := range transitions {
			n.wake(t.RequestID)
			cursor = t.ID
		}
	}
}

// rest waits out trouble with the queue. Streams continue meanwhile: they also poll.
func (n *news) rest(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	n.log.WarnContext(ctx, "no news from the queue", "error", err.Error())
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

func (n *news) wake(requestID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.watchers[requestID] {
		poke(c)
	}
}

func (n *news) wakeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, watchers := range n.watchers {
		for c := range watchers {
			poke(c)
		}
	}
}

// poke leaves a value for a reader that has none waiting.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
