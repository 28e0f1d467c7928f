// Package tenant is who may ask for work, and for how much: API keys with what each may do and until when, what callers may use in a day, and the
// rows of the audit log. Keys are configured (a list of hashes) or
// stored by an operator, in the artifacts bucket, where they survive the loss of everything else. A Register writes them, a Ring verifies
// them.
package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Scope is what a key may do.
type Scope string

// The scopes. What is done with a callback token needs no key.
const (
	Submit Scope = "submit" // ask for reconstructions and for estimates
	Read   Scope = "read"   // follow the caller's own requests by their ids
)

// Scopes are all of them: what a configured key has, and a stored one that was added without any.
func Scopes() []Scope { return []Scope{Submit, Read} }

// Key is one API key, without the secret: only its hash is kept.
type Key struct {
	ID        string    `json:"id"`   // public; from the hash
	Name      string    `json:"name"` // of the caller: several keys may have it, so that one can be replaced while both work
	Hash      string    `json:"hash"` // SHA-256 of the secret, in hexadecimal
	Scopes    []Scope   `json:"scopes"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: it does not expire
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// prefix lets secret scanners find a key that was committed by mistake.
const prefix = "splatworks_"

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// CheckName says what is wrong with the name of a caller.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return errors.New("a key's name is 1 to 63 lower-case letters, digits and hyphens, starting with a letter or digit")
	}
	return nil
}

// New draws the secret of a key that has all scopes and does not expire. Hashing once is enough: nobody guesses 256 bits.
func New(name string, random io.Reader) (secret string, k Key, err error) {
	if err := CheckName(name); err != nil {
		return "", Key{}, err
	}
	token, err := pipeline.NewToken(random)
	if err != nil {
		return "", Key{}, err
	}
	secret = prefix + token
	return secret, keyOf(name, sha256.Sum256([]byte(secret))), nil
}

func keyOf(name string, hash [sha256.Size]byte) Key {
	return Key{ID: hex.EncodeToString(hash[:8]), Name: name, Hash: hex.EncodeToString(hash[:]), Scopes: Scopes()}
}

// Entry is the key as ParseEntries reads it.
func (k Key) Entry() string { return k.Name + ":" + k.Hash }

// ParseEntries reads configured keys: a list of NAME:SHA256, the hash in hexadecimal.
func ParseEntries(list []string) ([]Key, error) {
	var keys []Key
	for i, item := range list {
		name, digest, _ := strings.Cut(strings.TrimSpace(item), ":")
		var hash [sha256.Size]byte
		n, err := hex.Decode(hash[:], []byte(digest[:min(len(digest), 2*sha256.Size)]))
		if err != nil || n != sha256.Size || len(digest) != 2*sha256.Size || CheckName(name) != nil {
			return nil, fmt.Errorf("API key %d has not the form NAME:SHA256", i+1) // never its text: it may be a key by mistake
		}
		keys = append(keys, keyOf(name, hash))
	}
	return keys, nil
}

// Errors of a key that does not open. Unknown says nothing about how it was wrong; the others are for its holder.
var (
	ErrUnknown = errors.New("no valid API key")
	ErrRevoked = errors.New("the API key was revoked")
	ErrExpired = errors.New("the API key has expired")
	ErrScope   = errors.New("the API key may not do this")
)

// Check says why the key does not open for a purpose now.
func (k Key) Check(now time.Time, need Scope) error {
	switch {
	case !k.RevokedAt.IsZero():
		return ErrRevoked
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return ErrExpired
	case !slices.Contains(k.Scopes, need):
		return ErrScope
	}
	return nil
}

// State is what an operator reads: active, revoked or expired.
func (k Key) State(now time.Time) string {
	switch k.Check(now, "") {
	case ErrRevoked:
		return "revoked"
	case ErrExpired:
		return "expired"
	}
	return "active"
}
