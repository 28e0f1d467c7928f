package notify

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// keyring is the document in which a deployment keeps its keys. To replace a key put the new one first, and remove the
// old one when no request made under it is left.
type keyring struct {
	Keys [][]byte `json:"keys"` // base64, newest first
}

const (
	keyBytes    = 32
	minKeyBytes = 24 // Standard Webhooks: 24 to 64

	maxKeyringBytes = 64 << 10
)

// StoredKeys yields the keys kept in the artifacts bucket, drawing the first one when there is none. They are there
// because they must outlive Redis: a receiver keeps its secret for as long as its request runs.
func StoredKeys(store Store, bucket string, random io.Reader) func(context.Context) ([][]byte, error) {
	read := func(ctx context.Context) (keyring, error) {
		var k keyring
		if err := artifacts.GetJSON(ctx, store, pipeline.Object{Bucket: bucket, Name: artifacts.WebhookKeysName}, &k, maxKeyringBytes); err != nil {
			return k, err
		}
		if len(k.Keys) == 0 {
			return k, errors.New("it holds no key")
		}
		for _, key := range k.Keys {
			if len(key) < minKeyBytes {
				return k, fmt.Errorf("a key has only %d bytes", len(key))
			}
		}
		return k, nil
	}
	return func(ctx context.Context) ([][]byte, error) {
		k, err := read(ctx)
		if errors.Is(err, artifacts.ErrNotFound) {
			k.Keys = [][]byte{make([]byte, keyBytes)}
			if _, err := io.ReadFull(random, k.Keys[0]); err != nil {
				return nil, fmt.Errorf("draw webhook key: %w", err)
			}
			_, err := artifacts.PutJSON(ctx, store, bucket, artifacts.WebhookKeysName, k, artifacts.PutOptions{DoesNotExist: true})
			if err != nil && !errors.Is(err, artifacts.ErrExists) {
				return nil, fmt.Errorf("keep webhook keys: %w", err)
			}
			k, err = read(ctx) // another instance's, if it was first
			if err != nil {
				return nil, fmt.Errorf("read webhook keys: %w", err)
			}
			return k.Keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read webhook keys: %w", err)
		}
		return k.Keys, nil
	}
}
