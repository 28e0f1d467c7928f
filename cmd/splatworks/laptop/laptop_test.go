package laptop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/infra/local"
	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestMain plays the worker that a backend launches: one that has nothing to do.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func need(t *testing.T) {
	t.Helper()
	for _, tool := range toolchain.Tools {
		if _, err := toolchain.Locate(tool.Name); err != nil && !tool.Optional {
			t.Skipf("%s is missing: %v", tool.Name, err)
		}
	}
}

func options(dir string) Options {
	return Options{Listen: "127.0.0.1:0", Dir: dir, Lease: 15 * time.Second, Log: slog.New(slog.DiscardHandler)}
}

func start(t *testing.T, o Options) *Backend {
	t.Helper()
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func stop(t *testing.T, b *Backend) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// call sends a request under a host name; headers are name, value, ...
func call(t *testing.T, c *http.Client, method, address, host, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host != "" {
		r.Host = host
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// submit asks for a reconstruction under a host name.
func submit(t *testing.T, b *Backend, host, session string) api.Accepted {
	t.Helper()
	resp, answer := call(t, http.DefaultClient, "POST", b.URL+"/trigger-reconstruction", host, `{"session_id":"`+session+`"}`, "Content-Type", "application/json")
	var a api.Accepted
	if err := json.Unmarshal([]byte(answer), &a); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("trigger: %d %s, %v", resp.StatusCode, answer, err)
	}
	return a
}

func known(t *testing.T, b *Backend, a api.Accepted) int {
	t.Helper()
	resp, _ := call(t, http.DefaultClient, "GET", b.URL+"/status", "", "", "Authorization", "Bearer "+a.CallbackToken)
	return resp.StatusCode
}

// Nothing checks who sends an event: a sender can end requests and have webhooks signed.
func TestEventsArriveByTheirSocketAlone(t *testing.T) {
	need(t)
	dir := t.TempDir()
	b := start(t, options(dir))
	defer stop(t, b)
	event := []string{"Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "1", "ce-source", "//x", "ce-type", "google.cloud.storage.object.v1.finalized"}
	paths := []string{"/notify"}
	for _, s := range pipeline.Stages() {
		paths = append(paths, "/"+string(s))
	}
	data := `{"bucket":"another","name":"x","generation":"1","size":"1"}`
	for _, path := range paths {
		for _, public := range []string{"/events" + path, path} {
			if resp, answer := call(t, http.DefaultClient, "POST", b.URL+public, "", data, event...); resp.StatusCode != http.StatusNotFound {
				t.Errorf("public %s: %d %s", public, resp.StatusCode, answer)
			}
		}
	}
	path := filepath.Join(dir, receiversSocket)
	if !strings.HasPrefix(b.Operators, dir) {
		t.Skip("the test's folder is too deep for sockets")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	relay := &http.Client{Transport: socket.Transport(path)}
	if resp, answer := call(t, relay, "POST", "http://events/filter", "", data, event...); resp.StatusCode == http.StatusNotFound {
		t.Errorf("by the socket: %d %s", resp.StatusCode, answer)
	}
	a := submit(t, b, "", "s")
	upload(t, a.Upload.URL, a.Upload.Headers, "no video")
	for {
		s, err := b.parts.Queue.Lookup(t.Context(), a.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		if s.Stage == pipeline.Filter { // the event of the upload has arrived
			break
		}
		if err := b.cloud.Events.Idle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// upload sends a body by the link of an answer.
func upload(t *testing.T, link string, headers map[string]string, body string) {
	t.Helper()
	var list []string
	for name, value := range headers {
		list = append(list, name, value)
	}
	resp, answer := call(t, http.DefaultClient, "POST", link, "", "", list...)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("start of the upload: %d %s", resp.StatusCode, answer)
	}
	if resp, answer := call(t, http.DefaultClient, "PUT", resp.Header.Get("Location"), "", body); resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: %d %s", resp.StatusCode, answer)
	}
}

// A page of a name that leads to this machine (DNS rebinding) reaches nothing.
func TestOnlyItsOwnNamesAreServed(t *testing.T) {
	need(t)
	o := options(t.TempDir())
	o.Origins, o.Hosts = []string{"https://page.example"}, []string{"proxy.example"}
	b := start(t, o)
	defer stop(t, b)
	for _, path := range []string{"/trigger-reconstruction", "/healthz", "/docs", "/status", "/inbox-filter/x", "/events/notify"} {
		for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example"} {
			if resp, answer := call(t, http.DefaultClient, "POST", b.URL+path, host, "{}", "Content-Type", "application/json"); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s as %s: %d %s", path, host, resp.StatusCode, answer)
			}
		}
	}
	for _, host := range []string{"", "localhost", "localhost:1", "[::1]:8080", "page.example", "proxy.example:443"} {
		if resp, answer := call(t, http.DefaultClient, "GET", b.URL+"/healthz", host, ""); resp.StatusCode != http.StatusOK {
			t.Errorf("as %q: %d %s", host, resp.StatusCode, answer)
		}
	}
}

// A caller of the API can use its links, too: by the name that they called, and by the same port.
func TestLinksLeadWhereTheCallerCalled(t *testing.T) {
	need(t)
	o := options(t.TempDir())
	o.Listen, o.Hosts = "0.0.0.0:0", []string{"box.example"}
	b := start(t, o)
	defer stop(t, b)
	own, err := url.Parse(b.URL)
	if err != nil || own.Hostname() != "127.0.0.1" {
		t.Fatalf("its own address is %s, %v", b.URL, err)
	}
	for _, host := range []string{own.Host, "localhost:" + own.Port(), "box.example:" + own.Port(), "192.0.2.1:8443"} {
		a := submit(t, b, host, "s-"+strings.NewReplacer(".", "-", ":", "-").Replace(host))
		link, err := url.Parse(a.Upload.URL)
		if err != nil || link.Host != host || link.Scheme != "http" {
			t.Errorf("called as %s, the link is %s, %v", host, link, err)
			continue
		}
		list := []string{}
		for name, value := range a.Upload.Headers {
			list = append(list, name, value)
		}
		link.Host = own.Host // there is no such name here
		resp, answer := call(t, http.DefaultClient, "POST", link.String(), host, "", list...)
		location, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || resp.StatusCode != http.StatusCreated || location.Host != host {
			t.Errorf("start by %s: %d %s, leads to %s, %v", host, resp.StatusCode, answer, location, err)
			continue
		}
		location.Host = own.Host
		if resp, answer := call(t, http.DefaultClient, "PUT", location.String(), host, "body"); resp.StatusCode != http.StatusOK {
			t.Errorf("upload by %s: %d %s", host, resp.StatusCode, answer)
		}
	}
	a := submit(t, b, "", "s-tls")
	list := []string{"X-Forwarded-Proto", "https"} // by a proxy that speaks TLS with the client
	for name, value := range a.Upload.Headers {
		list = append(list, name, value)
	}
	if resp, answer := call(t, http.DefaultClient, "POST", a.Upload.URL, "", "", list...); !strings.HasPrefix(resp.Header.Get("Location"), "https://"+own.Host+"/") {
		t.Errorf("behind TLS: %d %s, leads to %s", resp.StatusCode, answer, resp.Header.Get("Location"))
	}
	if resp, _ := call(t, http.DefaultClient, "GET", b.URL+"/storage/v1/b/artifacts/o", "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the storage's own API is reached from outside: %d", resp.StatusCode)
	}
}

func TestASecondProgramTouchesNothing(t *testing.T) {
	need(t)
	dir := t.TempDir()
	b := start(t, options(dir))
	a := submit(t, b, "", "s")
	marks := []string{filepath.Join(dir, "work", "mark"), filepath.Join(dir, "logs", "filter.log")}
	for _, path := range marks {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	for _, idle := range []bool{false, true} {
		o := options(dir)
		o.Idle = idle
		if second, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another program") {
			t.Errorf("a second program, idle %v: %v", idle, errors.Join(err, second.Close()))
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("it left\n%s\nof\n%s", after, before)
	}
	if status := known(t, b, a); status != http.StatusOK {
		t.Errorf("the first one answers %d", status)
	}
	stop(t, b)
	b = start(t, options(dir))
	defer stop(t, b)
	if _, err := os.Stat(marks[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed worker left is still there: %v", err)
	}
}

// tree is every path below dir.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var paths []string
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(paths, "\n")
}

func TestALostQueueComesBack(t *testing.T) {
	need(t)
	for name, lose := range map[string]func(redis string) error{
		"deleted": os.RemoveAll,
		"refused": func(redis string) error {
			return os.WriteFile(filepath.Join(redis, "appendonlydir", "appendonly.aof.manifest"), []byte("xx\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, options(dir))
			a := submit(t, b, "", "s")
			stop(t, b)
			if err := lose(filepath.Join(dir, "cloud", "redis")); err != nil {
				t.Fatal(err)
			}
			b = start(t, options(dir))
			defer stop(t, b)
			if status := known(t, b, a); status != http.StatusOK {
				t.Errorf("the request is answered %d", status)
			}
		})
	}
}

func TestInterruptedTasksLoseNoAttempt(t *testing.T) {
	need(t)
	dir := t.TempDir()
	o := options(dir)
	o.Lease = time.Hour // the reaper has no part in this
	b := start(t, o)
	a := submit(t, b, "", "s")
	upload(t, a.Upload.URL, a.Upload.Headers, "no video")
	for i := range 4 { // more than there are attempts
		claimed := 0
		for claimed == 0 {
			leases, err := b.parts.Queue.Claim(t.Context(), pipeline.Filter, "dies", 1)
			if err != nil {
				t.Fatal(err)
			}
			if claimed = len(leases); claimed == 1 && leases[0].Attempt() != 1 {
				t.Errorf("run %d: attempt %d", i, leases[0].Attempt())
			}
		}
		stop(t, b)
		b = start(t, o)
	}
	defer stop(t, b)
	if s, err := b.parts.Queue.Lookup(context.WithoutCancel(t.Context()), a.RequestID); err != nil || s.Status.Terminal() {
		t.Errorf("state %+v, %v", s, err)
	}
}

// TestHowAWorkerEndedIsSaid: the launcher saw it, so the task does not wait for its lease, and its failure says it.
func TestHowAWorkerEndedIsSaid(t *testing.T) {
	need(t)
	o := options(t.TempDir())
	o.Lease = time.Hour // the reaper has no part in this
	b := start(t, o)
	defer stop(t, b)
	a := submit(t, b, "", "s")
	upload(t, a.Upload.URL, a.Upload.Headers, "no video")
	for claimed := 0; claimed == 0; {
		leases, err := b.parts.Queue.Claim(t.Context(), pipeline.Filter, "dies", 1)
		if err != nil {
			t.Fatal(err)
		}
		claimed = len(leases)
	}
	failure := func() *pipeline.Failure {
		s, err := b.parts.Queue.Lookup(t.Context(), a.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		return s.Failure
	}
	c, err := configured(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := b.workerEnded(c, o.Log)
	ended(local.End{Stage: pipeline.Filter, Worker: "dies"}) // in good order
	ended(local.End{Stage: pipeline.Filter, Worker: "dies", Err: errors.New("signal: terminated"), Closing: true})
	ended(local.End{Stage: pipeline.Filter, Worker: "another", Err: errors.New("exit status 2")})
	if f := failure(); f != nil {
		t.Errorf("failed by what is not its worker's end: %+v", f)
	}
	ended(local.End{Stage: pipeline.Filter, Worker: "dies", Err: errors.New("signal: killed"), Words: "panic: no more memory"})
	f := failure()
	if f == nil || f.Code != "worker_lost" || f.Kind != pipeline.Transient || !strings.Contains(f.Message, "signal: killed") || !strings.Contains(f.Message, "panic: no more memory") {
		t.Errorf("failure %+v", f)
	}
	// A worker that was started for filter may have continued with preprocess.
	manifest := pipeline.Object{Bucket: inbox(pipeline.Preprocess), Name: artifacts.ManifestName(a.RequestID, pipeline.Filter), Generation: 1}
	if _, err := b.parts.Queue.Enqueue(t.Context(), queue.Task{RequestID: a.RequestID, Stage: pipeline.Preprocess, Input: manifest}); err != nil {
		t.Fatal(err)
	}
	if leases, err := b.parts.Queue.Claim(t.Context(), pipeline.Preprocess, "moved", 1); err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	ended(local.End{Stage: pipeline.Filter, Worker: "moved", Err: errors.New("signal: killed")})
	if f := failure(); f == nil || f.Stage != pipeline.Preprocess {
		t.Errorf("failure of a worker that continued: %+v", f)
	}
}

// TestKeysOutliveTheQueue: a key that an operator adds opens at once, nothing else does, and a loss of Redis changes nothing.
func TestKeysOutliveTheQueue(t *testing.T) {
	need(t)
	o := options(t.TempDir())
	o.AskKeys = true
	b := start(t, o)
	operators := &http.Client{Transport: socket.Transport(b.Operators)}
	resp, answer := call(t, operators, "POST", "http://operators/keys", "", `{"name":"app"}`)
	var added struct{ Secret string }
	if err := json.Unmarshal([]byte(answer), &added); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s, %v", resp.Status, answer, err)
	}
	ask := func(session, key string) int {
		resp, _ := call(t, http.DefaultClient, "POST", b.URL+"/trigger-reconstruction", "", `{"session_id":"`+session+`"}`, "Content-Type", "application/json", "X-Api-Key", key)
		return resp.StatusCode
	}
	if got, without := ask("a", added.Secret), ask("b", ""); got != http.StatusAccepted || without != http.StatusUnauthorized {
		t.Errorf("with the key %d, without %d", got, without)
	}
	stop(t, b)
	if err := os.RemoveAll(filepath.Join(o.Dir, "cloud", "redis")); err != nil {
		t.Fatal(err)
	}
	b = start(t, o)
	defer stop(t, b)
	if got, again := ask("c", added.Secret), ask("a", added.Secret); got != http.StatusAccepted || again != http.StatusConflict {
		t.Errorf("after the loss %d, for a session that is taken %d", got, again)
	}
}
