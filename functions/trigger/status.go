package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const readTimeout = 10 * time.Second

// status serves GET /status and GET /status/{request_id}, both by token.
func (s *Service) status(w http.ResponseWriter, r *http.Request) {
	wait, problem := waitOf(r)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout+wait)
	defer cancel()
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return
	}
	if wait > 0 {
		// The server's own write timeout counts from the start of the call.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + readTimeout))
		var err error
		if state, err = s.longPoll(ctx, r, state, wait); err != nil {
			s.unavailable(w, r, "queue", err)
			return
		}
	}
	s.answerStatus(ctx, w, r, state)
}

func (s *Service) answerStatus(ctx context.Context, w http.ResponseWriter, r *http.Request, state queue.State) {
	doc, etag, err := s.document(ctx, state)
	if err != nil {
		s.unavailable(w, r, "queue", err)
		return
	}
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization, "+KeyHeader)
	if !state.Status.Terminal() {
		h.Set("Retry-After", strconv.Itoa(int(pollEvery.Seconds())))
	}
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	serve.WriteJSON(w, http.StatusOK, doc)
}

// lookup looks a request up; rebuilding reports that one which is not found may be found later. A rebuild may end between two
// calls, and a loss come between them, so what is not found is believed only between two looks at a queue that is whole.
func (s *Service) lookup(ctx context.Context, open func() (queue.State, error)) (state queue.State, rebuilding bool, err error) {
	for range 2 {
		state, err = open()
		if !errors.Is(err, queue.ErrNotFound) || s.Whole == nil {
			return state, false, err
		}
		whole, wholeErr := s.Whole(ctx)
		if wholeErr != nil || !whole {
			return state, wholeErr == nil, wholeErr
		}
	}
	return state, false, err
}

// authorized finds the request that the caller's token, or its API key, opens. Without one it has answered already: 401 when neither
// came, and 404 for every token that opens nothing, after the same work as for one that does.
func (s *Service) authorized(ctx context.Context, w http.ResponseWriter, r *http.Request) (queue.State, bool) {
	w.Header().Set("Referrer-Policy", "no-referrer") // the token may stand in this URL
	open, problem := s.opener(ctx, r)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return queue.State{}, false
	}
	state, rebuilding, err := s.lookup(ctx, open)
	if rebuilding {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusServiceUnavailable, Code: "queue_rebuilding", Retryable: true,
			Detail: "The queue is being rebuilt, and does not know this token yet.", Advice: "Try again in a minute.", RetryAfter: 10 * time.Second})
		return queue.State{}, false
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_request",
			Detail: "The token or API key opens no such request.", Advice: "Check it; requests are forgotten some time after they end."})
		return queue.State{}, false
	case err != nil:
		s.unavailable(w, r, "queue", err)
		return queue.State{}, false
	}
	serve.About(ctx, slog.String("request_id", state.ID), slog.Any("stage", state.Stage))
	return state, true
}

// callbackToken prefers the header: query strings end in logs.
func callbackToken(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("callback_token")
}

// ended announces the end of a request that this call brought about, and no other call does: what fails here is the reaper's
// to announce.
func (s *Service) ended(ctx context.Context, state queue.State) {
	if s.Ended == nil {
		return
	}
	if err := s.Ended(ctx, state.Request, pipeline.Canceled); err != nil {
		s.Log.WarnContext(ctx, "end of request not announced", "request_id", state.ID, "stage", state.Stage, "error", err.Error())
	}
}

// cancel serves POST /cancel. Calling off twice is no error, and announced once.
func (s *Service) cancel(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return
	}
	if problem := s.admit(ctx, s.Changes, state.ID); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	err := s.Queue.Cancel(ctx, state.ID)
	if err != nil && !errors.Is(err, queue.ErrTerminal) {
		s.unavailable(w, r, "queue", err)
		return
	}
	ended := err == nil
	if state, ok = s.authorized(ctx, w, r); !ok {
		return
	}
	if state.Status != pipeline.Canceled {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "already_ended", RequestID: state.ID,
			Detail: "The request has ended already: " + string(state.Status) + ".", Advice: "See its status."})
		return
	}
	if ended {
		tenant.Audit(ctx, s.Log, tenant.RequestCanceled, tenant.Named(state.Caller), "request_id", state.ID, "stage", state.Stage)
		s.ended(ctx, state)
	}
	s.answerStatus(ctx, w, r, state)
}

// etagOf is a weak tag over what a reader would call news: not the seconds that an estimate moved by, and not the
// signatures in links, which differ each time; window changes while links are still valid, so that a polling client gets
// fresh ones.
func etagOf(doc api.Status, window int64) string {
	doc.ETAS = nil
	doc.Results = append([]api.Result(nil), doc.Results...)
	for i := range doc.Results {
		doc.Results[i].URL, doc.Results[i].ExpiresAt = "", time.Time{}
	}
	if doc.Preview != nil {
		unsigned := *doc.Preview
		unsigned.URL, unsigned.ExpiresAt = "", time.Time{}
		doc.Preview = &unsigned
	}
	b, _ := json.Marshal(struct {
		Doc    api.Status
		Window int64
	}{doc, window}) // every field can be encoded: the document itself is
	sum := sha256.Sum256(b)
	return `W/"` + hex.EncodeToString(sum[:12]) + `"`
}

// matches is If-None-Match's weak comparison (RFC 9110, 13.1.2).
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part == "*" || strings.TrimPrefix(part, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
