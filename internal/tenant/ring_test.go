package tenant_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// world is a ring on a register in memory, with a clock moved by hand. It counts what the ring does with the storage.
type world struct {
	*memory.Store
	ring *tenant.Ring
	log  bytes.Buffer

	mu                 sync.Mutex
	time               time.Time
	lists, opens, puts int
	broken             error
	whileListing       func()
}

func newWorld(t testing.TB, configured ...tenant.Key) *world {
	t.Helper()
	w := &world{Store: memory.New(), time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	w.ring = tenant.NewRing(configured, tenant.Register{Store: w, Bucket: "artifacts"}, w.now, slog.New(slog.NewTextHandler(&w.log, nil)))
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

func (w *world) count(n *int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	*n++
	return w.broken
}

func (w *world) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if err := w.count(&w.puts); err != nil {
		return pipeline.Object{}, err
	}
	return w.Store.Put(ctx, bucket, name, r, o)
}

func (w *world) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	if err := w.count(&w.opens); err != nil {
		return nil, err
	}
	return w.Store.Open(ctx, o)
}

func (w *world) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	if err := w.count(&w.lists); err != nil {
		return func(yield func(pipeline.Object, error) bool) { yield(pipeline.Object{}, err) }
	}
	objects := slices.Collect(func(yield func(pipeline.Object) bool) {
		for o := range w.Store.List(ctx, bucket, prefix) {
			yield(o)
		}
	})
	if w.whileListing != nil {
		w.whileListing()
	}
	return func(yield func(pipeline.Object, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// register is another program's.
func (w *world) register() tenant.Register {
	return tenant.Register{Store: w.Store, Bucket: "artifacts"}
}

func (w *world) add(t testing.TB, name string, expires time.Duration) (secret string, k tenant.Key) {
	t.Helper()
	secret, k = newKey(t, name)
	k.CreatedAt = w.now()
	if expires > 0 {
		k.ExpiresAt = w.now().Add(expires)
	}
	if err := w.register().Add(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return secret, k
}

func (w *world) want(t testing.TB, secret string, want error) {
	t.Helper()
	if _, err := w.ring.Caller(t.Context(), secret, tenant.Submit); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// TestRevocationIsBounded: a key opens until it was revoked for less than Freshness, and never after; one that was added opens two seconds
// after somebody asked in vain.
func TestRevocationIsBounded(t *testing.T) {
	w := newWorld(t)
	secret, k := w.add(t, "app", 0)
	w.want(t, secret, nil)
	w.advance(time.Second)
	for range 2 { // the second time changes nothing
		if _, _, err := w.register().Revoke(t.Context(), k.ID, w.now()); err != nil {
			t.Fatal(err)
		}
	}
	w.advance(tenant.Freshness - time.Second - 1)
	w.want(t, secret, nil)
	w.advance(1)
	w.want(t, secret, tenant.ErrRevoked)

	late, _ := newKey(t, "late")
	w.want(t, late, tenant.ErrUnknown)
	added, _ := w.add(t, "late", 0)
	w.want(t, added, tenant.ErrUnknown)
	w.advance(2 * time.Second)
	w.want(t, added, nil)
}

// TestRevocationDuringALook: a look that began before the revocation does not stretch the bound.
func TestRevocationDuringALook(t *testing.T) {
	w := newWorld(t)
	secret, k := w.add(t, "app", 0)
	w.want(t, secret, nil)
	w.advance(tenant.Freshness)
	w.whileListing = func() { w.advance(time.Minute) } // the storage is slow
	w.want(t, secret, nil)
	if _, _, err := w.register().Revoke(t.Context(), k.ID, w.now()); err != nil {
		t.Fatal(err)
	}
	w.whileListing = nil
	w.want(t, secret, tenant.ErrRevoked)
}

// TestExpiry is exact, by the clock of the ring, and needs no look at the storage.
func TestExpiry(t *testing.T) {
	w := newWorld(t)
	secret, _ := w.add(t, "app", 10*time.Second)
	w.want(t, secret, nil)
	w.advance(10*time.Second - 1)
	w.want(t, secret, nil)
	w.advance(1)
	w.want(t, secret, tenant.ErrExpired)
	w.advance(-time.Hour) // a clock that steps back makes nothing older fresh
	w.broken = artifacts.ErrUnavailable
	w.want(t, secret, artifacts.ErrUnavailable)
}

// TestScopes: each scope opens its own.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	for _, scope := range tenant.Scopes() {
		secret, k := newKey(t, "app")
		k.CreatedAt, k.Scopes = w.now(), []tenant.Scope{scope}
		if err := w.register().Add(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		w.advance(time.Minute)
		for _, need := range append(tenant.Scopes(), "", "operate") {
			_, err := w.ring.Caller(t.Context(), secret, need)
			if need == scope && err != nil || need != scope && !errors.Is(err, tenant.ErrScope) {
				t.Errorf("a key to %s asked to %q: %v", scope, need, err)
			}
		}
	}
}

// TestCallsCostNoReads: a thousand calls, half of them with keys that nobody has, read the list once; the use is noted once an hour.
func TestCallsCostNoReads(t *testing.T) {
	w := newWorld(t)
	secret, k := w.add(t, "app", 0)
	wrong, _ := newKey(t, "app")
	for range 500 {
		w.want(t, secret, nil)
		w.want(t, wrong, tenant.ErrUnknown)
	}
	if w.lists != 1 || w.opens != 1 || w.puts != 1 {
		t.Errorf("%d lists, %d reads, %d writes", w.lists, w.opens, w.puts)
	}
	w.advance(time.Hour - 1)
	w.want(t, secret, nil)
	if w.lists != 2 || w.opens != 1 || w.puts != 1 {
		t.Errorf("within the hour: %d lists, %d reads, %d writes", w.lists, w.opens, w.puts)
	}
	w.advance(1)
	w.want(t, secret, nil)
	if used, err := w.register().LastUses(t.Context()); err != nil || !used[k.ID].Equal(w.now()) || w.puts != 2 {
		t.Errorf("%v %v, %d writes", used, err, w.puts)
	}
}

// TestStorageThatFails: nobody is let in by keys that are older than the bound, and the configured ones need no storage.
func TestStorageThatFails(t *testing.T) {
	fixed, k := newKey(t, "fixed")
	w := newWorld(t, k)
	secret, _ := w.add(t, "app", 0)
	w.want(t, secret, nil)
	w.broken = artifacts.ErrUnavailable
	w.advance(tenant.Freshness - 1)
	w.want(t, secret, nil)
	w.advance(1)
	w.want(t, secret, artifacts.ErrUnavailable)
	w.want(t, fixed, nil)
	w.want(t, "", tenant.ErrUnknown)
	w.broken = nil
	w.want(t, secret, nil)
}

// TestKeysThatCannotBeRead open nothing, and do not keep others from it; none speaks for a caller in whose folder it is not.
func TestKeysThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	secret, _ := w.add(t, "app", 0)
	stolen, k := newKey(t, "evil")
	k.CreatedAt = w.now()
	if _, err := artifacts.PutJSON(t.Context(), w.Store, "artifacts", artifacts.KeyName("app", k.ID), k, artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Put(t.Context(), "artifacts", artifacts.KeyName("app", "broken"), strings.NewReader("{"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	w.want(t, secret, nil)
	w.want(t, stolen, tenant.ErrUnknown)
	if n := strings.Count(w.log.String(), "opens nothing"); n != 2 {
		t.Errorf("%d lines: %s", n, w.log.String())
	}
	if _, err := w.register().All(t.Context()); !errors.Is(err, artifacts.ErrDamaged) {
		t.Error("an operator's list leaves it out")
	}
}

// TestKeysAtOnce: with calls from many sides the list is read once, and each caller is named right.
func TestKeysAtOnce(t *testing.T) {
	w := newWorld(t)
	names := []string{"a", "b", "c"}
	secrets := map[string]string{}
	for _, name := range names {
		secrets[name], _ = w.add(t, name, 0)
	}
	var calls sync.WaitGroup
	for i := range 60 {
		calls.Go(func() {
			name := names[i%len(names)]
			if caller, err := w.ring.Caller(t.Context(), secrets[name], tenant.Read); err != nil || caller != "key:"+name {
				t.Errorf("%s: %s %v", name, caller, err)
			}
		})
	}
	calls.Wait()
	if w.lists != 1 || w.puts != len(names) {
		t.Errorf("%d lists, %d writes", w.lists, w.puts)
	}
}
