// Package notify calls clients' servers when a reconstruction has ended: a webhook by the Standard Webhooks 1.0.0
// specification, signed, sent to public https addresses only, and repeated until it is taken. It reacts to messages on
// the reconstruction-finished topic; a delivery that fails answers the message with an error, and Pub/Sub brings it back
// with growing pauses for a day. So the retries need no timer and no state of their own here.
//
// Where a request's webhook goes, and what became of each delivery, is beside its artifacts.
package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Store is the part of the object storage used here.
type Store interface {
	Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error)
	Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error)
	Stat(ctx context.Context, bucket, name string) (pipeline.Object, error)
	Delete(ctx context.Context, o pipeline.Object) error
}

// Config is everything a Service works with. All are required.
type Config struct {
	Store  Store
	Bucket string // the artifacts bucket
	Guard  *Guard
	// Keys yields the deployment's keys, newest first: each request's secret follows from one. A message is signed under
	// all of them, so a key can be replaced without any receiver noticing: add the new one, wait until requests made under
	// the old one have ended, remove the old one.
	Keys func(context.Context) ([][]byte, error)
	Log  *slog.Logger
	Now  func() time.Time
}

// Service registers and delivers webhooks.
type Service struct {
	Config
	client *http.Client
}

// New checks c.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Bucket == "" || c.Guard == nil || c.Keys == nil || c.Log == nil || c.Now == nil {
		return nil, errors.New("notify: a dependency is missing")
	}
	return &Service{c, c.Guard.client()}, nil
}

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

func (s *Service) keys(ctx context.Context) ([][]byte, error) {
	keys, err := s.Keys(ctx)
	if err == nil && len(keys) == 0 {
		err = errors.New("no target is recorded")
	}
	if err != nil {
		return nil, fmt.Errorf("webhook keys: %w", err)
	}
	return keys, nil
}

