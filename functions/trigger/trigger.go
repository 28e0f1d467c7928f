// Package trigger is the public face of Splatworks: POST /trigger-reconstruction takes a request in and hands out where
// to upload, GET /status and GET /events report its progress, GET /result leads to what came out, POST /cancel cancels it. It decides who may ask and records what was asked;
// the work itself starts when the upload is finalized, and this package never does any of it.
package trigger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/estimate"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Limiter admits a call of somebody (0, nil) or says how long to wait. An error means that it cannot decide: the call is
// refused then.
type Limiter interface {
	Admit(ctx context.Context, caller string) (retryAfter time.Duration, err error)
}

// Quota counts what callers take in any 24 hours. Take admits one of at most that number (0, nil) or says how long to wait; Return takes one back
// that was not used.
type Quota interface {
	Take(ctx context.Context, caller string, most int) (retryAfter time.Duration, err error)
	Return(ctx context.Context, caller string) error
}

// UploadSpec is what an upload URL is bound to.
type UploadSpec struct {
	Bucket, Name string
	ContentType  string
	MaxBytes     int64
	Metadata     map[string]string // kept with the object
	Expires      time.Duration
}

// SignedRequest is a call that anybody who holds it may make until it expires.
type SignedRequest struct {
	Method  string
	URL     string
	Headers map[string]string // to be sent exactly
}

// Signer makes links into the buckets. SignUpload's opens one resumable upload session, overwrites nothing and takes only
// the type and size named. SignDownload's reads one generation of one object, or the newest when it
// is 0, offered under filename.
type Signer interface {
	SignUpload(ctx context.Context, u UploadSpec) (SignedRequest, error)
	SignDownload(ctx context.Context, o pipeline.Object, filename string, expires time.Duration) (string, error)
}

// Announcement is the reconstruction-requested message.
type Announcement struct {
	RequestID string    `json:"request_id"`
	SessionID string    `json:"session_id"`
	Priority  int       `json:"priority"`
	CreatedAt time.Time `json:"created_at"`
}

// Publisher announces accepted requests on the reconstruction-requested topic.
type Publisher interface {
	PublishRequested(ctx context.Context, a Announcement) error
}

// Webhooks keeps the address that is called when a request ends. Check says in words for the client what is
// wrong with an address; Register returns the secret that the receiver verifies with, and may be repeated.
type Webhooks interface {
	Check(ctx context.Context, url string) error
	Register(ctx context.Context, requestID, url string) (secret string, err error)
}

// Mails keeps the address that is mailed when a request ends. CheckAddress says in words for the client what is wrong with an address;
// RegisterAddress may be repeated. Unsubscribe takes the token of a link in a mail; known is false for one that is not from here.
type Mails interface {
	CheckAddress(address string) error
	RegisterAddress(ctx context.Context, requestID, address string) error
	Unsubscribe(ctx context.Context, token string) (known bool, err error)
}

// Keys verifies API keys: tenant.Ring. Its errors are tenant's, or that nobody knows.
type Keys interface {
	Caller(ctx context.Context, secret string, need tenant.Scope) (caller string, err error)
}

// Queue is what this API does with the queue.
type Queue interface {
	queue.Requests
	queue.Uploads
	Position(ctx context.Context, requestID string) (int, error)
}

// Config is everything a Service works with. Queue, Store, Buckets, Limiter, Signer, Publisher, Log, Now and Random are
// required.
type Config struct {
	Queue     Queue
	Store     artifacts.Store
	Buckets   artifacts.Buckets
	Limiter   Limiter // of each caller's submissions, refused ones included
	Signer    Signer
	Publisher Publisher
	Log       *slog.Logger
	Now       func() time.Time
	After     func(time.Duration) <-chan time.Time // nil: time.After
	Random    io.Reader                            // cryptographic: request ids and tokens come from it

	// Total, when set, limits the submissions of all callers together that are taken in, and no others.
	Total Limiter
	// Quota, when set, counts the requests of each caller that has a limit of them, and those of all callers together, of which at most
	// TotalDay are taken in in any 24 hours; 0: no limit.
	Quota    Quota
	TotalDay int
	// Days, when set, holds callers to what their requests may use in any 24 hours: minutes, bytes and USD.
	Days *tenant.Days
	// Changes, when set, limits the calls that change a request, by request id, and each caller's questions for an estimate.
	Changes Limiter
	// Limits are every caller's; zero: NoLimits. KeyLimits are those of callers with an API key of that name.
	Limits    Limits
	KeyLimits map[string]Limits
	// Defaults are filled in where a request leaves something open, as far as its limits allow.
	Defaults pipeline.Defaults
	// Waiting is how many streams and long polls wait at once in this process; 0: 500. Of one request there are four at most.
	Waiting int
	// Models, when set, lists the depth models that a request may name.
	Models func() []string

	// Secret is the same for all instances; tokens under an Idempotency-Key follow from it. Nil: drawn for this process.
	Secret func(context.Context) ([]byte, error)
	// Ended, when set, is called once for a request that its client canceled. When it fails, the reaper calls it again.
	Ended func(ctx context.Context, r pipeline.Request, status pipeline.Status) error
	// Whole, when set, reports whether the queue may be believed when it does not know a request: not while it is rebuilt.
	Whole func(context.Context) (bool, error)
	// Webhooks, when set, makes callback_url work; without it that is refused.
	Webhooks Webhooks
	// Mails, when set, makes email work; without it that is refused. PerAddress, when set, limits the requests that name one address.
	Mails      Mails
	PerAddress Limiter
	// News, when set, is how streams and long polls learn of changes; without it they look every few seconds.
	News queue.Events
	// Sources are the buckets whose objects may be named in place of an upload. None: none may.
	Sources []string
	// Proxies is how many trusted proxies stand in front, see serve.ClientAddress: 1 on Cloud Run.
	Proxies int
	// Keys, when set, verifies the API key that is asked for before a reconstruction is taken in; a key's name is then who is asking.
	Keys Keys
	// Caller names who is asking where there are no keys, for rate limits; an error answers 401. Nil: the network address.
	Caller func(*http.Request) (string, error)
	// Page says that the page for people is served where this API is: links of shares lead to it.
	Page bool
	// PublicURL is where clients reach this API ("https://api.example.com"). Empty: what the client called.
	PublicURL      string
	MaxUploadBytes int64         // of a capture, in one upload or in several; 0: the constant
	UploadTTL      time.Duration // of the upload URL; 0: 15 minutes
	DownloadTTL    time.Duration // of result links; 0: 15 minutes
	RequestTTL     time.Duration // from submission to the request's deadline; 0: 24 hours
}

