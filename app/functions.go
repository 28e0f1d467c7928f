package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/sethvargo/go-envconfig"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/sharedsecret"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/web"
)

// function is one function of functions-framework-go. It is set up once, by who comes first: RunFunctions at the start of our own
// program, or the first request where Google's launcher is the host, which knows no start.
type function struct {
	uses uses
	make func(*Parts) (serve.Function, error)

	mu    sync.Mutex
	parts *Parts
	made  serve.Function
}

// cloudStorage is where signed links of Cloud Storage lead.
const cloudStorage = "https://storage.googleapis.com"

var theTrigger = &function{uses: uses{queue: true, store: true, publisher: true}, make: func(p *Parts) (serve.Function, error) {
	api, err := p.Trigger(gcs.Account{Email: p.config.Account}, p.config.Storage)
	if err != nil {
		return serve.Function{}, err
	}
	handler := p.awaited.Answer(p.Harden(p.awaited.Gate(api.Handler())))
	if p.config.WebPage {
		if handler, err = web.Wrap(handler, cmp.Or(p.config.Storage, cloudStorage)); err != nil {
			return serve.Function{}, err
		}
	}
	return serve.Function{HTTP: handler}, nil
}}

var theNotify = &function{uses: uses{store: true}, make: func(p *Parts) (serve.Function, error) {
	notifier, err := p.Notify()
	if err != nil {
		return serve.Function{}, err
	}
	return serve.Function{Event: notifier.Receive}, nil
}}

// functions by the name that FUNCTION_TARGET chooses them by.
var functions = map[string]*function{"trigger": theTrigger, "notify": theNotify}

// RegisterFunctions makes the functions known to functions-framework-go. Call it once, from an init.
func RegisterFunctions() error {
	return serve.Register(
		serve.Function{Name: "trigger", HTTP: http.HandlerFunc(theTrigger.serveHTTP)},
		serve.Function{Name: "notify", Event: theNotify.receive},
	)
}

// RunFunctions hosts the function that FUNCTION_TARGET names: functions-framework-go's handler in a server that stops gracefully.
func RunFunctions(ctx context.Context, log *slog.Logger) error {
	f := functions[os.Getenv("FUNCTION_TARGET")]
	if f == nil {
		return fmt.Errorf("FUNCTION_TARGET must name a function, trigger or notify, and is %q", os.Getenv("FUNCTION_TARGET"))
	}
	parts, _, err := f.open(ctx, log)
	if err != nil {
		return err
	}
	defer parts.Close()
	handler, err := serve.Framework()
	if err != nil {
		return err
	}
	return parts.serve(ctx, serve.Server{Listen: ":" + parts.config.Port, Handler: parts.Harden(handler)})
}

// open sets the function up as the environment says, unless that is done; first says that it was done now.
func (f *function) open(ctx context.Context, log *slog.Logger) (parts *Parts, first bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parts != nil {
		return f.parts, false, nil
	}
	c, err := Load(ctx, envconfig.OsLookuper())
	if err != nil {
		return nil, false, err
	}
	parts, err = c.open(ctx, log, f.uses)
	if err != nil {
		return nil, false, err
	}
	if f.made, err = f.make(parts); err != nil {
		parts.Close()
		return nil, false, err
	}
	f.parts = parts
	return parts, true, nil
}

// ready is open for a request: an instance that Google's launcher started sets the function up now and looks for the queue beside.
func (f *function) ready(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // the parts outlive the request
	log := newLogger()
	parts, first, err := f.open(ctx, log)
	if err != nil {
		log.ErrorContext(ctx, "function not set up: "+err.Error())
		return errors.New("the function is not set up; its log says why")
	}
	if first {
		go func() {
			if err := parts.awaited.Watch(ctx); err != nil {
				log.ErrorContext(ctx, err.Error())
			}
		}()
	}
	return nil
}

func (f *function) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.ready(r.Context()); err != nil {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusInternalServerError, Code: "internal", Retryable: true,
			Detail: "Something went wrong inside the service.", Advice: "Try again; if this repeats, report it with the time."})
		return
	}
	f.made.HTTP.ServeHTTP(w, r)
}

func (f *function) receive(ctx context.Context, e cloudevents.Event) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	return f.made.Event(ctx, e)
}

// Harden puts between the network and the request API what every host of it needs.
func (p *Parts) Harden(next http.Handler) http.Handler {
	return serve.CORS(p.config.Origins, serve.Hardening{Log: p.Log}.Wrap(next))
}

// The shield in front of the shared limit: far above it, so that it bounds load and not use.
const shieldPerSecond, shieldBurst = 50, 100

// changesPerMinute are the calls that change one request: more than a client needs that asks for its uploads one by one.
const changesPerMinute = 60

// mailsPerDay are the requests a day that name one address: more than a person waits for.
const mailsPerDay = 100

