package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
)

// way is one way in which the end of a request is published, and where what is known of it is kept.
type way struct {
	name      string
	log, lock func(requestID string) string
}

var (
	webhooks = way{"webhook", artifacts.WebhookLogName, artifacts.WebhookLockName}
	mails    = way{"mail", artifacts.MailLogName, artifacts.MailLockName}
)

// AnswerWithin is how long a receiver or a mail server may take. What brings the messages here waits serve.EventDeadline for all of
// this function's work, of which storageTime is for the storage.
const (
	AnswerWithin = 7 * time.Second
	storageTime  = 2 * time.Second
)

// once makes one try of what was not delivered before, and keeps what became of it. An error means that the message should come
// again. A request has one schedule of tries in each way, however many messages announce its end: that of the first message, until
// it falls silent.
func (s *Service) once(ctx context.Context, w way, requestID, message string, try func(context.Context) (delivery, error)) error {
	release, err := s.lock(ctx, w.lock(requestID))
	if err != nil {
		return err
	}
	defer release()
	var log deliveryLog
	if _, err := s.read(ctx, w.log(requestID), &log); err != nil {
		return err
	}
	if log.Done != "" || log.followedBy(message, s.Now()) {
		return nil
	}
	log.Message = message
	attempt, err := try(ctx)
	if err != nil {
		return err
	}
	later := len(log.Attempts) > 0
	log.add(attempt)
	outcome := log.outcome()
	s.Deliveries.note(w, outcome, later)
	if err := s.keep(ctx, w.log(requestID), log); err != nil {
		return err // a delivered one may come twice; its id is the same
	}
	s.Log.InfoContext(ctx, w.name, "request_id", requestID, "status", attempt.Status, "error", attempt.Error, "outcome", outcome, "done", log.Done)
	if log.Done == "" {
		return fmt.Errorf("deliver %s of %s: %s", w.name, requestID, attempt.Error)
	}
	return nil
}

// deliveryLog records for an operator what became of a webhook or a mail.
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

	final string // why no further try is made, where that is known
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
	case d.final != "":
		l.Done = d.final
	case d.Error == "":
		l.Done = delivered
	}
}

// outcome is that of the newest try.
func (l *deliveryLog) outcome() string {
	switch l.Done {
	case "":
		return failed
	case delivered:
		return delivered
	}
	return refused
}

func (s *Service) keep(ctx context.Context, name string, log deliveryLog) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTime)
	defer cancel()
	body, err := json.Marshal(log)
	if err != nil {
		return fmt.Errorf("encode delivery log: %w", err)
	}
	if _, err := s.Store.Put(ctx, s.Bucket, name, bytes.NewReader(body), artifacts.PutOptions{ContentType: "application/json"}); err != nil {
		return fmt.Errorf("keep delivery log: %w", err)
	}
	return nil
}