// MaxUploadBytes is how large a capture may be where nothing is configured, as on a laptop: 10 GiB. Whether its machine has room for one is
// the worker's to say (upload_too_large_for_worker); terraform sets what its workers have room for, and more for videos, which take none.
const MaxUploadBytes = 10 << 30

// Service is the request API.
type Service struct {
	Config
	results *resultCache
	news    *news
	waiting *waiting
	history *estimate.History // of what finished requests took

	openapi, docs http.HandlerFunc
}

// New checks and completes c.
func New(c Config) (*Service, error) {
	if c.Queue == nil || c.Store == nil || c.Limiter == nil || c.Signer == nil || c.Publisher == nil || c.Log == nil ||
		c.Now == nil || c.Random == nil || c.Buckets.Uploads() == "" || c.Buckets.Artifacts == "" {
		return nil, errors.New("trigger: a dependency is missing")
	}
	if err := checkSources(c.Sources, c.Buckets); err != nil {
		return nil, err
	}
	if c.Caller == nil {
		c.Caller = func(r *http.Request) (string, error) { return serve.ClientAddress(r, c.Proxies), nil }
	}
	if err := c.Defaults.Check(); err != nil {
		return nil, fmt.Errorf("trigger: defaults: %w", err)
	}
	if c.Limits == (Limits{}) {
		c.Limits = NoLimits
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.Secret == nil {
		var err error
		if c.Secret, err = fixedSecret(c.Random); err != nil {
			return nil, err
		}
	}
	orDefault(&c.Waiting, waitingByDefault)
	orDefault(&c.MaxUploadBytes, MaxUploadBytes)
	orDefault(&c.UploadTTL, 15*time.Minute)
	orDefault(&c.DownloadTTL, 15*time.Minute)
	orDefault(&c.RequestTTL, 24*time.Hour)
	s := &Service{Config: c, results: newResultCache(), waiting: newWaiting(c.Waiting),
		news:    &news{events: c.News, log: c.Log, watchers: map[string]map[chan struct{}]bool{}},
		history: &estimate.History{Store: c.Store, Bucket: c.Buckets.Artifacts, Now: c.Now}}
	var err error
	s.openapi, s.docs, err = reference()
	return s, err
}

func orDefault[T ~int | ~int64](v *T, preset T) {
	if *v == 0 {
		*v = preset
	}
}

// Handler serves the API at its paths.
func (s *Service) Handler() http.Handler {
	mux := serve.NewMux()
	mux.Handle(http.MethodPost, "/trigger-reconstruction", s.submit)
	mux.Handle(http.MethodPost, "/estimate", s.estimate)
	mux.Handle(http.MethodGet, "/status", serve.Poll(s.status))
	mux.Handle(http.MethodGet, "/status/{request_id}", serve.Poll(s.status))
	mux.Handle(http.MethodGet, "/events", serve.Poll(s.events))
	mux.Handle(http.MethodGet, "/result/{kind}", s.result)
	mux.Handle(http.MethodPost, "/cancel", s.cancel)
	mux.Handle(http.MethodPost, "/uploads", s.uploads)
	mux.Handle(http.MethodPost, "/uploads/complete", s.complete)
	mux.Handle(http.MethodPost, "/shares", s.share)
	mux.Handle(http.MethodGet, "/shares", s.shares)
	mux.Handle(http.MethodDelete, "/shares/{share_id}", s.unshare)
	mux.Handle(http.MethodGet, "/shared", s.shared)
	mux.Handle(http.MethodGet, "/notes", s.notes)
	mux.Handle(http.MethodPut, "/notes", s.putNotes)
	mux.Handle(http.MethodGet, "/deployment", serve.Poll(s.deployment))
	if s.Mails != nil {
		mux.Handle(http.MethodGet, unsubscribePath, s.unsubscribePage)
		mux.Handle(http.MethodPost, unsubscribePath, s.unsubscribe)
	}
	if s.Page {
		mux.Handle(http.MethodGet, sharePage, s.sharePage)
		mux.Handle(http.MethodGet, sharePicture, s.sharePicture)
	}
	mux.Handle(http.MethodGet, "/openapi.json", s.openapi)
	mux.Handle(http.MethodGet, "/docs", s.docs)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), calledKey{}, s.publicURL(r))))
	})
}

// calledKey is where a caller reached this API: links to results may follow it.
type calledKey struct{}

// unavailable is the answer when something that this API depends on does not answer: nothing was accepted.
func (s *Service) unavailable(w http.ResponseWriter, r *http.Request, what string, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client hung up
	}
	s.Log.ErrorContext(r.Context(), what+" unavailable", "error", err.Error())
	serve.WriteProblem(w, serve.Unavailable(what+"_unavailable", "The "+what+" does not answer, so nothing was changed."))
}
