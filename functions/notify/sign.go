package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// secretPrefix marks a webhook secret (Standard Webhooks 1.0.0, "Symmetric").
const secretPrefix = "whsec_"

// Secret is what the receiver of one request's webhook verifies with. It follows from the deployment's key, so it is kept
// nowhere, and one client's secret says nothing about another's.
func Secret(key []byte, requestID string) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secretBytes(key, requestID))
}

func secretBytes(key []byte, requestID string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte("webhook secret of " + requestID)) // a hash takes everything
	return mac.Sum(nil)
}

// signatures is the webhook-signature header: one signature under each key, separated by spaces.
func signatures(keys [][]byte, requestID, messageID, timestamp string, body []byte) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = "v1," + base64.StdEncoding.EncodeToString(sign(secretBytes(key, requestID), messageID, timestamp, body))
	}
	return strings.Join(all, " ")
}

func sign(secret []byte, messageID, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", messageID, timestamp, body)
	return mac.Sum(nil)
}

// ErrSignature means that a webhook is not from whom it claims to be, or is old.
var ErrSignature = errors.New("notify: webhook signature does not hold")

// tolerance of a receiver's clock (Standard Webhooks reference libraries).
const tolerance = 5 * time.Minute

// Verify is the receiver's side, for receivers in Go: it checks a webhook's headers and body with the secret from the
// answer to the trigger.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return fmt.Errorf("webhook secret: %w", err)
	}
	if len(key) < minKeyBytes {
		return errors.New("webhook secret: it is too short to be one") // anybody could sign with an empty one
	}
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrSignature
	}
	want := sign(key, h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	for signature := range strings.FieldsSeq(h.Get("webhook-signature")) {
		text, ok := strings.CutPrefix(signature, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
