package notify_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const id = "01kj2x4m3n5p6q7r8s9t0v1w2x"

// receiver is a client's server.
type receiver struct {
	*httptest.Server
	answers []int // one after the other; then 200
	headers []http.Header
	bodies  [][]byte
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.headers, r.bodies = append(r.headers, req.Header.Clone()), append(r.bodies, body)
		if len(r.answers) > 0 {
			status := r.answers[0]
			r.answers = r.answers[1:]
			w.Header().Set("Location", r.URL+"/elsewhere")
			w.WriteHeader(status)
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20)) // nobody reads that much
	}))
	t.Cleanup(r.Close)
	return r
}

// service is a notifier that trusts the receiver and may reach this machine.
func service(t *testing.T, r *receiver, keys ...string) (*notify.Service, *memory.Store, *bytes.Buffer) {
	t.Helper()
	store, log := memory.New(), &bytes.Buffer{}
	guard := &notify.Guard{AllowLoopback: true}
	if r != nil {
		guard.RootCAs = x509.NewCertPool()
		guard.RootCAs.AddCert(r.Certificate())
	}
	s, err := notify.New(notify.Config{Store: store, Bucket: "artifacts", Guard: guard, Log: slog.New(slog.NewJSONHandler(log, nil)), Now: func() time.Time { return now },
		Keys: func(context.Context) ([][]byte, error) {
			all := [][]byte{}
			for _, k := range keys {
				all = append(all, []byte(k))
			}
			return all, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return s, store, log
}

// message is what Eventarc delivers for one message of the topic.
func message(t *testing.T, f notify.Finished) cloudevents.Event {
	t.Helper()
	e := cloudevents.NewEvent()
	e.SetID("1")
	e.SetSource("//pubsub.googleapis.com/projects/p/topics/reconstruction-finished")
	e.SetType("google.cloud.pubsub.topic.v1.messagePublished")
	inner, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	body := map[string]any{"subscription": "s", "message": map[string]any{"data": inner, "messageId": "1", "publishTime": "2026-03-04T05:00:00Z", "attributes": map[string]string{}}}
	if err := e.SetData(cloudevents.ApplicationJSON, body); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestWebhookIsSignedAndDeliveredOnce(t *testing.T) {
	r := newReceiver(t)
	s, store, log := service(t, r, "new key", "old key")
	secret, err := s.Register(t.Context(), id, r.URL+"/hook?key=private")
	if err != nil || !strings.HasPrefix(secret, "whsec_") {
		t.Fatal(secret, err)
	}
	if again, err := s.Register(t.Context(), id, r.URL+"/other"); err != nil || again != secret {
		t.Fatal(again, err)
	}
	failure := pipeline.Invalid("no_video", "No video.", "Send one.")
	outcome, _ := json.Marshal(queue.Outcome{Status: pipeline.Failed, Failure: failure, At: now})
	if _, err := store.Put(t.Context(), "artifacts", artifacts.OutcomeName(id), bytes.NewReader(outcome), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	e := message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Failed})
	for range 2 { // Pub/Sub delivers at least once
		if err := s.Receive(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.bodies) != 1 {
		t.Fatalf("%d deliveries", len(r.bodies))
	}
	var p notify.Payload
	if err := json.Unmarshal(r.bodies[0], &p); err != nil {
		t.Fatal(err)
	}
	if p.Type != "reconstruction.failed" || !p.Timestamp.Equal(time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)) || p.Data.RequestID != id || p.Data.SessionID != "s" ||
		p.Data.Failure == nil || p.Data.Failure.Code != "no_video" {
		t.Errorf("%s", r.bodies[0])
	}
	h := r.headers[0]
	if h.Get("webhook-id") != "msg_"+id+"_failed" || h.Get("Content-Type") != "application/json" {
		t.Errorf("%v", h)
	}
	for _, secret := range []string{secret, notify.Secret([]byte("old key"), id)} {
		if err := notify.Verify(secret, h, r.bodies[0], now); err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(log.String(), "private") || strings.Contains(log.String(), secret) {
		t.Errorf("logged: %s", log)
	}
}

// TestSignatureOfTheSpecification checks against the example of the Standard Webhooks reference implementations.
func TestSignatureOfTheSpecification(t *testing.T) {
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= v2,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if err := notify.Verify(secret, h, body, at); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"body":    notify.Verify(secret, h, []byte(`{"test": 2432232315}`), at),
		"secret":  notify.Verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", h, body, at),
		"old":     notify.Verify(secret, h, body, at.Add(6*time.Minute)),
		"early":   notify.Verify(secret, h, body, at.Add(-6*time.Minute)),
		"nothing": notify.Verify(secret, http.Header{}, body, at),
	} {
		if !errors.Is(err, notify.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A receiver that lost its secret must not believe what anybody can sign.
	mac := hmac.New(sha256.New, nil)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), at.Unix(), body)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, lost := range []string{"", "whsec_"} {
		if notify.Verify(lost, h, body, at) == nil {
			t.Errorf("the secret %q was taken", lost)
		}
	}
}

func TestFailedDeliveryComesBack(t *testing.T) {
	r := newReceiver(t, 500, 302, 404)
	s, store, _ := service(t, r, "key")
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	e := message(t, notify.Finished{RequestID: id, Status: pipeline.Completed})
	for i := range 3 {
		if err := s.Receive(t.Context(), e); err == nil {
			t.Fatalf("try %d: no error", i)
		}
	}
	if err := s.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if len(r.bodies) != 4 {
		t.Fatalf("%d calls: a redirect was followed, or a try left out", len(r.bodies))
	}
	for _, h := range r.headers {
		if h.Get("webhook-id") != r.headers[0].Get("webhook-id") {
			t.Error("the id changed between tries")
		}
	}
	kept, err := store.Open(t.Context(), pipeline.Object{Bucket: "artifacts", Name: artifacts.WebhookLogName(id)})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(kept)
	if s := string(body); strings.Count(s, `"at"`) != 4 || !strings.Contains(s, "302") || !strings.Contains(s, `"done":"delivered"`) {
		t.Errorf("log %s", s)
	}
}

// TestRedirectIsNotFollowed: a public address could lead anywhere inside by one.
func TestRedirectIsNotFollowed(t *testing.T) {
	inside := newReceiver(t)
	for _, target := range []string{inside.URL + "/inside", "http://169.254.169.254/computeMetadata/v1/", "https://[::1]/"} {
		outside := httptest.NewTLSServer(http.RedirectHandler(target, http.StatusTemporaryRedirect))
		defer outside.Close()
		store := memory.New()
		guard := &notify.Guard{AllowLoopback: true, RootCAs: x509.NewCertPool()}
		guard.RootCAs.AddCert(outside.Certificate())
		guard.RootCAs.AddCert(inside.Certificate())
		s, err := notify.New(notify.Config{Store: store, Bucket: "artifacts", Guard: guard, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
			Keys: func(context.Context) ([][]byte, error) { return [][]byte{[]byte("k")}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Register(t.Context(), id, outside.URL); err != nil {
			t.Fatal(err)
		}
		if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, Status: pipeline.Completed})); err == nil || !strings.Contains(err.Error(), "307") {
			t.Errorf("redirect to %s: %v", target, err)
		}
	}
	if len(inside.bodies) != 0 {
		t.Error("a redirect was followed")
	}
}

func TestRetryIsSignedWithTheSecretThatTheReceiverKnows(t *testing.T) {
	r := newReceiver(t)
	s, store, _ := service(t, r, "key")
	const first = "01kj2x4m3n5p6q7r8s9t0v1w2y"
	if _, err := store.Put(t.Context(), "artifacts", artifacts.WebhookTargetName(id), strings.NewReader(`{"url":"`+r.URL+`","secret_of":"`+first+`"}`), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, Status: pipeline.Completed})); err != nil {
		t.Fatal(err)
	}
	if err := notify.Verify(notify.Secret([]byte("key"), first), r.headers[0], r.bodies[0], now); err != nil {
		t.Error(err)
	}
}

func TestGoneEndsIt(t *testing.T) {
	r := newReceiver(t, 410)
	s, _, _ := service(t, r, "key")
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, Status: pipeline.Canceled})); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.bodies) != 1 {
		t.Fatalf("%d calls", len(r.bodies))
	}
}