// Trigger is the request API. account signs URLs, which lead to publicStorage (empty: Cloud Storage itself).
func (p *Parts) Trigger(account gcs.Account, publicStorage string) (*trigger.Service, error) {
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	keyLimits, err := trigger.ParseKeyLimits(p.config.KeyLimits, p.config.Spending())
	if err != nil {
		return nil, err
	}
	defaults, err := p.config.defaults()
	if err != nil {
		return nil, err
	}
	signer, err := gcs.NewSigner(p.Store, account, publicStorage)
	if err != nil {
		return nil, err
	}
	notifier, err := p.Notify()
	if err != nil {
		return nil, err
	}
	var mails trigger.Mails // nil where none are sent
	if p.config.MailFrom != "" {
		mails = notifier
	}
	var limiters [4]*ratelimit.Redis
	for i, l := range []struct {
		prefix string
		calls  int
		window time.Duration
	}{{"trigger", p.config.RateCaller, time.Minute}, {"triggers", p.config.RateGlobal, time.Minute}, {"changes", changesPerMinute, time.Minute}, {"addresses", mailsPerDay, 24 * time.Hour}} {
		if limiters[i], err = ratelimit.NewRedis(p.Redis, l.prefix, ratelimit.Limit{Calls: l.calls, Window: l.window}, time.Now); err != nil {
			return nil, err
		}
	}
	quota, err := ratelimit.NewQuota(p.Redis, "trigger-day", 24*time.Hour, time.Now)
	if err != nil {
		return nil, err
	}
	days, err := p.days()
	if err != nil {
		return nil, err
	}
	return trigger.New(trigger.Config{
		Queue: p.Queue, Whole: p.Queue.Whole, News: p.Queue, Ended: p.Ended, Secret: sharedsecret.Redis(p.Redis, "{trigger}:secret", rand.Reader), Proxies: p.config.Proxies,
		Webhooks: notifier, Mails: mails, PerAddress: limiters[3],
		Store: p.Store, Buckets: p.Buckets, Signer: uploads{signer}, Publisher: p.Publisher,
		Limiter: ratelimit.NewShield(limiters[0], shieldPerSecond, shieldBurst, time.Now), Total: limiters[1], Quota: quota, TotalDay: p.config.RateDay, Days: days, Changes: limiters[2],
		Limits: p.config.Spending(), KeyLimits: keyLimits, Defaults: defaults, Models: p.models, Waiting: p.config.Concurrent / 2,
		Log: p.Log, Now: p.config.Now, Random: rand.Reader, PublicURL: p.config.PublicURL, Page: p.config.WebPage, Sources: p.config.Sources, Keys: keys, MaxUploadBytes: p.config.MaxUpload,
	})
}

// days holds callers to what they may use in a day; nil where nobody is limited.
func (p *Parts) days() (*tenant.Days, error) {
	everybody, all := p.config.Spending(), p.config.AllDay()
	keys, err := trigger.ParseKeyLimits(p.config.KeyLimits, everybody)
	if err != nil {
		return nil, err
	}
	limited := everybody.Daily != tenant.Daily{} || all != tenant.Daily{}
	for _, own := range keys {
		limited = limited || own.Daily != tenant.Daily{}
	}
	if !limited {
		return nil, nil
	}
	return &tenant.Days{Meter: ratelimit.NewMeter(p.Redis, "trigger-day", 24*time.Hour, time.Now), All: all,
		Of: func(caller string) tenant.Daily { return trigger.LimitsOf(caller, everybody, keys).Daily }}, nil
}

// keys verifies API keys; nil where none are asked for.
func (p *Parts) keys() (trigger.Keys, error) {
	if !p.config.keysAsked() {
		return nil, nil
	}
	fixed, err := tenant.ParseEntries(p.config.APIKeys)
	if err != nil {
		return nil, err
	}
	return tenant.NewRing(fixed, tenant.Register{Store: p.Store, Bucket: p.Buckets.Artifacts}, p.config.Now, p.Log), nil
}

// models are the depth models that a request may name.
func (p *Parts) models() []string {
	names := append([]string{p.config.DepthModel}, p.config.DepthNames...)
	if p.DepthModels != nil {
		names = p.DepthModels()
	}
	for _, shared := range slices.Sorted(maps.Keys(p.config.DepthShares)) {
		if !slices.Contains(names, shared) {
			names = append(names, shared)
		}
	}
	return names
}

// Notify keeps and sends webhooks and mails. On a laptop its owner's receivers may run on it, too.
func (p *Parts) Notify() (*notify.Service, error) {
	mailer, err := p.config.mailer()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Config{
		Mail: mailer, Deliveries: p.Deliveries,
		Store: p.Store, Bucket: p.Buckets.Artifacts, Guard: &notify.Guard{AllowLoopback: p.config.LoopbackWebhooks},
		Keys: notify.StoredKeys(p.Store, p.Buckets.Artifacts, rand.Reader), Log: p.Log, Now: p.config.Now,
	})
}

// uploads is gcs.Signer in the words of package trigger.
type uploads struct{ signer *gcs.Signer }

func (u uploads) SignUpload(ctx context.Context, spec trigger.UploadSpec) (trigger.SignedRequest, error) {
	r, err := u.at(ctx).SignUpload(ctx, gcs.UploadSpec(spec))
	return trigger.SignedRequest(r), err
}

func (u uploads) SignDownload(ctx context.Context, o pipeline.Object, filename string, expires time.Duration) (string, error) {
	return u.at(ctx).SignDownload(ctx, o, filename, expires)
}

// at is the signer whose links lead where the caller reached this program, if it serves them itself.
func (u uploads) at(ctx context.Context) *gcs.Signer {
	if public, ok := ctx.Value(calledKey{}).(*url.URL); ok {
		return u.signer.At(public)
	}
	return u.signer
}

type calledKey struct{}

// LinksFollowCaller makes the links that next hands out lead to where its caller reached it, as its own addresses do: for a host
// that serves them itself.
func LinksFollowCaller(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := &url.URL{Scheme: "http", Host: r.Host}
		if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
			public.Scheme = "https"
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), calledKey{}, public)))
	})
}
