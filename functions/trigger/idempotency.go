package trigger

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// chance is where a new request's token and the random part of its id come from. Under an Idempotency-Key both are not
// random but follow from the deployment's secret, the caller and the key, the id from the body too. So nothing needs to
// be stored: a repeated call makes the same token, finds its request by it, and a different body shows in the id.
type chance struct {
	key       string // empty: none was sent
	token, id io.Reader
	idBytes   []byte
}

// An Idempotency-Key has 1 to maxKeyBytes (draft-ietf-httpapi-idempotency-key-header-07 leaves the limit to the service). Where
// callers are identified by their address alone, others may share it, and a key that they guess hands the request over: there it
// has at least sharedKeyBytes.
const (
	maxKeyBytes    = 255
	sharedKeyBytes = 16
)

func (s *Service) chance(ctx context.Context, r *http.Request, caller string, ask api.Trigger) (chance, *serve.Problem) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return chance{token: s.Random, id: s.Random}, nil
	}
	key, least := keys[0], 1
	if s.Keys == nil {
		least = sharedKeyBytes
	}
	if len(keys) > 1 || len(key) < least || len(key) > maxKeyBytes || !printable(key) {
		return chance{}, invalid("invalid_idempotency_key", fmt.Sprintf("Idempotency-Key must be one header of %d to %d printable ASCII characters.", least, maxKeyBytes),
			"Send a random one, such as a UUID, for each new request.")
	}
	secret, err := s.Secret(ctx)
	if err != nil {
		return chance{}, s.broken(ctx, "queue", err)
	}
	body, err := json.Marshal(ask) // not the bytes that came: their spacing says nothing
	if err != nil {
		return chance{}, s.broken(ctx, "random", err)
	}
	id := derive(secret, "request id", caller, key, string(body))
	return chance{key: key, token: bytes.NewReader(derive(secret, "callback token", caller, key)), id: bytes.NewReader(id), idBytes: id}, nil
}

const keyReused = "idempotency_key_reused"

func otherBody() *serve.Problem {
	return &serve.Problem{Status: http.StatusUnprocessableEntity, Code: keyReused,
		Detail: "This Idempotency-Key was used with another body.", Advice: "Use a new key for a new request."}
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// derive is HMAC-SHA256 over length-prefixed parts.
func derive(secret []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, p := range parts {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return mac.Sum(nil)
}

// repeated finds the request that an earlier call with the same key made. It is nil when no such request is kept:
// a submission that was called off before it was taken in does not count.
func (s *Service) repeated(ctx context.Context, c chance, tokenHash string, source *pipeline.Object) (*queue.State, *serve.Problem) {
	if c.key == "" {
		return nil, nil
	}
	state, err := s.Queue.LookupToken(ctx, tokenHash)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.broken(ctx, "queue", err)
	}
	same, err := pipeline.NewRequestID(state.CreatedAt, bytes.NewReader(c.idBytes))
	if err != nil {
		return nil, s.broken(ctx, "random", err)
	}
	if same != state.ID {
		return nil, otherBody()
	}
	_, err = s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.RequestName(state.ID))
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && state.Status.Terminal():
		return nil, nil
	case errors.Is(err, artifacts.ErrNotFound): // the earlier call died on the way, or is still on it
		if err := s.record(ctx, state.Request, source); err != nil {
			return nil, s.broken(ctx, "storage", err)
		}
	case err != nil:
		return nil, s.broken(ctx, "storage", err)
	case !state.Status.Terminal():
		if err := s.begin(ctx, state.ID, source); err != nil {
			return nil, s.broken(ctx, "storage", err)
		}
	}
	return &state, nil
}

// fixedSecret draws a secret for this process alone.
func fixedSecret(random io.Reader) (func(context.Context) ([]byte, error), error) {
	secret := make([]byte, sha256.Size)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("draw secret: %w", err)
	}
	return func(context.Context) ([]byte, error) { return secret, nil }, nil
}

// createdAt is a time as the queue keeps it: ids made from it can be made again.
func createdAt(now time.Time) time.Time { return now.UTC().Truncate(time.Millisecond) }
