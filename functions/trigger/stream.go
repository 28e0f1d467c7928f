package trigger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const (
	maxWait     = 60 * time.Second // of a long poll
	lookAnyway  = 15 * time.Second // how often a waiting call looks although nothing was said
	lookWithout = 2 * time.Second  // the same where nobody says anything
	streamFor   = 4 * time.Minute  // then the client comes back: Cloud Run ends a request after five minutes
	endedPrefix = "ended-"         // of the id of a stream's last event
)

// longPoll holds the answer back until the document has another tag than the client knows (If-None-Match) or, when it
// sent none, than it has now; until the request has ended; or until wait is over. Where too many calls wait already it is given
// at once.
func (s *Service) longPoll(ctx context.Context, r *http.Request, state queue.State, wait time.Duration) (queue.State, error) {
	leave, ok := s.waiting.enter(state.ID)
	if !ok {
		return state, nil
	}
	defer leave()
	known := r.Header.Get("If-None-Match")
	changed, end := s.news.watch(state.ID)
	defer end()
	over := s.After(wait)
	for {
		_, tag, err := s.document(ctx, state)
		if err != nil {
			return state, err
		}
		if known == "" {
			known = tag
		}
		if state.Status.Terminal() || !matches(known, tag) {
			return state, nil
		}
		select {
		case <-over:
			return state, nil
		case <-serve.Draining(ctx):
			return state, nil
		case <-ctx.Done():
			return state, ctx.Err()
		case <-changed:
		case <-s.After(s.lookEvery()):
		}
		if state, err = s.lookAgain(ctx, state); err != nil {
			return state, err
		}
	}
}

func (s *Service) lookEvery() time.Duration {
	if s.News == nil {
		return lookWithout
	}
	return lookAnyway
}

func (s *Service) lookAgain(ctx context.Context, state queue.State) (queue.State, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return s.Queue.Lookup(ctx, state.ID)
}

// waitOf reads ?wait=30s (or 30) and "Prefer: wait=30" (RFC 7240).
func waitOf(r *http.Request) (time.Duration, *serve.Problem) {
	text := r.URL.Query().Get("wait")
	for preference := range strings.SplitSeq(r.Header.Get("Prefer"), ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(preference), "wait="); ok && text == "" {
			text = value
		}
	}
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if seconds, numErr := strconv.Atoi(text); numErr == nil {
		wait, err = time.Duration(min(max(seconds, -1), 3600))*time.Second, nil
	}
	if err != nil || wait < 0 {
		return 0, invalid("invalid_wait", "wait must be a duration such as 30s.", "Leave it out to be answered at once.")
	}
	return min(wait, maxWait), nil
}

// events serves GET /events: the status document as a server-sent event whenever it changes. The id of an event is the
// document's tag, so a client that comes back with Last-Event-ID gets only what followed, from any instance.
// After the last event of an ended request a returning client is answered 204, which makes it stop (HTML Living
// Standard, 9.2).
func (s *Service) events(w http.ResponseWriter, r *http.Request) {
	look, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.authorized(look, w, r)
	if !ok {
		return
	}
	last := r.Header.Get("Last-Event-ID")
	if strings.HasPrefix(last, endedPrefix) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	leave, ok := s.waiting.enter(state.ID)
	if !ok {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusServiceUnavailable, Code: "too_many_streams", RequestID: state.ID, Retryable: true,
			Detail: fmt.Sprintf("%d calls wait for this request already, or too many for all of them.", waitingPerRequest),
			Advice: "Close other streams, or ask for the status every few seconds.", RetryAfter: waitingAgain})
		return
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy in between must not collect events
	if r.Method == http.MethodHead {
		return
	}
	ctx := r.Context()
	changed, end := s.news.watch(state.ID)
	defer end()
	out := eventStream{w, http.NewResponseController(w)}
	if out.send("retry: 2000\n\n") != nil {
		return
	}
	over := s.After(streamFor)
	for {
		doc, tag, err := s.document(ctx, state)
		if err != nil {
			return // the client comes back and gets the error
		}
		id := eventID(doc, tag)
		if id != last {
			if out.event(id, doc) != nil {
				return
			}
			last = id
		}
		if state.Status.Terminal() {
			return
		}
		select {
		case <-over:
			return
		case <-serve.Draining(ctx):
			return
		case <-ctx.Done():
			return
		case <-changed:
		case <-s.After(s.lookEvery()):
			if out.send(": still here\n\n") != nil {
				return
			}
		}
		if state, err = s.lookAgain(ctx, state); err != nil {
			return
		}
	}
}

func eventID(doc api.Status, tag string) string {
	id := strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
	if doc.Status.Terminal() {
		return endedPrefix + id
	}
	return id
}

type eventStream struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// streamWriteTimeout bounds one write to a client that reads nothing.
const streamWriteTimeout = 20 * time.Second

func (e eventStream) event(id string, doc api.Status) error {
	return e.send("id: " + id + "\nevent: status\ndata: " + string(serve.JSON(doc)) + "\n") // JSON ends its line
}

func (e eventStream) send(text string) error {
	_ = e.ctl.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // a host without deadlines has its own
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.ctl.Flush()
}

// result serves GET /result/{kind}: a redirect to the signed link of one result.
func (s *Service) result(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return
	}
	if state.Status != pipeline.Completed {
		serve.WriteProblem(w, notCompleted(state))
		return
	}
	left, err := s.results.of(ctx, s, state, s.Now().UTC())
	if errors.Is(err, artifacts.ErrNotFound) {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusGone, Code: "results_deleted", RequestID: state.ID,
			Detail: "The results of this request were deleted: they are kept for some time only.", Advice: "Ask for another reconstruction."})
		return
	}
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	kind := r.PathValue("kind")
	for _, result := range left.results {
		if result.Kind == kind || result.FileName == kind {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, result.URL, http.StatusFound)
			return
		}
	}
	serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "no_such_result", RequestID: state.ID,
		Detail: "The request left no such result.", Advice: "See results in the status document."})
}
