package trigger

import (
	"sync"
	"time"
)

// waiting bounds the calls that this instance holds back: streams and long polls. Each keeps a place among the calls that the
// instance serves at once, and the holder of a token can make any number of them.
type waiting struct {
	most int // of all requests

	mu  sync.Mutex
	all int
	of  map[string]int // by request id
}

const (
	waitingPerRequest = 4
	waitingByDefault  = 500
	waitingAgain      = 5 * time.Second // after which one that was sent away should come back
)

func newWaiting(most int) *waiting { return &waiting{most: most, of: map[string]int{}} }

// enter takes a place, until leave is called; ok is false when there is none.
func (w *waiting) enter(requestID string) (leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= w.most || w.of[requestID] >= waitingPerRequest {
		return nil, false
	}
	w.all++
	w.of[requestID]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.of[requestID]--; w.of[requestID] == 0 {
			delete(w.of, requestID)
		}
	}, true
}