// Finished is the message on the reconstruction-finished topic.
type Finished struct {
	RequestID string          `json:"request_id"`
	SessionID string          `json:"session_id"`
	Status    pipeline.Status `json:"status"`
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

// messagePublished is the part of google.events.cloud.pubsub.v1.MessagePublishedData that matters here.
type messagePublished struct {
	Message struct {
		Data        []byte    `json:"data"`
		PublishTime time.Time `json:"publishTime"`
	} `json:"message"`
}

// Receive handles one message of the topic. An error brings it back later; what can never be delivered is logged and
// acknowledged.
func (s *Service) Receive(ctx context.Context, e cloudevents.Event) error {
	var published messagePublished
	var f Finished
	if err := e.DataAs(&published); err != nil || json.Unmarshal(published.Message.Data, &f) != nil || !pipeline.ValidRequestID(f.RequestID) || !f.Status.Terminal() {
		s.Log.WarnContext(ctx, "ignoring message: its request has not finished", "event_id", e.ID())
		return nil
	}
	at := published.Message.PublishTime
	if at.IsZero() {
		at = s.Now()
	}
	return s.notify(ctx, f, e.ID(), at.UTC())
}

// notify delivers the webhook of an ended request, if it has one and was not delivered before. An error means that the
// message should come again. A request has one schedule of deliveries, however many messages announce its end: that of the first
// message, until it falls silent.
func (s *Service) notify(ctx context.Context, f Finished, message string, at time.Time) error {
	var t target
	found, err := s.read(ctx, artifacts.WebhookTargetName(f.RequestID), &t)
	if err != nil || !found {
		return err
	}
	release, err := s.lock(ctx, f.RequestID)
	if err != nil {
		return err
	}
	defer release()
	var log deliveryLog
	if _, err := s.read(ctx, artifacts.WebhookLogName(f.RequestID), &log); err != nil {
		return err
	}
	if log.Done != "" || log.followedBy(message, s.Now()) {
		return nil
	}
	log.Message = message
	return s.try(ctx, f, t, log, at)
}

// try delivers once and keeps what became of it.
func (s *Service) try(ctx context.Context, f Finished, t target, log deliveryLog, at time.Time) error {
	payload := Payload{Type: "reconstruction." + strings.ToLower(string(f.Status)), Timestamp: at,
		Data: Data{RequestID: f.RequestID, SessionID: f.SessionID, Status: f.Status}}
	var outcome queue.Outcome
	if found, err := s.read(ctx, artifacts.OutcomeName(f.RequestID), &outcome); err != nil {
		return err
	} else if found && f.Status == pipeline.Failed {
		payload.Data.Failure = outcome.Failure
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode webhook: %w", err)
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	attempt := s.deliver(ctx, t.URL, "msg_"+f.RequestID+"_"+strings.ToLower(string(f.Status)), cmp.Or(t.SecretOf, f.RequestID), keys, body)
	log.add(attempt)
	if err := s.keep(ctx, f.RequestID, log); err != nil {
		return err // a delivered one may come twice; its id is the same
	}
	s.Log.InfoContext(ctx, "webhook", "request_id", f.RequestID, "status", attempt.Status, "error", attempt.Error, "done", log.Done)
	if log.Done == "" {
		return fmt.Errorf("deliver webhook of %s: %s", f.RequestID, attempt.Error)
	}
	return nil
}

// deliveryLog records for an operator what became of a webhook.
type deliveryLog struct {
	Done     string     `json:"done,omitempty"`    // "delivered", or why nobody tries any more
	Message  string     `json:"message,omitempty"` // id of the message whose repetitions are the schedule of tries
	Attempts []delivery `json:"attempts"`          // the newest maxAttempts
}

type delivery struct {
	At       time.Time `json:"at"`
	Status   int       `json:"status,omitempty"` // of the answer; 0: none came
	Error    string    `json:"error,omitempty"`
	LatencyS float64   `json:"latency_s"`
}

const maxAttempts = 100

// silence is how long the message that repeats a failed delivery may stay away: Eventarc brings one back after 600 s at most.
const silence = 20 * time.Minute

// followedBy says whether another message than this one brings the delivery back.
func (l *deliveryLog) followedBy(message string, now time.Time) bool {
	if l.Message == "" || l.Message == message || len(l.Attempts) == 0 {
		return false
	}
	return now.Sub(l.Attempts[len(l.Attempts)-1].At) < silence
}

func (l *deliveryLog) add(d delivery) {
	l.Attempts = append(l.Attempts, d)
	l.Attempts = l.Attempts[max(0, len(l.Attempts)-maxAttempts):]
	switch {
	case d.Error == "":
		l.Done = "delivered"
	case d.Status == http.StatusGone:
		l.Done = "the receiver wants no more" // Standard Webhooks: 410 disables
	}
}

// AnswerWithin is how long a receiver may take to answer. What brings the messages here waits serve.EventDeadline for all of
// this function's work, of which storageTime is for the storage.
const (
	AnswerWithin   = 7 * time.Second
	storageTime    = 2 * time.Second
	maxAnswerBytes = 16 << 10
)

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
	return d
}

// read decodes a document; found is false when there is none.
func (s *Service) read(ctx context.Context, name string, v any) (found bool, err error) {
	return s.readObject(ctx, pipeline.Object{Bucket: s.Bucket, Name: name}, v)
}

func (s *Service) readObject(ctx context.Context, o pipeline.Object, v any) (found bool, err error) {
	err = artifacts.GetJSON(ctx, s.Store, o, v, artifacts.MaxDocumentBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) keep(ctx context.Context, requestID string, log deliveryLog) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTime)
	defer cancel()
	body, err := json.Marshal(log)
	if err != nil {
		return fmt.Errorf("encode delivery log: %w", err)
	}
	if _, err := s.Store.Put(ctx, s.Bucket, artifacts.WebhookLogName(requestID), bytes.NewReader(body), artifacts.PutOptions{ContentType: "application/json"}); err != nil {
		return fmt.Errorf("keep delivery log: %w", err)
	}
	return nil
}
