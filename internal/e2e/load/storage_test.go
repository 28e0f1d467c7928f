package load

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// storage is the way to the storage, for workers, functions and clients.
type storage struct {
	server *httptest.Server
	fault  atomic.Pointer[func(*http.Request) verdict]
}

// verdict is what becomes of a call on the way. Before and after it, something may happen.
type verdict struct {
	before func()
	after  func(answer []byte)
	wait   time.Duration
	refuse bool // 503, and the call does not arrive
	cut    bool // the connection breaks before the call arrives
	lose   bool // it breaks after: the answer is lost
}

func newStorage(t *testing.T, target string) *storage {
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host }, // the host stays: it was signed
		Transport: transport, FlushInterval: -1, ErrorLog: discarded,
	}
	s := &storage{}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := s.fault.Load()
		if fault == nil {
			proxy.ServeHTTP(w, r)
			return
		}
		s.troubled(w, r, proxy, (*fault)(r))
	}))
	s.server.Config.ErrorLog = discarded // connections that are cut on purpose
	s.server.Start()
	t.Cleanup(s.server.Close)
	return s
}

func (s *storage) troubled(w http.ResponseWriter, r *http.Request, proxy http.Handler, v verdict) {
	if v.before != nil {
		v.before()
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(v.wait):
	}
	switch {
	case v.refuse:
		http.Error(w, "the storage has trouble", http.StatusServiceUnavailable)
		return
	case v.cut:
		panic(http.ErrAbortHandler)
	}
	answer := w
	if v.lose || v.after != nil {
		answer = httptest.NewRecorder()
	}
	proxy.ServeHTTP(answer, r)
	if v.after != nil {
		v.after(nil)
	}
	if v.lose {
		panic(http.ErrAbortHandler)
	}
	if held, ok := answer.(*httptest.ResponseRecorder); ok {
		for name, values := range held.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(held.Code)
		_, _ = held.Body.WriteTo(w) // the caller may be gone
	}
}

// set switches a fault on, and off with nil.
func (s *storage) set(fault func(*http.Request) verdict) {
	if fault == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&fault)
}
