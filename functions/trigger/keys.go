package trigger

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// Keys are the API keys of a deployment. Without any, everybody who reaches the API may ask for reconstructions.
type Keys []key

type key struct {
	name string
	hash [sha256.Size]byte
}

// KeyHeader is where a caller sends its key: Authorization is Cloud Run's and the callback tokens'.
const KeyHeader = "X-Api-Key"

// keyPrefix lets secret scanners find a key that was committed by mistake.
const keyPrefix = "splatworks_"

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ParseKeys reads a list of NAME:SHA256, the hash in hexadecimal. A name is who calls, for the rate limit and the records;
// it may appear twice with two hashes, so that a key can be replaced while both work.
func ParseKeys(list []string) (Keys, error) {
	var keys Keys
	for i, item := range list {
		name, digest, _ := strings.Cut(strings.TrimSpace(item), ":")
		k := key{name: name}
		n, err := hex.Decode(k.hash[:], []byte(digest[:min(len(digest), 2*sha256.Size)]))
		if err != nil || n != sha256.Size || len(digest) != 2*sha256.Size || !keyName.MatchString(name) {
			return nil, fmt.Errorf("API key %d has not the form NAME:SHA256", i+1) // never its text: it may be a key by mistake
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// NewKey makes a key from a random token, and what ParseKeys takes for it. Hashing once is enough: nobody guesses 256 bits.
func NewKey(name, token string) (secret, entry string, err error) {
	if !keyName.MatchString(name) {
		return "", "", errors.New("a key's name is 1 to 63 lower-case letters, digits and hyphens, starting with a letter or digit")
	}
	secret = keyPrefix + token
	sum := sha256.Sum256([]byte(secret))
	return secret, name + ":" + hex.EncodeToString(sum[:]), nil
}

// errNoKey says nothing about how a key was wrong.
var errNoKey = errors.New("no valid API key")

// Caller names the caller by its key, after the same work for every key. Without keys otherwise does.
func (k Keys) Caller(otherwise func(*http.Request) (string, error)) func(*http.Request) (string, error) {
	if len(k) == 0 {
		return otherwise
	}
	return func(r *http.Request) (string, error) {
		sum := sha256.Sum256([]byte(r.Header.Get(KeyHeader)))
		found := -1
		for i := range k {
			found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], k[i].hash[:]), i, found)
		}
		if found < 0 {
			return "", errNoKey
		}
		return pipeline.KeyCaller + k[found].name, nil
	}
}
