package gcs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/storage"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/artifacts/storetest"
	emulator "github.com/splatworks/splatworks/infra/local/gcs"
	"github.com/splatworks/splatworks/pipeline"
)

// emulated starts an emulator over HTTP with one bucket, and a store that talks to it.
func emulated(t *testing.T, o gcs.Options) (*gcs.Store, *emulator.Server, string) {
	t.Helper()
	return emulatedIn(t, t.TempDir(), o)
}

func emulatedIn(t *testing.T, dir string, o gcs.Options) (*gcs.Store, *emulator.Server, string) {
	t.Helper()
	s, err := emulator.Open(dir, emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o.Endpoint = server.URL
	store, err := gcs.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store, s, server.URL
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		dir := t.TempDir()
		s, _, _ := emulatedIn(t, dir, gcs.Options{ChunkBytes: 256 << 10, PageSize: 3})
		return storetest.Fixture{Store: s, Bucket: "bucket", Spoil: func(t *testing.T, o pipeline.Object, body []byte, encoding string) {
			if encoding != "" {
				object := s.Client().Bucket(o.Bucket).Object(o.Name)
				if _, err := object.Update(t.Context(), storage.ObjectAttrsToUpdate{ContentEncoding: encoding}); err != nil {
					t.Fatal(err)
				}
				return
			}
			blobs, err := filepath.Glob(filepath.Join(dir, "buckets", o.Bucket, "objects", fmt.Sprintf("*-%d", o.Generation)))
			if err != nil || len(blobs) != 1 {
				t.Fatal(blobs, err)
			}
			if err := os.WriteFile(blobs[0], body, 0o600); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

var putOptions = artifacts.PutOptions{ContentType: "text/plain"}

// unreliable is a proxy in front of the emulator that spoils requests on their way back.
type unreliable struct {
	next http.Handler
	mu   sync.Mutex
	lose func(r *http.Request) (lose bool)
	lost int
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	lose := u.lose(r)
	if lose {
		u.lost++
	}
	u.mu.Unlock()
	if !lose {
		u.next.ServeHTTP(w, r)
		return
	}
	u.next.ServeHTTP(httptest.NewRecorder(), r) // it happens, but the client never hears of it
	w.WriteHeader(http.StatusServiceUnavailable)
}

// TestLostAnswers loses the first answer of every kind of request: each must succeed anyway, and happen once.
func TestLostAnswers(t *testing.T) {
	heard := &listener{}
	s, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true, Listener: heard})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	proxy := &unreliable{next: s}
	proxy.lose = func(r *http.Request) bool {
		key := r.Method + r.URL.Path + r.URL.Query().Get("uploadType") + r.Header.Get("Content-Range")
		defer func() { seen[key] = true }()
		return !seen[key]
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: server.URL, ChunkBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	once := artifacts.PutOptions{ContentType: "application/json", DoesNotExist: true}
	for name, body := range map[string]string{"small": "manifest", "large": strings.Repeat("x", 600<<10)} {
		o, err := store.Put(t.Context(), "bucket", name, strings.NewReader(body), once)
		if err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
		if n := heard.count(name); n != 1 {
			t.Errorf("%s was written %d times", name, n)
		}
		if _, err := store.Put(t.Context(), "bucket", name, strings.NewReader(body), once); !errors.Is(err, artifacts.ErrExists) {
			t.Errorf("another write of %s: %v", name, err)
		}
		r, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != body {
			t.Errorf("read %s: %d bytes, %v", name, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if o, err := store.Copy(t.Context(), pipeline.Object{Bucket: "bucket", Name: "large"}, "bucket", "copy"); err != nil || o.Size != 600<<10 {
		t.Errorf("copied as %v, %v", o, err)
	}
	if n := heard.count("copy"); n != 1 {
		t.Errorf("the copy was written %d times", n)
	}
	names := 0
	for _, err := range store.List(t.Context(), "bucket", "") {
		if err != nil {
			t.Fatal(err)
		}
		names++
	}
	if names != 3 || proxy.lost < 9 {
		t.Errorf("%d objects, %d answers lost", names, proxy.lost)
	}
}

// TestCopyInSeveralRequests: a rewrite that is not done with one request continues with its token.
func TestCopyInSeveralRequests(t *testing.T) {
	s, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/rewriteTo/") {
			if tokens = append(tokens, r.URL.Query().Get("rewriteToken")); len(tokens) < 3 {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"kind":"storage#rewriteResponse","totalBytesRewritten":"%d","objectSize":"5","done":false,"rewriteToken":"token-%[1]d"}`, len(tokens))
				return
			}
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	from, err := store.Put(t.Context(), "bucket", "from", strings.NewReader("bytes"), putOptions)
	if err != nil {
		t.Fatal(err)
	}
	to, err := store.Copy(t.Context(), from, "bucket", "to")
	if err != nil || !to.SameBytes(from) || to.ContentType != from.ContentType {
		t.Errorf("copied %v as %v, %v", from, to, err)
	}
	if strings.Join(tokens, ",") != ",token-1,token-2" {
		t.Errorf("the requests had the tokens %q", tokens)
	}
}

type listener struct {
	mu    sync.Mutex
	names []string
}

func (l *listener) Finalized(o emulator.Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, o.Name)
}

func (l *listener) Heard() int64 { return 0 }

func (l *listener) count(name string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, heard := range l.names {
		if heard == name {
			n++
		}
	}
	return n
}

// TestFullDiskIsSaid: a storage without room answers once, and its sentence arrives.
func TestFullDiskIsSaid(t *testing.T) {
	var asked atomic.Int64
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = io.WriteString(w, `{"error":{"code":507,"message":"There is no room in /data."}}`)
	}))
	defer full.Close()
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: full.URL, ChunkBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, n := range []int{1, 600 << 10} {
		asked.Store(0)
		_, err := store.Put(t.Context(), "bucket", "n", strings.NewReader(strings.Repeat("x", n)), putOptions)
		f := pipeline.FailureOf(err, pipeline.Train)
		if !errors.Is(err, syscall.ENOSPC) || f.Code != pipeline.DiskFull || f.Message != "There is no room in /data." || asked.Load() != 1 {
			t.Errorf("%d bytes, asked %d times: %+v", n, asked.Load(), f)
		}
	}
}

// TestClientBeyondTheStore uses the emulator as the client library's other calls do.
func TestClientBeyondTheStore(t *testing.T) {
	s, _, _ := emulated(t, gcs.Options{})
	ctx := t.Context()
	if err := s.Client().Bucket("second").Create(ctx, "project", &storage.BucketAttrs{CORS: []storage.CORS{{Origins: []string{"*"}, MaxAge: time.Minute}}}); err != nil {
		t.Fatal(err)
	}
	attrs, err := s.Client().Bucket("second").Attrs(ctx)
	if err != nil || len(attrs.CORS) != 1 || attrs.CORS[0].MaxAge != time.Minute {
		t.Errorf("bucket %+v, %v", attrs, err)
	}
	if _, err := s.Client().Bucket("third").Attrs(ctx); !errors.Is(err, storage.ErrBucketNotExist) {
		t.Errorf("a bucket that is not there: %v", err)
	}
	o, err := s.Put(ctx, "bucket", "n", strings.NewReader("0123456789"), putOptions)
	if err != nil {
		t.Fatal(err)
	}
	object := s.Client().Bucket("bucket").Object("n")
	updated, err := object.Update(ctx, storage.ObjectAttrsToUpdate{CacheControl: "no-store", Metadata: map[string]string{"a": "b"}})
	if err != nil || updated.Generation != o.Generation || updated.Metageneration != 2 || updated.Metadata["a"] != "b" {
		t.Errorf("updated %+v, %v", updated, err)
	}
	copied, err := s.Client().Bucket("second").Object("copy").If(storage.Conditions{DoesNotExist: true}).CopierFrom(object).Run(ctx)
	if err != nil || copied.CRC32C != o.CRC32C || copied.Metadata["a"] != "b" {
		t.Errorf("copied %+v, %v", copied, err)
	}
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {-3, -1, "789"}, {8, 100, "89"}, {4, 0, ""}} {
		r, err := object.NewRangeReader(ctx, c.offset, c.length)
		if err != nil {
			t.Errorf("range %d+%d: %v", c.offset, c.length, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != c.want {
			t.Errorf("range %d+%d: %q, %v; want %q", c.offset, c.length, got, err, c.want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := object.If(storage.Conditions{MetagenerationMatch: 1}).Delete(ctx); err == nil {
		t.Error("deleted an older metageneration")
	}
	if err := object.If(storage.Conditions{GenerationMatch: o.Generation}).Delete(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Client().Bucket("second").Delete(ctx); err == nil {
		t.Error("deleted a bucket that is not empty")
	}
}

// TestContextEndsRetries: a storage that is down holds nobody up for longer than the context allows.
func TestContextEndsRetries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		if asked.Add(1)%3 == 0 {
			cancel()
		}
	}))
	defer down.Close()
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: down.URL, ChunkBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	o := pipeline.Object{Bucket: "bucket", Name: "n"}
	for name, call := range map[string]func() error{
		"stat":   func() error { _, err := store.Stat(ctx, o.Bucket, o.Name); return err },
		"open":   func() error { _, err := store.Open(ctx, o); return err },
		"delete": func() error { return store.Delete(ctx, o) },
		"put": func() error {
			_, err := store.Put(ctx, o.Bucket, o.Name, strings.NewReader("x"), putOptions)
			return err
		},
		"put large": func() error {
			_, err := store.Put(ctx, o.Bucket, o.Name, strings.NewReader(strings.Repeat("x", 600<<10)), putOptions)
			return err
		},
	} {
		ctx, cancel = context.WithCancel(t.Context())
		before := asked.Load()
		err := call()
		if err == nil || errors.Is(err, artifacts.ErrNotFound) || errors.Is(err, artifacts.ErrExists) {
			t.Errorf("%s of a storage that is down: %v", name, err)
		}
		if n := asked.Load() - before; n < 2 {
			t.Errorf("%s was tried %d times", name, n)
		}
		cancel()
	}
}

// cutting is a listener whose first connections break after some bytes.
type cutting struct {
	net.Listener
	after []int64
	n     atomic.Int64
}

func (c *cutting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if i := c.n.Add(1) - 1; err == nil && int(i) < len(c.after) {
		conn = &cutConn{Conn: conn, left: c.after[i]}
	}
	return conn, err
}

type cutConn struct {
	net.Conn
	left int64
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.Join(io.ErrUnexpectedEOF, c.Close())
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// TestCutConnections breaks connections in the middle of chunks: what was stored of them is sent again.
func TestCutConnections(t *testing.T) {
	s, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	cut := &cutting{Listener: server.Listener, after: []int64{100 << 10, 700 << 10, 600 << 10, 1 << 10}}
	server.Listener = cut
	server.Start()
	t.Cleanup(server.Close)
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: server.URL, ChunkBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stream := rand.NewChaCha8([32]byte{7})
	body := make([]byte, 3<<20+17)
	if _, err := stream.Read(body); err != nil {
		t.Fatal(err)
	}
	o, err := store.Put(t.Context(), "bucket", "n", bytes.NewReader(body), artifacts.PutOptions{DoesNotExist: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read %d bytes of %d, or they differ: %v", len(got), len(body), err)
	}
	if n := cut.n.Load(); int(n) < len(cut.after)+1 {
		t.Errorf("%d connections: not all of the %d cuts happened", n, len(cut.after))
	}
}
