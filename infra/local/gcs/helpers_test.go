package gcs

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rig is a server over HTTP that can be stopped and started again on the same folder.
type rig struct {
	t      *testing.T
	dir    string
	o      Options
	ahead  atomic.Int64 // of the real clock, nanoseconds
	server *Server
	http   *httptest.Server
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(r.dir, "service-account.pem"), testKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.o = Options{NoSync: true, Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }}
	r.start()
	t.Cleanup(func() { r.http.Close() })
	if err := r.server.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.server, err = Open(r.dir, r.o); err != nil {
		r.t.Fatal(err)
	}
	r.http = httptest.NewServer(r.server)
}

func (r *rig) restart() {
	r.t.Helper()
	r.http.CloseClientConnections()
	r.http.Close()
	r.start()
}

func (r *rig) forward(d time.Duration) { r.ahead.Add(int64(d)) }

// testKey is one key for all tests, since making one takes a while.
var testKey = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "key-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "key.pem")
	if _, err := loadKey(disk{}, path); err != nil {
		panic(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return body
})

type answer struct {
	*http.Response
	body string
}

func (a answer) object(t *testing.T) Object {
	t.Helper()
	var o Object
	if err := json.Unmarshal([]byte(a.body), &o); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("answer %d is no object: %s", a.StatusCode, a.body)
	}
	return o
}

// do sends a request; target is a path or a whole URL of this or an earlier run. headers are name, value, ...
func (r *rig) do(method, target, body string, headers ...string) answer {
	r.t.Helper()
	a, err := r.try(method, target, strings.NewReader(body), headers...)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func (r *rig) try(method, target string, body io.Reader, headers ...string) (answer, error) {
	u, err := url.Parse(target)
	if err != nil {
		return answer{}, err
	}
	now, err := url.Parse(r.http.URL)
	if err != nil {
		return answer{}, err
	}
	u.Scheme, u.Host = now.Scheme, now.Host
	req, err := http.NewRequestWithContext(r.t.Context(), method, u.String(), body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

func (r *rig) want(status int, a answer) answer {
	r.t.Helper()
	if a.StatusCode != status {
		r.t.Errorf("%s %s: %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, status, a.body)
	}
	return a
}

func objectPath(name string) string { return "/storage/v1/b/bucket/o/" + url.PathEscape(name) }

func (r *rig) put(name, body string) Object {
	r.t.Helper()
	return r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name="+url.QueryEscape(name), body,
		"Content-Type", "text/plain").object(r.t)
}

func (r *rig) get(name string) answer {
	r.t.Helper()
	return r.do("GET", objectPath(name)+"?alt=media", "")
}

// session starts a resumable upload by the JSON API.
func (r *rig) session(name, resource string, headers ...string) string {
	r.t.Helper()
	a := r.want(200, r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable&name="+url.QueryEscape(name), resource, headers...))
	location := a.Header.Get("Location")
	if !strings.HasPrefix(location, r.http.URL+"/upload/storage/v1/b/bucket/o?") {
		r.t.Fatalf("session URI %q", location)
	}
	return location
}

func (r *rig) chunk(session, contentRange, body string, headers ...string) answer {
	r.t.Helper()
	return r.do("PUT", session, body, append(headers, "Content-Range", contentRange)...)
}

// wantStored checks a 308 and how much it says is stored.
func (r *rig) wantStored(a answer, rangeHeader string) {
	r.t.Helper()
	r.want(308, a)
	if got := a.Header.Get("Range"); got != rangeHeader {
		r.t.Errorf("Range %q, want %q", got, rangeHeader)
	}
}

func (r *rig) wantContent(name, body string) {
	r.t.Helper()
	a := r.want(200, r.get(name))
	if a.body != body {
		r.t.Errorf("%q has %d bytes, want %d, or they differ", name, len(a.body), len(body))
	}
}

func (r *rig) wantMissing(name string) {
	r.t.Helper()
	r.want(404, r.get(name))
}

func randomText(n int, seed byte) string {
	b := make([]byte, n)
	stream := rand.NewChaCha8([32]byte{seed})
	_, _ = stream.Read(b) // never fails
	return string(b)
}

func crcOf(body string) string {
	return encodeCRC(crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// pausedBody hands out its head, says so, and then waits until it is released or closed.
type pausedBody struct {
	head    *bytes.Reader
	sent    chan struct{}
	release chan struct{}
}

func newPausedBody(head string) *pausedBody {
	return &pausedBody{bytes.NewReader([]byte(head)), make(chan struct{}), make(chan struct{})}
}

func (p *pausedBody) Read(b []byte) (int, error) {
	if p.head.Len() > 0 {
		return p.head.Read(b)
	}
	select {
	case <-p.sent:
	default:
		close(p.sent)
	}
	<-p.release
	return 0, io.ErrUnexpectedEOF
}

func decodeToken(t interface{ Fatal(...any) }, token string) string {
	b, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
