// Package operators is the queue's API for operators and other services: what is where, what is next, what became of a request,
// enqueue, call off, try again from a stage, purge, API keys, rebuild, and the reaper's tick. It is reached only through IAM (Cloud Run invokers), so
// a caller that comes this far may do all of it. Clients never see it: their API is functions/trigger.
package operators

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Queue is what operators see of the queue.
type Queue interface {
	queue.Requests
	queue.Restorer
	queue.Overview
	Enqueue(ctx context.Context, t queue.Task) (added bool, err error)
	Forget(ctx context.Context, requestID string) error                                              // queue.Upkeep
	After(ctx context.Context, cursor string, n int, wait time.Duration) ([]queue.Transition, error) // queue.Events
}

// Config is everything a Service works with. All but Ended, Also, Export, AskKeys, Declared and PageLooks are required.
type Config struct {
	Queue  Queue
	Reaper interface {
		Tick(ctx context.Context) (queue.Reaped, error)
	}
	Staffing interface { // sees that a stage with new work has a worker
		Want(ctx context.Context, s pipeline.Stage) error
	}
	Slots     map[pipeline.Stage]int // most workers of a stage at once
	Store     artifacts.Store
	Buckets   artifacts.Buckets
	Log       *slog.Logger
	Now       func() time.Time
	Random    io.Reader // cryptographic
	AskKeys   bool      // the request API asks for API keys: stored ones open something
	PageLooks int       // requests that one page of GET /requests looks at; 0: 2000, which takes about 0.2 s
	// Declared is what the deployment was made from, in the form of splatworks.yaml: a JSON object, or empty.
	Declared json.RawMessage
	// Also, when set, is what other functions in the same program count, as on a laptop.
	Also prometheus.Gatherer
	// Export, when set, sends the metrics with each tick: a program that runs only while it is called has no other time for it.
	Export func(ctx context.Context) error
	// Ended, when set, is called once for a request that was canceled. When it fails, the reaper calls it again.
	Ended func(ctx context.Context, r pipeline.Request, s pipeline.Status) error
}

// Service is the operators' API.
type Service struct {
	Config
	happened *ledger
	program  *prometheus.Registry
}

// New checks c.
func New(c Config) (*Service, error) {
	if c.Queue == nil || c.Reaper == nil || c.Staffing == nil || c.Slots == nil || c.Store == nil || c.Buckets.Artifacts == "" || c.Log == nil || c.Now == nil || c.Random == nil {
		return nil, errors.New("operators: a dependency is missing")
	}
	if c.PageLooks == 0 {
		c.PageLooks = 2000
	}
	return &Service{Config: c, happened: newLedger(c.Queue), program: newProgram()}, nil
}

func (s *Service) archive() stage.Archive { return stage.Archive{Store: s.Store, Buckets: s.Buckets} }

// callTimeout bounds a call that speaks of one request or one stage. LongestCall bounds those that look at every request
// or copy what one left; a host must let them answer.
const (
	callTimeout = 20 * time.Second
	LongestCall = 15 * time.Minute
)

// openapi describes this API; the tests hold every answer they get to it.
//
//go:embed openapi.json
var openapi []byte

// Handler serves the API at its paths, and its description at /openapi.json.
func (s *Service) Handler() http.Handler {
	mux := serve.NewMux()
	mux.Handle(http.MethodGet, "/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openapi) // the caller has gone: nobody to tell
	})
	handle := func(method, path string, within time.Duration, do func(*http.Request) (int, any, error)) {
		answer := func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), within)
			defer cancel()
			status, answer, err := do(r.WithContext(ctx))
			if err != nil {
				s.problem(w, r, err)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			serve.WriteJSON(w, status, answer)
		}
		if method == http.MethodGet || path == "/reap" { // looked at and called again and again; a tick has its own line
			answer = serve.Poll(answer)
		}
		mux.Handle(method, path, answer)
	}
	mux.Handle(http.MethodGet, "/metrics", s.metrics())
	handle(http.MethodGet, "/queue", callTimeout, s.overview)
	handle(http.MethodGet, "/config", callTimeout, s.declared)
	handle(http.MethodGet, "/next", callTimeout, s.next)
	handle(http.MethodPost, "/enqueue", callTimeout, s.enqueue)
	handle(http.MethodGet, "/status/{id}", callTimeout, s.look)
	handle(http.MethodGet, "/trace/{id}", callTimeout, s.trace)
	handle(http.MethodGet, "/objects/{id}", callTimeout, s.objects)
	handle(http.MethodPut, "/status/{id}", callTimeout, s.set)
	handle(http.MethodPost, "/retry/{id}", LongestCall, s.retry)
	handle(http.MethodPost, "/redeliver/{id}", callTimeout, s.redeliver)
	handle(http.MethodGet, "/requests", LongestCall, s.list)
	handle(http.MethodGet, "/usage", LongestCall, s.usage)
	handle(http.MethodPost, "/purge", LongestCall, s.purge)
	handle(http.MethodGet, "/keys", callTimeout, s.keys)
	handle(http.MethodPost, "/keys", callTimeout, s.addKey)
	handle(http.MethodDelete, "/keys/{id}", callTimeout, s.revokeKey)
	handle(http.MethodPost, "/rebuild", LongestCall, s.rebuild)
	handle(http.MethodPost, "/reap", LongestCall, s.reap)
	return mux
}

