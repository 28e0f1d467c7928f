// Package gcs is Cloud Storage on a laptop: the subset of its JSON API that the official client uses, and of its XML API
// that signed URLs use, kept on disk. What it answers it means: preconditions, generations, checksums, signatures,
// expiry and CORS are checked as the real one checks them, resumable uploads survive a restart, and an object that became
// visible always has its notification (see Listener). It is no multi-tenant service: the JSON API takes every request
// that comes from this machine and from no web page.
//
// Not here: versioning, compose, ACLs, encryption keys, HMAC keys, batch, gzip transcoding, XML listings, gRPC.
//
// Behaviour follows the documentation of Cloud Storage ("JSON API v1", "XML API", "Resumable uploads", "Signatures",
// "Canonical requests", "CORS"); where it is silent, what cloud.google.com/go/storage expects.
package gcs

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/splatworks/splatworks/infra/local/loopback"
)

// Listener hears of every object that became visible, in the order of their generations and before the writer's client
// does. A generation larger than Heard at Open is announced again, so a crash between commit and Finalized loses nothing.
type Listener interface {
	Finalized(Object)
	Heard() int64 // the newest generation that it will not forget
}

// Options of a Server. The zero value serves.
type Options struct {
	Listener Listener
	Now      func() time.Time // time.Now when nil
	Log      *slog.Logger     // silent when nil
	Hosts    []string         // host names, besides loopback ones, under which the JSON API may be called
	NoSync   bool             // skip fsync: for tests that write thousands of objects and never lose power
}

// Server is the emulator: an http.Handler that owns a folder. Mount it at the root of a listener of its own: object
// names may hold "//" and "..", which http.ServeMux would "clean".
type Server struct {
	dir  string
	o    Options
	key  *rsa.PrivateKey
	disk disk

	commitMu   sync.Mutex // held from the check of preconditions to the listener; orders generations
	generation int64      // of the newest object ever; under commitMu

	mu       sync.RWMutex // buckets and what they index; held for moments only
	buckets  map[string]*bucket
	sessions map[string]*session
}

var _ http.Handler = (*Server)(nil)

// Open brings up what dir holds, or makes it. The folder must not be opened twice at a time.
func Open(dir string, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{dir: dir, o: o, disk: disk{sync: !o.NoSync}, buckets: map[string]*bucket{}, sessions: map[string]*session{}}
	if err := os.RemoveAll(s.path("tmp")); err != nil { // what a crash left half written
		return nil, fmt.Errorf("clear temporary files: %w", err)
	}
	for _, sub := range []string{"tmp", "buckets", "sessions"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
	}
	err := s.disk.flushDir(dir)
	if err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if s.key, err = loadKey(s.disk, s.path("service-account.pem")); err != nil {
		return nil, err
	}
	committed, err := s.loadBuckets()
	if err != nil {
		return nil, err
	}
	if err := s.loadSessions(committed); err != nil {
		return nil, err
	}
	s.tellMissed()
	return s, nil
}

// tellMissed gives the listener what it had not yet written down when the process died.
func (s *Server) tellMissed() {
	if s.o.Listener == nil {
		return
	}
	heard := s.o.Listener.Heard()
	s.generation = max(s.generation, heard)
	var missed []Object
	for _, b := range s.buckets {
		for _, o := range b.objects {
			if o.Generation > heard {
				missed = append(missed, o)
			}
		}
	}
	slices.SortFunc(missed, func(a, b Object) int { return int(a.Generation - b.Generation) })
	for _, o := range missed {
		s.o.Listener.Finalized(o)
	}
}

func (s *Server) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch {
	case path == "/" || path == "/_health":
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(path, "/storage/v1/"), strings.HasPrefix(path, "/download/storage/v1/"),
		strings.HasPrefix(path, "/upload/storage/v1/"):
		s.serveJSON(w, r, path)
	default:
		s.serveXML(w, r, path)
	}
}

// Links serves signed URLs and session URIs and nothing else of this storage: all that other machines may reach of it.
func (s *Server) Links(w http.ResponseWriter, r *http.Request) { s.serveXML(w, r, r.URL.EscapedPath()) }

// HasBucket says whether a path, escaped, is in one of the buckets.
func (s *Server) HasBucket(path string) bool {
	name, _, within := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.buckets[name]
	return ok && within
}

// fromThisMachine refuses what a web page may have made a browser send. The JSON API asks for no credentials, so a page
// must not reach it: neither across origins nor by a host name that it points at a loopback address.
func (s *Server) fromThisMachine(r *http.Request) *failure {
	if !(loopback.Hosts{Names: s.o.Hosts}).Serve(r.Host) {
		return forbidden("This host name is not served: " + r.Host)
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return forbidden("The JSON API of the local storage takes no requests from web pages: use a signed URL.")
	}
	return nil
}

// Bucket makes sure that a bucket exists and sets its CORS rules.
func (s *Server) Bucket(ctx context.Context, name string, cors []CORS) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.createBucket(Bucket{Name: name, CORS: cors})
	var f *failure
	if errors.As(err, &f) && f.status == http.StatusConflict {
		err = s.changeBucket(name, func(b *Bucket) error { b.CORS = cors; return nil })
	}
	if err != nil {
		return fmt.Errorf("set up bucket %s: %w", name, err)
	}
	return nil
}