func TestMessagesThatCanNeverBeDeliveredAreAcknowledged(t *testing.T) {
	s, _, _ := service(t, nil, "key")
	e := cloudevents.NewEvent()
	if err := s.Receive(t.Context(), e); err != nil {
		t.Error(err)
	}
	for _, f := range []notify.Finished{{}, {RequestID: "../x", Status: pipeline.Failed}, {RequestID: id, Status: pipeline.Queued}, {RequestID: id, Status: pipeline.Failed}} {
		if err := s.Receive(t.Context(), message(t, f)); err != nil { // the last one has no webhook
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := notify.New(notify.Config{}); err == nil {
		t.Error("missing dependencies accepted")
	}
	keyless, _, _ := service(t, nil)
	if _, err := keyless.Register(t.Context(), id, "https://example.com"); err == nil {
		t.Error("signed with no key")
	}
}

// names is a resolver.
type names map[string]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	for text := range strings.FieldsSeq(n[host]) {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

func TestAddressesThatAreRefused(t *testing.T) {
	guard := &notify.Guard{Resolver: names{
		"public.example": "93.184.216.34 2606:2800:220:1:248:1893:25c8:1946", "inside.example": "10.0.0.7", "both.example": "93.184.216.34 127.0.0.1",
		"metadata.google.internal": "169.254.169.254", "mapped.example": "::ffff:192.168.0.1",
	}}
	for url, ok := range map[string]bool{
		"https://public.example/hook":                         true,
		"https://public.example:8443/":                        true,
		"https://93.184.216.34/":                              true,
		"http://public.example/":                              false,
		"ftp://public.example/":                               false,
		"https://public.example:22/":                          false,
		"https://user:pass@public.example":                    false,
		"https://user@public.example":                         false,
		"https://public.example/#x":                           false,
		"https://inside.example/":                             false,
		"https://both.example/":                               false,
		"https://mapped.example/":                             false,
		"https://nowhere.example/":                            false,
		"https://metadata.google.internal":                    false,
		"https://127.0.0.1/":                                  false,
		"https://127.1/":                                      false,
		"https://2130706433/":                                 false,
		"https://0x7f000001/":                                 false,
		"https://localhost/":                                  false,
		"https://169.254.169.254/":                            false,
		"https://[::1]/":                                      false,
		"https://[fe80::1%25eth0]/":                           false,
		"https://[::ffff:127.0.0.1]/":                         false,
		"https://[64:ff9b::7f00:1]/":                          false,
		"https://[fd00::1]/":                                  false,
		"https://[2002:7f00:1::]/":                            false,
		"https://0.0.0.0/":                                    false,
		"https://100.64.0.1/":                                 false,
		"https://172.16.5.5/":                                 false,
		"https://192.168.1.1/":                                false,
		"https://224.0.0.1/":                                  false,
		"https://255.255.255.255/":                            false,
		"https:///path":                                       false,
		"https:opaque":                                        false,
		"//public.example":                                    false,
		"":                                                    false,
		"https://public.example/\n":                           false,
		"https://public.example/" + strings.Repeat("x", 2048): false,
	} {
		if err := guard.Check(t.Context(), url); (err == nil) != ok {
			t.Errorf("%.60q: %v", url, err)
		}
	}
}

// TestNameThatLeadsInsideAtDeliveryIsCaught: Check saw another address, as a name server that lies would arrange.
func TestNameThatLeadsInsideAtDeliveryIsCaught(t *testing.T) {
	r := newReceiver(t)
	store := memory.New()
	guard := &notify.Guard{Resolver: names{"localhost": "93.184.216.34"}}
	s, err := notify.New(notify.Config{Store: store, Bucket: "artifacts", Guard: guard, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Keys: func(context.Context) ([][]byte, error) { return [][]byte{[]byte("k")}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		requestID := id[:25] + string(rune('a'+i))
		url := "https://" + host + r.URL[strings.LastIndex(r.URL, ":"):] + "/"
		if _, err := s.Register(t.Context(), requestID, url); err != nil {
			t.Fatal(err)
		}
		err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: requestID, Status: pipeline.Completed}))
		if err == nil || !strings.Contains(err.Error(), "address not allowed") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if len(r.bodies) != 0 {
		t.Fatal("somebody inside was called")
	}
}
