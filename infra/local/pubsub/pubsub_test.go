package pubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	client "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/infra/local/pubsub"
)

func start(t *testing.T, e pubsub.Emitter) *pubsub.Server {
	t.Helper()
	s, err := pubsub.Start(t.Context(), "p", []string{"finished"}, e)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, s *pubsub.Server) *client.Client {
	t.Helper()
	c, err := client.NewClient(t.Context(), "p", option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(t *testing.T, s *pubsub.Server, text string) {
	t.Helper()
	c := dial(t, s)
	topic := c.Publisher("finished")
	if _, err := topic.Publish(t.Context(), &client.Message{Data: []byte(text), Attributes: map[string]string{"k": "v"}}).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic.Stop()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

type push struct {
	header  http.Header
	Message struct {
		Data        []byte
		Attributes  map[string]string
		MessageID   string
		PublishTime time.Time
	}
	Subscription string
}

func receiver(t *testing.T) (url string, got chan push) {
	t.Helper()
	got = make(chan push, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := push{header: r.Header}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Errorf("push is no JSON: %v", err)
		}
		got <- p
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func relay(t *testing.T, dir string) *events.Relay {
	t.Helper()
	r, err := events.Open(dir, events.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finish(t *testing.T, closers ...io.Closer) {
	t.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMessagesArePushedAndCanBePulled(t *testing.T) {
	r := relay(t, t.TempDir())
	s := start(t, r)
	defer finish(t, s, r)
	url, got := receiver(t)
	if err := r.Register(pubsub.OnMessage("p", "finished", url)); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	defer finish(t, c)
	if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/p/subscriptions/pull", Topic: "projects/p/topics/finished"}); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "hello")
	p := <-got
	if string(p.Message.Data) != "hello" || p.Message.Attributes["k"] != "v" || p.Message.MessageID == "" || p.Message.PublishTime.IsZero() ||
		p.Subscription != "projects/p/subscriptions/eventarc-finished" {
		t.Errorf("pushed %+v", p)
	}
	if h := p.header; h.Get("Ce-Type") != "google.cloud.pubsub.topic.v1.messagePublished" || h.Get("Ce-Source") != "//pubsub.googleapis.com/projects/p/topics/finished" {
		t.Errorf("headers %v", h)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var pulled string
	if err := c.Subscriber("pull").Receive(ctx, func(_ context.Context, m *client.Message) {
		pulled = string(m.Data)
		m.Ack()
		cancel()
	}); err != nil {
		t.Fatal(err)
	}
	if pulled != "hello" {
		t.Errorf("pulled %q", pulled)
	}
}

func TestMessagesSurviveAnEnd(t *testing.T) {
	dir := t.TempDir()
	r := relay(t, dir)
	s := start(t, r)
	if err := r.Register(pubsub.OnMessage("p", "finished", "http://127.0.0.1:1/nobody")); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "kept")
	finish(t, s, r)

	r = relay(t, dir)
	s = start(t, r)
	defer finish(t, s, r)
	url, got := receiver(t)
	if err := r.Register(pubsub.OnMessage("p", "finished", url)); err != nil {
		t.Fatal(err)
	}
	if p := <-got; string(p.Message.Data) != "kept" {
		t.Errorf("pushed %+v", p)
	}
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type fullDisk struct{}

func (fullDisk) Emit(events.Event, bool) error { return errors.New("disk full") }

func TestAMessageThatCannotBeKeptIsNotAccepted(t *testing.T) {
	s := start(t, fullDisk{})
	defer finish(t, s)
	handled, _, err := s.React(&pubsubpb.PublishRequest{Topic: "projects/p/topics/finished", Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
	if !handled || status.Code(err) != codes.Unavailable {
		t.Errorf("handled %v, %v", handled, err)
	}
}
