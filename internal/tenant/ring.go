package tenant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

const (
	// Freshness is how old the stored keys may be that a Ring decides by: a key that was revoked opens nothing after it.
	Freshness = 30 * time.Second
	// missFreshness is the same for a key that is not among them: a new one opens after it.
	missFreshness = 2 * time.Second
	// lookTimeout bounds a look, so that what it finds is not older than Freshness when it is used.
	lookTimeout = 10 * time.Second
	// useEvery is how often one process notes that a key is used.
	useEvery = time.Hour
)

// Ring verifies keys. It has read the stored ones before they are asked for, so a call costs no read of the storage but one each
// Freshness, whatever key comes with it. Safe for concurrent use.
type Ring struct {
	fixed    []Key
	register Register
	now      func() time.Time
	log      *slog.Logger

	looking chan struct{} // holds one token while a look is on its way

	mu     sync.Mutex
	stored map[string]storedKey // by object name
	asOf   time.Time            // when the look began that found them
	noted  map[string]time.Time // when a key's use was noted, by id
}

type storedKey struct {
	Key
	generation int64
}

// NewRing verifies configured keys and those in a register.
func NewRing(fixed []Key, register Register, now func() time.Time, log *slog.Logger) *Ring {
	return &Ring{fixed: fixed, register: register, now: now, log: log, looking: make(chan struct{}, 1), noted: map[string]time.Time{}}
}

// Caller names the caller that a secret belongs to, as requests keep it. ErrUnknown, ErrRevoked, ErrExpired and ErrScope say that the key
// does not open; any other error, that nobody knows.
func (r *Ring) Caller(ctx context.Context, secret string, need Scope) (caller string, err error) {
	sum := sha256.Sum256([]byte(secret))
	k, found := among(r.fixed, sum)
	if !found {
		if k, found, err = r.storedKey(ctx, secret, sum); err != nil {
			return "", err
		}
		if !found {
			return "", ErrUnknown
		}
	}
	now := r.now()
	if err := k.Check(now, need); err != nil {
		return "", err
	}
	r.note(ctx, k, now)
	return pipeline.KeyCaller + k.Name, nil
}

func (r *Ring) storedKey(ctx context.Context, secret string, sum [sha256.Size]byte) (k Key, found bool, err error) {
	if !strings.HasPrefix(secret, prefix) {
		return Key{}, false, nil
	}
	for _, age := range []time.Duration{Freshness, missFreshness} {
		keys, err := r.known(ctx, age)
		if err != nil {
			return Key{}, false, err
		}
		if k, found = among(keys, sum); found {
			return k, true, nil
		}
	}
	return Key{}, false, nil
}

// among finds a key by the hash of its secret, after the same work for every key.
func among(keys []Key, sum [sha256.Size]byte) (Key, bool) {
	found := -1
	text := []byte(hex.EncodeToString(sum[:]))
	for i := range keys {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(text, []byte(keys[i].Hash)), i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return keys[found], true
}

// known are the stored keys, not older than age. One call at a time looks; the others wait for what it finds.
func (r *Ring) known(ctx context.Context, age time.Duration) ([]Key, error) {
	if keys, fresh := r.cached(age); fresh {
		return keys, nil
	}
	select {
	case r.looking <- struct{}{}:
		defer func() { <-r.looking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the keys: %w", ctx.Err())
	}
	if keys, fresh := r.cached(age); fresh {
		return keys, nil
	}
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	keys, _ := r.cached(age)
	return keys, nil
}

func (r *Ring) cached(age time.Duration) (keys []Key, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.stored {
		keys = append(keys, k.Key)
	}
	old := r.now().Sub(r.asOf)
	return keys, r.stored != nil && old >= 0 && old < age // a clock that stepped back makes nothing fresh
}

// look reads the keys that are new or have changed. One that cannot be read opens nothing, and does not keep the others from it.
func (r *Ring) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := r.now()
	r.mu.Lock()
	before := r.stored
	r.mu.Unlock()
	stored := map[string]storedKey{}
	for o, err := range r.register.Store.List(ctx, r.register.Bucket, artifacts.KeyPrefix) {
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		if k, same := before[o.Name]; same && k.generation == o.Generation {
			stored[o.Name] = k
			continue
		}
		k, err := r.register.read(ctx, o.Name)
		switch {
		case errors.Is(err, artifacts.ErrNotFound): // deleted meanwhile
		case errors.Is(err, artifacts.ErrDamaged):
			r.log.ErrorContext(ctx, "an API key cannot be read and opens nothing", "object", o.Name, "error", err.Error())
		case err != nil:
			return err
		default:
			stored[o.Name] = storedKey{k, o.Generation}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored, r.asOf = stored, began
	return nil
}

// note keeps the last use of a stored key, to the hour. The call does not depend on it.
func (r *Ring) note(ctx context.Context, k Key, now time.Time) {
	if k.CreatedAt.IsZero() {
		return // configured: nothing of it is stored
	}
	r.mu.Lock()
	due := now.Sub(r.noted[k.ID]) >= useEvery
	if due {
		r.noted[k.ID] = now
	}
	r.mu.Unlock()
	if !due {
		return
	}
	if err := r.register.Used(ctx, k, now); err != nil {
		r.log.WarnContext(ctx, "the last use of an API key was not noted", "key", k.ID, "error", err.Error())
	}
}
