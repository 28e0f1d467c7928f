package notify_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// TestDeliveryEndsWithinTheEventsDeadline: a handler that takes longer is called again while it works.
func TestDeliveryEndsWithinTheEventsDeadline(t *testing.T) {
	const aroundIt = 2 * time.Second // reading address, log and keys, and keeping the log
	if notify.AnswerWithin+aroundIt >= serve.EventDeadline {
		t.Errorf("a receiver may take %v, and the event is delivered again after %v", notify.AnswerWithin, serve.EventDeadline)
	}
}

type calls func(*http.Request) (*http.Response, error)

func (c calls) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

// TestSlowReceivers: one that answers in time is called once; one that does not is given up in time, and its try is kept.
func TestSlowReceivers(t *testing.T) {
	for takes, delivered := range map[time.Duration]bool{notify.AnswerWithin - time.Second: true, notify.AnswerWithin + time.Second: false, time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			s, store, _ := service(t, nil, "key")
			called := 0
			s.CallBy(calls(func(r *http.Request) (*http.Response, error) {
				called++
				select {
				case <-time.After(takes):
					return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}))
			if _, err := s.Register(t.Context(), id, "http://127.0.0.1/"); err != nil {
				t.Fatal(err)
			}
			e, start := message(t, notify.Finished{RequestID: id, Status: pipeline.Completed}), time.Now()
			err := s.Receive(t.Context(), e)
			if took := time.Since(start); (err == nil) != delivered || took != min(takes, notify.AnswerWithin) || called != 1 {
				t.Errorf("a receiver that takes %v: %v after %v, %d calls", takes, err, took, called)
			}
			var log struct{ Attempts []struct{ Error string } }
			o := pipeline.Object{Bucket: "artifacts", Name: artifacts.WebhookLogName(id)}
			if err := artifacts.GetJSON(t.Context(), store, o, &log, 1<<20); err != nil || len(log.Attempts) != 1 || (log.Attempts[0].Error == "") != delivered {
				t.Errorf("a receiver that takes %v: kept %+v, %v", takes, log, err)
			}
			if err := s.Receive(t.Context(), e); (err == nil) != delivered || (called == 1) != delivered {
				t.Errorf("the message once more: %v, %d calls", err, called)
			}
		})
	}
}

// TestMessagesOfOneEndAreOneSchedule: a caller that can cause several messages about one end must not multiply the calls of its
// receiver.
func TestMessagesOfOneEndAreOneSchedule(t *testing.T) {
	r := newReceiver(t, 404, 404)
	s, _, _ := service(t, r, "key")
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	first := message(t, notify.Finished{RequestID: id, Status: pipeline.Canceled})
	other := first.Clone()
	other.SetID("2")
	if err := s.Receive(t.Context(), first); err == nil {
		t.Fatal("404 is no delivery")
	}
	for range 200 {
		if err := s.Receive(t.Context(), other); err != nil {
			t.Fatal(err) // would bring it back
		}
	}
	if len(r.bodies) != 1 {
		t.Fatalf("%d calls", len(r.bodies))
	}
	if err := s.Receive(t.Context(), first); err == nil || len(r.bodies) != 2 {
		t.Fatalf("the schedule does not continue: %v, %d calls", err, len(r.bodies))
	}
	// The first message was lost for good: the next one takes its place.
	s.Now = func() time.Time { return now.Add(time.Hour) }
	if err := s.Receive(t.Context(), other); err != nil || len(r.bodies) != 3 {
		t.Fatalf("%v, %d calls", err, len(r.bodies))
	}
}

// TestDeliveriesOfOneWebhookTakeTurns delivers the message once more while its receiver is being called.
func TestDeliveriesOfOneWebhookTakeTurns(t *testing.T) {
	r := newReceiver(t)
	s, store, _ := service(t, r, "key")
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	e := message(t, notify.Finished{RequestID: id, Status: pipeline.Completed})
	inner := r.Config.Handler
	var meanwhile error
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		meanwhile = s.Receive(context.WithoutCancel(req.Context()), e)
		inner.ServeHTTP(w, req)
	})
	if err := s.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if meanwhile == nil || len(r.bodies) != 1 {
		t.Fatalf("meanwhile %v, %d calls", meanwhile, len(r.bodies))
	}
	if _, err := store.Stat(t.Context(), "artifacts", artifacts.WebhookLockName(id)); err == nil {
		t.Error("the lock was left behind")
	}
}

func TestLockOfADeadDeliveryIsBroken(t *testing.T) {
	for age, delivered := range map[time.Duration]bool{time.Second: false, 2 * time.Minute: true} {
		r := newReceiver(t)
		s, store, _ := service(t, r, "key")
		if _, err := s.Register(t.Context(), id, r.URL); err != nil {
			t.Fatal(err)
		}
		lock := `{"at":"` + now.Add(-age).Format(time.RFC3339) + `"}`
		if _, err := store.Put(t.Context(), "artifacts", artifacts.WebhookLockName(id), strings.NewReader(lock), artifacts.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, Status: pipeline.Completed}))
		if (err == nil) != delivered || (len(r.bodies) == 1) != delivered {
			t.Errorf("a lock of %v: %v, %d calls", age, err, len(r.bodies))
		}
	}
}

// TestAnswerCountsWhenTheMessengerHungUp: the receiver has the message by then, so its answer must be kept.
func TestAnswerCountsWhenTheMessengerHungUp(t *testing.T) {
	calls := 0
	ctx, hangUp := context.WithCancel(t.Context())
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		hangUp()
	}))
	defer r.Close()
	s, _, _ := service(t, nil, "key")
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	e := message(t, notify.Finished{RequestID: id, Status: pipeline.Completed})
	if err := s.Receive(ctx, e); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(t.Context(), e); err != nil || calls != 1 {
		t.Fatalf("%v, %d calls", err, calls)
	}
}

// TestNamesOfThisNetworkLookLikeNone: a refused address must not reveal which names an internal zone has.
func TestNamesOfThisNetworkLookLikeNone(t *testing.T) {
	guard := &notify.Guard{Resolver: names{"db.internal": "10.0.0.7"}}
	there, none := guard.Check(t.Context(), "https://db.internal/"), guard.Check(t.Context(), "https://nothing.internal/")
	if there == nil || none == nil || there.Error() != none.Error() {
		t.Errorf("%v; %v", there, none)
	}
}
