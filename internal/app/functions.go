package app

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/functions/ratelimit"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

// The shield in front of the shared limit: far above it, so that it bounds load and not use.
const shieldPerSecond, shieldBurst = 50, 100

// Trigger is the request API. account signs URLs, which lead to publicStorage (empty: Cloud Storage itself).
func (p *Parts) Trigger(account gcs.Account, publicStorage string) (*trigger.Service, error) {
	limit, err := ratelimit.NewRedis(p.Redis, "trigger", ratelimit.Default, time.Now)
	if err != nil {
		return nil, err
	}
	signer, err := gcs.NewSigner(p.Store, account, publicStorage)
	if err != nil {
		return nil, err
	}
	return trigger.New(trigger.Config{
		Queue: p.Queue, Store: p.Store, Buckets: p.Buckets, Signer: uploads{signer}, Publisher: p.Publisher,
		Limiter: ratelimit.NewShield(limit, shieldPerSecond, shieldBurst, time.Now),
		Log:     p.Log, Now: time.Now, Random: rand.Reader, PublicURL: p.config.PublicURL,
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
