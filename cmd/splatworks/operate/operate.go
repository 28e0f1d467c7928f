// Package operate serves the operators' page on an operator's own machine: the page, and behind it the operators' API, which is a
// socket here or a service behind IAM in the cloud. A link opens the page once. Other pages of a browser, and programs that
// reach the port, get nothing.
package operate

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/web"
)

// Config of a Desk.
type Config struct {
	API       *url.URL          // of the operators' API
	Transport http.RoundTripper // to it; nil: http.DefaultTransport
	Identity  string            // token for it; empty: none
	Hosts     interface{ Serve(host string) bool }
	Random    io.Reader // cryptographic; nil: crypto/rand
}

// Desk serves the page to the browser that has used its link.
type Desk struct {
	http.Handler
	Key string // opens the page once, in the fragment of its address

	random io.Reader
	mu     sync.Mutex
	key    [sha256.Size]byte // hash of Key; zero once it was used
	held   [sha256.Size]byte // hash of the session's token
}

// New makes a desk and its link's key.
func New(c Config) (*Desk, error) {
	if c.API == nil || c.Hosts == nil {
		return nil, errors.New("operate: a dependency is missing")
	}
	d := &Desk{random: c.Random}
	if d.random == nil {
		d.random = rand.Reader
	}
	var err error
	if d.Key, err = d.secret(); err != nil {
		return nil, err
	}
	d.key = sha256.Sum256([]byte(d.Key))
	mux := serve.NewMux()
	mux.Handle(http.MethodPost, "/session", d.open)
	api := http.StripPrefix("/api", d.holders(proxy(c)))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		mux.Handle(method, "/api/{path...}", api.ServeHTTP)
	}
	page, err := web.Operators(mux)
	if err != nil {
		return nil, err
	}
	d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.Hosts.Serve(r.Host) {
			serve.WriteProblem(w, serve.Problem{Status: http.StatusForbidden, Code: "unknown_host",
				Detail: fmt.Sprintf("%q is no name of this server.", r.Host), Advice: "Open the address that was printed."})
			return
		}
		page.ServeHTTP(w, r)
	})
	return d, nil
}

func (d *Desk) secret() (string, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(d.random, b); err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// open serves POST /session: the link's key, once, for the token of a session. It travels in a header from then on, and not in a cookie:
// cookies do not know ports, so that any other server of this machine would get it.
func (d *Desk) open(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.key == ([sha256.Size]byte{}) || !same(d.key, bearer(r)) {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusUnauthorized, Code: "link_used",
			Detail: "This link was used already, or is not the one that was printed.", Advice: "Start 'splatworks operate' again, which prints another."})
		return
	}
	token, err := d.secret()
	if err != nil {
		serve.WriteProblem(w, serve.Unavailable("no_random", "This machine gives no random numbers."))
		return
	}
	d.key, d.held = [sha256.Size]byte{}, sha256.Sum256([]byte(token))
	w.Header().Set("Cache-Control", "no-store")
	serve.WriteJSON(w, http.StatusOK, map[string]string{"token": token})
}

// holders lets only calls with the token of the session pass.
func (d *Desk) holders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		held := d.held
		d.mu.Unlock()
		if held == ([sha256.Size]byte{}) || !same(held, bearer(r)) {
			serve.WriteProblem(w, serve.Problem{Status: http.StatusUnauthorized, Code: "no_session",
				Detail: "This browser did not open the page by its link.", Advice: "Start 'splatworks operate' again, and open the link that it prints."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func same(hash [sha256.Size]byte, token string) bool {
	got := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], got[:]) == 1
}

// proxy passes calls on to the operators' API, with its identity in place of the session.
func proxy(c Config) http.Handler {
	return &httputil.ReverseProxy{Transport: c.Transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(c.API)
			for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
				p.Out.Header.Del(name)
			}
			if c.Identity != "" {
				p.Out.Header.Set("Authorization", "Bearer "+c.Identity)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Cache-Control", "no-store")
			r.Header.Set("X-Content-Type-Options", "nosniff")
			r.Header.Set("Cross-Origin-Resource-Policy", "same-origin")
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
					r.Header.Del(name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			p := serve.Unavailable("backend_away", "The operators' API does not answer.")
			p.Advice = "See that the backend runs; this page continues when it does."
			serve.WriteProblem(w, p)
		}}
}