// refusal is an answer that the caller must change something for.
type refusal serve.Problem

func (r *refusal) Error() string { return r.Detail }

func refuse(status int, code, detail, advice string) *refusal {
	return &refusal{Status: status, Code: code, Detail: detail, Advice: advice}
}

func (s *Service) problem(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	var duplicate *queue.DuplicateError
	switch {
	case errors.As(err, &refused):
		serve.WriteProblem(w, serve.Problem(*refused))
	case errors.As(err, &duplicate):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "duplicate_session", RequestID: duplicate.RequestID,
			Detail: "The session has a request that is active or done.", Advice: "Give the new one a session_id of its own."})
	case errors.Is(err, queue.ErrNotFound):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_request", Detail: "The queue knows no such request.",
			Advice: "Check the id; after a loss of the queue, rebuild it."})
	case errors.Is(err, queue.ErrTerminal):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "already_ended", Detail: "The request has ended already.",
			Advice: "Retry makes a new one from it."})
	default:
		s.Log.ErrorContext(r.Context(), "operator's call failed", "path", r.URL.Path, "error", err.Error())
		p := serve.Unavailable("unavailable", "The queue or the storage does not answer.")
		p.Advice = "Try again in a few seconds; the log has the cause."
		serve.WriteProblem(w, p)
	}
}

const maxBodyBytes = 64 << 10

// read takes a JSON body, strictly. An empty one is an empty object.
func read(r *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	var tooLarge *http.MaxBytesError
	if len(body) > maxBodyBytes || errors.As(err, &tooLarge) {
		p := refusal(serve.TooLarge(maxBodyBytes))
		return &p
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid_body", "The body did not arrive whole.", "Send it again.")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := serve.CheckJSON(body); err != nil {
		return refuse(http.StatusBadRequest, "invalid_body", "The body is not acceptable JSON: "+err.Error()+".", "Send one JSON object.")
	}
	if err := serve.DecodeJSON(body, v); err != nil {
		return refuse(http.StatusBadRequest, "invalid_body", "The body is not what this call takes: "+err.Error()+".", "Check the names and types of the fields of this call.")
	}
	return nil
}

// declared serves GET /config.
func (s *Service) declared(*http.Request) (int, any, error) {
	if len(s.Declared) == 0 {
		return http.StatusOK, map[string]any{"declared": map[string]any{}}, nil
	}
	return http.StatusOK, map[string]any{"declared": s.Declared}, nil
}

// reap serves POST /reap, the scheduler's tick.
func (s *Service) reap(r *http.Request) (int, any, error) {
	reaped, err := s.Reaper.Tick(r.Context())
	if counted := s.logTick(r.Context(), reaped); err == nil {
		err = counted
	}
	s.export(r.Context())
	if reaped.Wanting == nil {
		reaped.Wanting = map[pipeline.Stage]int{} // none, not null
	}
	return http.StatusOK, map[string]any{"expired_leases": reaped.ExpiredLeases, "delayed_ready": reaped.DelayedReady, "dead_slots": reaped.DeadSlots,
		"past_deadline": reaped.PastDeadline, "forgotten": reaped.Forgotten, "lost_handovers": len(reaped.LostHandovers), "wanting": reaped.Wanting}, err
}

// exportTimeout is how long a tick waits for a collector: what cannot be sent is sent with the next.
const exportTimeout = 5 * time.Second

func (s *Service) export(ctx context.Context) {
	if s.Export == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	if err := s.Export(ctx); err != nil {
		s.Log.WarnContext(ctx, "metrics not exported", "error", err.Error())
	}
}

// rebuild serves POST /rebuild: the queue is brought up to what the buckets hold. It is safe at any time.
func (s *Service) rebuild(r *http.Request) (int, any, error) {
	rebuilt, err := queue.Rebuild(r.Context(), s.Queue, s.archive().Records(r.Context()))
	if err != nil {
		return 0, nil, err
	}
	s.Log.InfoContext(r.Context(), "queue rebuilt", "records", rebuilt.Records, "requests", rebuilt.Requests, "tasks", rebuilt.Tasks)
	return http.StatusOK, map[string]int{"records": rebuilt.Records, "requests": rebuilt.Requests, "tasks": rebuilt.Tasks}, nil
}
