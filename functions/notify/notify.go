// Package notify publishes to clients that a reconstruction has ended: by a webhook after the Standard Webhooks 1.0.0
// specification, signed, sent to public https addresses only, and by an e-mail where the deployment has a mail server. Each is
// repeated until it is taken. The package reacts to messages on the reconstruction-finished topic; a delivery that fails answers the
// message with an error, and Pub/Sub brings it back with growing pauses for a day. So the retries need no timer and no state of
// their own here.
//
// Where a request's webhook and mail go, and what became of each delivery, is beside its artifacts.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Store is the part of the object storage used here.
type Store interface {
	Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error)
	Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error)
	Stat(ctx context.Context, bucket, name string) (pipeline.Object, error)
	Delete(ctx context.Context, o pipeline.Object) error
}

// Config is everything a Service works with. All but Mail and Deliveries are required.
type Config struct {
	Store  Store
	Bucket string // the artifacts bucket
	Guard  *Guard
	// Keys yields the deployment's keys, newest first: each request's secret follows from one. A message is signed under
	// all of them, so a key can be replaced without any receiver noticing: add the new one, wait until requests made under
	// the old one have ended, remove the old one.
	Keys func(context.Context) ([][]byte, error)
	Mail *Mailer // nil: this deployment sends no mails
	// Deliveries, when set, counts the tries to deliver.
	Deliveries *Deliveries
	Log        *slog.Logger
	Now        func() time.Time
}

// Service registers and delivers webhooks and mails.
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

// notify publishes the end of a request in every way that its client chose, at the same time: each has its own time limit. An error
// means that the message should come again.
func (s *Service) notify(ctx context.Context, f Finished, message string, at time.Time) error {
	var webhook, mail error
	var both sync.WaitGroup
	both.Go(func() { webhook = s.webhook(ctx, f, message, at) })
	both.Go(func() { mail = s.mail(ctx, f, message) })
	both.Wait()
	return errors.Join(webhook, mail)
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
