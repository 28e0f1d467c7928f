package events_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/splatworks/splatworks/infra/local/events"
)

func TestADamagedListOfTriggersLosesNothing(t *testing.T) {
	for _, damaged := range []string{"", "{", "\x00\x00\x00\x00"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "triggers.json")
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			var logged bytes.Buffer
			to := &receiver{}
			r := open(t, dir, events.Options{Transport: to, Expect: []events.Trigger{events.OnFinalized("b", "http://not-yet/")},
				Log: slog.New(slog.NewTextHandler(&logged, nil))})
			defer closeRelay(t, r)
			if !strings.Contains(logged.String(), path) {
				t.Errorf("the log names no file: %s", logged.String())
			}
			r.Finalized(object("early"))
			synctest.Wait()
			if n := len(to.deliveries()); n != 0 {
				t.Errorf("%d deliveries to nobody", n)
			}
			register(t, r, "b", "http://new/")
			idle(t, r)
			if got := to.subjects(); !slices.Equal(got, []string{"early"}) {
				t.Errorf("delivered %q", got)
			}
		})
		var list []events.Trigger
		if body, err := os.ReadFile(path); err != nil || json.Unmarshal(body, &list) != nil || len(list) != 1 {
			t.Errorf("after %q the list of triggers is %s, %v", damaged, body, err)
		}
	}
}

// receive listens on every address, and gives the one that names none: that is no loopback address to net/http, which spares
// those from the proxy.
func receive(t *testing.T, got chan<- string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Ce-Subject") }))
	if err := s.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "http://" + l.Addr().String()
}

// A receiver is on this machine: whatever proxy the environment names has no business there.
func TestReceiversAreCalledWithoutAProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	dir := t.TempDir()
	got := make(chan string, 1)
	server := receive(t, got)
	r := open(t, dir, events.Options{})
	defer closeRelay(t, r)
	register(t, r, "b", server)
	r.Finalized(object("n"))
	if subject := <-got; subject != "objects/n" {
		t.Errorf("subject %q", subject)
	}
	idle(t, r)
}
