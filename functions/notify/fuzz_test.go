package notify_test

import (
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/functions/notify"
)

type anywhere struct{}

func (anywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// FuzzAddress: an address that is taken is https, without user or fragment, and no literal of an inside address.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"https://example.com/hook?x=1", "https://[::ffff:7f00:1]:443/", "https://a@b", "https://%31%32%37.0.0.1/", "https:\\\\x", "https://１２７.0.0.1/"} {
		f.Add(seed)
	}
	guard := &notify.Guard{Resolver: anywhere{}}
	f.Fuzz(func(t *testing.T, raw string) {
		if guard.Check(t.Context(), raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q was taken", raw)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.Unmap().IsPrivate() || a.Unmap().IsLoopback() || a.Unmap().IsLinkLocalUnicast()) {
			t.Fatalf("%q was taken", raw)
		}
	})
}

// FuzzMessage: no message makes the function fail or fall over when there is nobody to tell.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"message":{"data":"eyJyZXF1ZXN0X2lkIjoiMDFrajJ4NG0zbjVwNnE3cjhzOXQwdjF3MngiLCJzdGF0dXMiOiJGQUlMRUQifQ=="}}`))
	f.Add([]byte(`{"message":{"data":1}}`))
	s, err := notify.New(notify.Config{Store: memory.New(), Bucket: "b", Guard: &notify.Guard{}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Keys: func(context.Context) ([][]byte, error) { return nil, nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := cloudevents.NewEvent()
		e.SetID("1")
		e.SetSource("s")
		e.SetType("google.cloud.pubsub.topic.v1.messagePublished")
		e.SetDataContentType(cloudevents.ApplicationJSON)
		e.DataEncoded = body
		if err := s.Receive(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	})
}
