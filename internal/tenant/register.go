package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Store is what a Register needs of artifacts.Store.
type Store interface {
	artifacts.Opener
	artifacts.Putter
	List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error]
}

// Register holds the stored keys: one object each, by name and id, and beside it when the key was last used.
type Register struct {
	Store  Store
	Bucket string // of artifacts
}

// maxKeyBytes bounds the document of a key.
const maxKeyBytes = 16 << 10

// Add stores a new key.
func (r Register) Add(ctx context.Context, k Key) error {
	_, err := artifacts.PutJSON(ctx, r.Store, r.Bucket, artifacts.KeyName(k.Name, k.ID), k, artifacts.PutOptions{DoesNotExist: true})
	if err != nil && !errors.Is(err, artifacts.ErrExists) { // a write that was retried finds its own object: the id is of 64 random bits
		return fmt.Errorf("store key: %w", err)
	}
	return nil
}

// ErrNoKey is what Revoke returns for an id that no stored key has.
var ErrNoKey = errors.New("no stored API key has this id")

// Revoke marks a key as revoked for good, and returns it. The first time counts.
func (r Register) Revoke(ctx context.Context, id string, now time.Time) (k Key, first bool, err error) {
	all, err := r.All(ctx)
	if err != nil {
		return Key{}, false, err
	}
	for _, k := range all {
		if k.ID != id {
			continue
		}
		if !k.RevokedAt.IsZero() {
			return k, false, nil
		}
		k.RevokedAt = now
		if _, err := artifacts.PutJSON(ctx, r.Store, r.Bucket, artifacts.KeyName(k.Name, k.ID), k, artifacts.PutOptions{}); err != nil {
			return Key{}, false, fmt.Errorf("revoke key: %w", err)
		}
		return k, true, nil
	}
	return Key{}, false, ErrNoKey
}

// All are the stored keys, by name. One that cannot be read is an error.
func (r Register) All(ctx context.Context) ([]Key, error) {
	var keys []Key
	for o, err := range r.Store.List(ctx, r.Bucket, artifacts.KeyPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		k, err := r.read(ctx, o.Name)
		if errors.Is(err, artifacts.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// read is the key in an object as it is now. Its name and id are those of the object, so that no key speaks for a caller whose folder it
// is not in.
func (r Register) read(ctx context.Context, name string) (Key, error) {
	var k Key
	if err := artifacts.GetJSON(ctx, r.Store, pipeline.Object{Bucket: r.Bucket, Name: name}, &k, maxKeyBytes); err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	hash, err := hex.DecodeString(k.Hash)
	if err != nil || len(hash) != sha256.Size || CheckName(k.Name) != nil || name != artifacts.KeyName(k.Name, k.ID) {
		return Key{}, fmt.Errorf("read key: %s holds another: %w", name, artifacts.ErrDamaged)
	}
	return k, nil
}

// use is the note of a key's last use.
type use struct {
	UsedAt time.Time `json:"used_at"`
}

// Used notes that a key was used.
func (r Register) Used(ctx context.Context, k Key, now time.Time) error {
	_, err := artifacts.PutJSON(ctx, r.Store, r.Bucket, artifacts.KeyUseName(k.Name, k.ID), use{now}, artifacts.PutOptions{})
	return err
}

// LastUses are the times that Used noted, by the keys' ids.
func (r Register) LastUses(ctx context.Context) (map[string]time.Time, error) {
	times := map[string]time.Time{}
	for o, err := range r.Store.List(ctx, r.Bucket, artifacts.KeyUsePrefix) {
		if err != nil {
			return nil, fmt.Errorf("list uses of keys: %w", err)
		}
		var u use
		switch err := artifacts.GetJSON(ctx, r.Store, pipeline.Object{Bucket: o.Bucket, Name: o.Name}, &u, maxKeyBytes); { // the newest: it may be replaced meanwhile
		case errors.Is(err, artifacts.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("read use of a key: %w", err)
		default:
			id := o.Name[strings.LastIndex(o.Name, "/")+1:]
			times[strings.TrimSuffix(id, ".json")] = u.UsedAt
		}
	}
	return times, nil
}
