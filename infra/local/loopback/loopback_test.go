package loopback_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/splatworks/splatworks/infra/local/loopback"
)

func TestHostsThatAreServed(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		listen, host string
		want         bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "127.0.0.1", true},
		{"127.0.0.1:8080", "localhost:9", true},
		{"127.0.0.1:8080", "LocalHost.", true},
		{"127.0.0.1:8080", "[::1]:8080", true},
		{"127.0.0.1:8080", "::1", true},
		{"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", true},
		{"127.0.0.1:8080", "page.example", true}, // a name of its own
		{"127.0.0.1:8080", "192.0.2.1:8080", false},
		{"127.0.0.1:8080", "evil.example:8080", false},
		{"127.0.0.1:8080", "127.0.0.1.evil.example", false},
		{"127.0.0.1:8080", "localhost.evil.example", false},
		{"127.0.0.1:8080", own + ":8080", false},
		{"127.0.0.1:8080", "", false},
		{"0.0.0.0:8080", "192.0.2.1:8080", true},
		{"0.0.0.0:8080", own + ":8080", true},
		{"0.0.0.0:8080", "evil.example:8080", false},
		{":8080", "[2001:db8::1]:8080", true},
		{"[::]:8080", "192.0.2.1", true},
		{"[::]:8080", "evil.example", false},
		{"192.0.2.1:8080", "192.0.2.1:8080", true},
		{"192.0.2.1:8080", "evil.example", false},
		{"box.example:8080", "box.example:8080", true},
		{"box.example:8080", "Box.Example", true},
		{"box.example:8080", "evil.example", false},
	} {
		if got := loopback.Listening(c.listen, "page.example").Serve(c.host); got != c.want {
			t.Errorf("listening on %s, called as %q: %v, want %v", c.listen, c.host, got, c.want)
		}
	}
}

func TestOwnAddress(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "192.0.2.1:80": "192.0.2.1:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := loopback.Own(a); got != want {
			t.Errorf("%s is reached at %s, want %s", address, got, want)
		}
	}
}

func TestCallsToOneselfTakeNoProxy(t *testing.T) {
	if loopback.Transport().Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	resp, err := (&http.Client{Transport: loopback.Transport()}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%s, %v", resp.Status, err)
	}
}
