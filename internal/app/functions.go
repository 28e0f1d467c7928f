package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/functions/ratelimit"
	"github.com/splatworks/splatworks/functions/sharedsecret"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// RunFunctions hosts the functions as functions-framework-go does, with a graceful stop: FUNCTION_TARGET chooses one.
func RunFunctions(ctx context.Context, log *slog.Logger) error {
	return withParts(ctx, log, func(c Config, parts *Parts) error {
		api, err := parts.Trigger(gcs.Account{Email: c.Account}, c.Storage)
		if err != nil {
			return err
		}
		webhooks, err := parts.Notify()
		if err != nil {
			return err
		}
		handler, err := serve.Host(os.Getenv("FUNCTION_TARGET"), serve.Function{Name: "trigger", HTTP: api.Handler()},
			serve.Function{Name: "notify", Event: webhooks.Receive})
		if err != nil {
			return err
		}
		return serve.Server{Listen: ":" + c.Port, Handler: parts.Harden(handler), Log: log}.Run(ctx)
	})
}

// Harden puts between the network and the request API what every host of it needs.
func (p *Parts) Harden(next http.Handler) http.Handler {
	return serve.CORS(p.config.Origins, serve.Hardening{Log: p.Log}.Wrap(next))
}

// The shield in front of the shared limit: far above it, so that it bounds load and not use.
const shieldPerSecond, shieldBurst = 50, 100

// Trigger is the request API. account signs URLs, which lead to publicStorage (empty: Cloud Storage itself).
func (p *Parts) Trigger(account gcs.Account, publicStorage string) (*trigger.Service, error) {
	limit, err := ratelimit.NewRedis(p.Redis, "trigger", ratelimit.Limits{Global: p.config.RateGlobal, PerCaller: p.config.RateCaller, Window: time.Minute}, time.Now)
	if err != nil {
		return nil, err
	}
	keys, err := trigger.ParseKeys(p.config.APIKeys)
	if err != nil {
		return nil, err
	}
	signer, err := gcs.NewSigner(p.Store, account, publicStorage)
	if err != nil {
		return nil, err
	}
	webhooks, err := p.Notify()
	if err != nil {
		return nil, err
	}
	proxies := 0
	if os.Getenv("K_SERVICE") != "" { // Cloud Run: its front end names the caller
		proxies = 1
	}
	return trigger.New(trigger.Config{
		Queue: p.Queue, Whole: p.Queue.Whole, News: p.Queue, Ended: p.Ended, Secret: sharedsecret.Redis(p.Redis, "{trigger}:secret", rand.Reader), Proxies: proxies, Webhooks: webhooks,
		Store: p.Store, Buckets: p.Buckets, Signer: uploads{signer}, Publisher: p.Publisher,
		Limiter: ratelimit.NewShield(limit, shieldPerSecond, shieldBurst, time.Now),
		Log:     p.Log, Now: time.Now, Random: rand.Reader, PublicURL: p.config.PublicURL, Sources: p.config.Sources, Keys: keys, MaxUploadBytes: p.config.MaxUpload,
	})
}

// Notify keeps and sends webhooks. On a laptop its owner's receivers may run on it, too.
func (p *Parts) Notify() (*notify.Service, error) {
	return notify.New(notify.Config{
		Store: p.Store, Bucket: p.Buckets.Artifacts, Guard: &notify.Guard{AllowLoopback: p.config.LoopbackWebhooks},
		Keys: notify.StoredKeys(p.Store, p.Buckets.Artifacts, rand.Reader), Log: p.Log, Now: time.Now,
	})
}

// uploads is gcs.Signer in the words of package trigger.
type uploads struct{ signer *gcs.Signer }

func (u uploads) SignUpload(ctx context.Context, spec trigger.UploadSpec) (trigger.SignedRequest, error) {
	r, err := u.signer.SignUpload(ctx, gcs.UploadSpec(spec))
	return trigger.SignedRequest(r), err
}

func (u uploads) SignDownload(ctx context.Context, o pipeline.Object, filename string, expires time.Duration) (string, error) {
	return u.signer.SignDownload(ctx, o, filename, expires)
}
