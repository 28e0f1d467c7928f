package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// target is where a request's webhook goes.
type target struct {
	URL      string `json:"url"`
	SecretOf string `json:"secret_of,omitempty"` // the request whose secret the receiver knows, when this one is its retry
}

// Check says, in words for the client, what is wrong with a webhook's address: its form, or where its name leads now.
func (s *Service) Check(ctx context.Context, url string) error { return s.Guard.Check(ctx, url) }

// Register keeps the webhook of a request and returns the secret that its receiver verifies with. Registering again
// changes nothing.
func (s *Service) Register(ctx context.Context, requestID, url string) (secret string, err error) {
	body, err := json.Marshal(target{URL: url})
	if err != nil {
		return "", fmt.Errorf("encode webhook: %w", err)
	}
	_, err = s.Store.Put(ctx, s.Bucket, artifacts.WebhookTargetName(requestID), bytes.NewReader(body),
		artifacts.PutOptions{ContentType: "application/json", DoesNotExist: true})
	if err != nil && !errors.Is(err, artifacts.ErrExists) {
		return "", fmt.Errorf("keep webhook: %w", err)
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	return Secret(keys[0], requestID), nil
}

// Payload is what a receiver gets.
type Payload struct {
	Type      string    `json:"type"` // reconstruction.completed, .failed or .canceled
	Timestamp time.Time `json:"timestamp"`
	Data      Data      `json:"data"`
}

// Data of a Payload. Results are fetched with the callback token, which no webhook carries.
type Data struct {
	RequestID string            `json:"request_id"`
	SessionID string            `json:"session_id"`
	Status    pipeline.Status   `json:"status"`
	Failure   *pipeline.Failure `json:"failure,omitempty"`
}

// webhook delivers the webhook of an ended request, if it has one and was not delivered before.
func (s *Service) webhook(ctx context.Context, f Finished, message string, at time.Time) error {
	var t target
	found, err := s.read(ctx, artifacts.WebhookTargetName(f.RequestID), &t)
	if err != nil || !found {
		return err
	}
	return s.once(ctx, webhooks, f.RequestID, message, func(ctx context.Context) (delivery, error) { return s.call(ctx, f, t, at) })
}

// call makes one try to deliver a webhook.
func (s *Service) call(ctx context.Context, f Finished, t target, at time.Time) (delivery, error) {
	payload := Payload{Type: "reconstruction." + strings.ToLower(string(f.Status)), Timestamp: at,
		Data: Data{RequestID: f.RequestID, SessionID: f.SessionID, Status: f.Status}}
	var err error
	if payload.Data.Failure, err = s.failure(ctx, f); err != nil {
		return delivery{}, err
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return delivery{}, fmt.Errorf("encode webhook: %w", err)
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return delivery{}, err
	}
	return s.deliver(ctx, t.URL, "msg_"+f.RequestID+"_"+strings.ToLower(string(f.Status)), cmp.Or(t.SecretOf, f.RequestID), keys, body), nil
}

// failure is why a request FAILED; nil when it did not, or when nobody wrote it down.
func (s *Service) failure(ctx context.Context, f Finished) (*pipeline.Failure, error) {
	if f.Status != pipeline.Failed {
		return nil, nil
	}
	var outcome queue.Outcome
	_, err := s.read(ctx, artifacts.OutcomeName(f.RequestID), &outcome)
	return outcome.Failure, err
}

// maxAnswerBytes bounds what is read of a receiver's answer.
const maxAnswerBytes = 16 << 10

// deliver sends the message once. It continues when the sender of the message hangs up: the receiver has it by then, and what
// it answers must be kept, or it is called again.
func (s *Service) deliver(ctx context.Context, url, messageID, secretOf string, keys [][]byte, body []byte) (d delivery) {
	start := s.Now().UTC()
	d.At = start
	defer func() { d.LatencyS = s.Now().Sub(start).Seconds() }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AnswerWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		d.Error = "the address cannot be called"
		return d
	}
	timestamp := strconv.FormatInt(start.Unix(), 10) // fresh with every try, or receivers would take it for a replay
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "splatworks-webhook/1")
	r.Header.Set("webhook-id", messageID)
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", signatures(keys, secretOf, messageID, timestamp, body))
	resp, err := s.client.Do(r)
	if err != nil {
		d.Error = "no answer: " + cause(err)
		return d
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswerBytes)) // what a receiver says in its answer is of no interest
	d.Status = resp.StatusCode
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		d.Error = "answered " + resp.Status
	}
	if resp.StatusCode == http.StatusGone {
		d.final = "the receiver wants no more" // Standard Webhooks: 410 disables
	}
	return d
}
