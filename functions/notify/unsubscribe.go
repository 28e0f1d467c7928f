package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
)

// A token of an unsubscribe link is the keyed hash of the address and a signature of it, so that it needs no request that is still
// there, holds no address, and cannot be made without the deployment's key.
const (
	hashLen  = 32 // hexadecimal digits of each half
	tokenLen = 2 * hashLen
)

func keyedHash(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text)) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil))[:hashLen]
}

// addressHash stands for an address, however its capitals are written.
func addressHash(key []byte, address string) string {
	return keyedHash(key, "address of mails "+strings.ToLower(address))
}

func unsubscribeToken(key []byte, address string) string {
	hash := addressHash(key, address)
	return hash + keyedHash(key, "unsubscribe "+hash)
}

// Unsubscribe notes that the address of a mail with this token wants no further mails. known is false for a token that is not one of
// this deployment's. It may be repeated.
func (s *Service) Unsubscribe(ctx context.Context, token string) (known bool, err error) {
	if len(token) != tokenLen {
		return false, nil
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return false, err
	}
	hash, signature := token[:hashLen], token[hashLen:]
	for _, key := range keys {
		known = known || hmac.Equal([]byte(keyedHash(key, "unsubscribe "+hash)), []byte(signature))
	}
	if !known {
		return false, nil
	}
	at := map[string]any{"at": s.Now().UTC()}
	_, err = artifacts.PutJSON(ctx, s.Store, s.Bucket, artifacts.UnsubscribedName(hash), at, artifacts.PutOptions{DoesNotExist: true})
	if err != nil && !errors.Is(err, artifacts.ErrExists) {
		return true, fmt.Errorf("keep that an address wants no mails: %w", err)
	}
	return true, nil
}

// unsubscribed says whether an address wants no mails.
func (s *Service) unsubscribed(ctx context.Context, keys [][]byte, address string) (bool, error) {
	for _, key := range keys {
		_, err := s.Store.Stat(ctx, s.Bucket, artifacts.UnsubscribedName(addressHash(key, address)))
		if !errors.Is(err, artifacts.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}
