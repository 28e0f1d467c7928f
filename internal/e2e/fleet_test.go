package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/pipeline"
)

// fleet is several small requests at one backend while something breaks. Its clients do what docs/api.md asks of clients: they
// repeat a call that got no answer, with the same idempotency key, and follow the status to its end.
type fleet struct {
	t       *testing.T
	dir     string
	listen  string
	args    []string
	capture []byte
	b       *backend
	hooks   *receiver
	members []*member
	clients sync.WaitGroup
}

// member is one request of a fleet.
type member struct {
	name string
	bad  bool // a capture without a model: it has to end FAILED with one of badCodes

	mu       sync.Mutex
	accepted *client.Accepted
	ends     []pipeline.Status // every final status that was seen: one
	last     *client.Status
	err      error // that its client gave up with
}

// badCodes are the honest ends of a capture whose images are too far apart for poses.
var badCodes = []string{"no_sparse_model", "too_few_registered", "too_few_points", "no_features", "low_resolution"}

// Small requests: a few CPU seconds each.
var (
	good = pipeline.Options{Preset: "preview", TrainBudgetS: 1, MaxImages: 20, LongEdgePx: 200, Depth: pipeline.DepthOff}
	// Three frames of a whole orbit overlap at no size: further tries do not help.
	bad = pipeline.Options{Preset: "preview", TrainBudgetS: 1, MaxImages: 3, LongEdgePx: 120, Depth: pipeline.DepthOff}
)

// newFleet starts a backend, and a client for each request.
func newFleet(t *testing.T, capture []byte, goods, bads int, options pipeline.Options, args ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), listen: freeAddress(t), capture: capture, hooks: newReceiver(t), args: args}
	f.up()
	for i := range goods + bads {
		m := &member{name: fmt.Sprintf("fleet-%02d", i), bad: i >= goods}
		f.members = append(f.members, m)
		o := options
		if m.bad {
			o = bad
		}
		f.clients.Go(func() { m.err = f.follow(m, o) })
	}
	return f
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// up starts the backend of the fleet, or starts it again over the same data.
func (f *fleet) up() {
	f.t.Helper()
	f.b = startOn(f.t, f.dir, f.listen, append([]string{"--lease", "6s"}, f.args...)...)
}

// follow sends a request as a patient client does, and watches it to its end.
func (f *fleet) follow(m *member, o pipeline.Options) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), 12*time.Minute)
	defer cancel()
	api := &client.Client{BaseURL: "http://" + f.listen, HTTP: &http.Client{Transport: withIdempotencyKey(m.name + "-00000000-0000")}}
	for m.accepted == nil {
		a, err := api.Trigger(ctx, client.Trigger{SessionID: m.name, Options: o, CallbackURL: f.hooks.server.URL})
		var problem *client.Problem
		switch {
		case err == nil:
			m.mu.Lock()
			m.accepted = a
			m.mu.Unlock()
		case errors.As(err, &problem) && problem.Status < 500 && problem.Status != http.StatusTooManyRequests:
			return fmt.Errorf("trigger: %w", err)
		case pause(ctx) != nil:
			return fmt.Errorf("trigger: %w", err)
		}
	}
	for {
		err := api.Upload(ctx, *m.accepted.Upload, bytes.NewReader(f.capture), int64(len(f.capture)), nil)
		if err == nil {
			break
		}
		// 412: an upload whose answer was lost had arrived whole.
		if strings.Contains(err.Error(), "(412") {
			break
		}
		if pause(ctx) != nil {
			return fmt.Errorf("upload: %w", err)
		}
	}
	for {
		s, err := api.Wait(ctx, m.accepted.CallbackToken, m.saw)
		if err == nil {
			m.saw(s)
			return nil
		}
		var problem *client.Problem
		if errors.As(err, &problem) && problem.Status < 500 || pause(ctx) != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
}

// pause waits a moment between two calls to a backend that may be away.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond): // polling a program that runs on its own
		return nil
	}
}

func (m *member) saw(s *client.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = s
	if s.Status.Terminal() && !slices.Contains(m.ends, s.Status) {
		m.ends = append(m.ends, s.Status)
	}
}

// withIdempotencyKey adds a key to every POST.
type withIdempotencyKey string

func (key withIdempotencyKey) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && r.URL.Path == "/trigger-reconstruction" {
		r = r.Clone(r.Context())
		r.Header.Set("Idempotency-Key", string(key))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// receiver takes webhooks.
type receiver struct {
	server *httptest.Server
	mu     sync.Mutex
	got    []hook
}

type hook struct {
	at     time.Time
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, hook{time.Now(), req.Header.Clone(), body})
	}))
	t.Cleanup(r.server.Close)
	return r
}

// of returns the types of a request's webhooks, after it has verified each.
func (r *receiver) of(t *testing.T, a *client.Accepted) (types []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.got {
		var message struct {
			Type string
			Data struct {
				RequestID string `json:"request_id"`
			}
		}
		if err := json.Unmarshal(h.body, &message); err != nil {
			t.Errorf("a webhook that is no JSON: %v", err)
			continue
		}
		if message.Data.RequestID != a.RequestID {
			continue
		}
		if err := notify.Verify(a.WebhookSecret, h.header, h.body, h.at); err != nil {
			t.Errorf("webhook of %s: %v", a.RequestID, err)
		}
		types = append(types, message.Type)
	}
	return types
}

// settle waits for every request's end, stops the backend and checks that nothing was lost, doubled, or left behind.
func (f *fleet) settle() {
	t := f.t
	t.Helper()
	f.clients.Wait()
	for _, m := range f.members {
		f.check(m)
	}
	f.checkManifests()
	f.b.stop()
	if code := f.b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("after SIGTERM the backend ends with %d", code)
	}
	for _, pid := range family(f.b.cmd.Process.Pid, f.dir) {
		t.Errorf("process %d is left: %s", pid, commandLine(pid))
	}
	for _, pattern := range []string{"work/*", "cloud/storage/tmp/*"} {
		if left, _ := filepath.Glob(filepath.Join(f.dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func (f *fleet) check(m *member) {
	t := f.t
	t.Helper()
	switch {
	case m.err != nil:
		t.Errorf("%s: %v", m.name, m.err)
		return
	case len(m.ends) != 1:
		t.Errorf("%s ended as %v", m.name, m.ends)
		return
	}
	failed := m.last.Failure != nil
	switch {
	case !m.bad && m.last.Status == pipeline.Completed:
		f.checkSplat(m)
	case m.bad && failed && slices.Contains(badCodes, m.last.Failure.Code):
	case failed:
		t.Errorf("%s: %s in %s after %d attempts: %s %s", m.name, m.last.Failure.Code, m.last.Failure.Stage, m.last.Attempts, m.last.Failure.Message, m.last.Failure.Advice)
	default:
		t.Errorf("%s is %s", m.name, m.last.Status)
	}
	// A webhook follows the end, and may be on its way.
	deadline := time.Now().Add(time.Minute)
	types := f.hooks.of(t, m.accepted)
	for ; len(types) == 0 && time.Now().Before(deadline); types = f.hooks.of(t, m.accepted) {
		time.Sleep(100 * time.Millisecond) // polling a program that runs on its own
	}
	slices.Sort(types)
	if len(slices.Compact(types)) != 1 {
		t.Errorf("%s: webhooks %v", m.name, types)
	}
}

// checkSplat downloads the result and compares it with what the status and the storage say of it.
func (f *fleet) checkSplat(m *member) {
	t := f.t
	t.Helper()
	at := slices.IndexFunc(m.last.Results, func(r client.Result) bool { return r.Kind == "splat" })
	if at < 0 {
		t.Errorf("%s has no splat: %+v", m.name, m.last.Results)
		return
	}
	r := m.last.Results[at]
	resp, err := http.Get(r.URL)
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	sum := md5.Sum(body)
	if err != nil || resp.StatusCode != http.StatusOK || int64(len(body)) != r.Size || !bytes.HasPrefix(body, []byte("ply")) ||
		!strings.Contains(strings.Join(resp.Header.Values("x-goog-hash"), ","), "md5="+base64.StdEncoding.EncodeToString(sum[:])) {
		t.Errorf("%s: %s, %d bytes of %d, hash %v, %v", m.name, resp.Status, len(body), r.Size, resp.Header.Values("x-goog-hash"), err)
	}
}

// checkManifests looks for a stage that was completed twice: its manifest would have been stored twice.
func (f *fleet) checkManifests() {
	t := f.t
	t.Helper()
	seen := map[string]int{}
	for _, name := range f.b.allManifests() {
		object, _, _ := strings.Cut(name, "#")
		seen[object]++
	}
	for _, m := range f.members {
		if m.accepted == nil || m.bad || m.last == nil || m.last.Status != pipeline.Completed {
			continue
		}
		count := 0
		for object, n := range seen {
			if !strings.Contains(object, m.accepted.RequestID) {
				continue
			}
			if count++; n != 1 {
				t.Errorf("%s: manifest %s is there %d times", m.name, object, n)
			}
		}
		if count != len(pipeline.Stages()) {
			t.Errorf("%s: %d manifests of %d stages", m.name, count, len(pipeline.Stages()))
		}
	}
}

// any waits until one of the requests is in a stage, or all have ended.
func (f *fleet) any(stage pipeline.Stage) {
	f.until(func() bool {
		in := slices.ContainsFunc(f.members, func(m *member) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.last != nil && m.last.Stage == stage
		})
		return in || f.ended()
	})
}

// submitted waits until the backend knows every request.
func (f *fleet) submitted() {
	f.until(func() bool {
		return !slices.ContainsFunc(f.members, func(m *member) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.last == nil && m.err == nil
		})
	})
}

func (f *fleet) ended() bool {
	return !slices.ContainsFunc(f.members, func(m *member) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.ends) == 0 && m.err == nil
	})
}

func (f *fleet) until(done func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(12 * time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			f.t.Fatal("the requests do not get on")
		}
		time.Sleep(20 * time.Millisecond) // polling a program that runs on its own
	}
}

// worker waits for a worker of a stage and returns its process id, or 0 when the requests ended before.
func (f *fleet) worker(stage pipeline.Stage) (pid int) {
	f.until(func() bool {
		if pids := f.b.workers(string(stage)); len(pids) > 0 {
			pid = pids[0]
		}
		return pid != 0 || f.ended()
	})
	return pid
}

// crash kills the backend alone, as the system does when memory runs out.
func (f *fleet) crash() {
	_ = f.b.cmd.Process.Kill()
	_ = f.b.cmd.Wait()
}

// powerCut kills the backend and everything that it started.
func (f *fleet) powerCut() {
	for _, pid := range family(f.b.cmd.Process.Pid, f.dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = f.b.cmd.Wait()
}

// suspend stops everything, as closing a laptop's lid does, and returns what wakes it again.
func (f *fleet) suspend() (wake func()) {
	pids := family(f.b.cmd.Process.Pid, f.dir)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// family lists a process with its descendants, and whatever else works in a folder.
func family(root int, dir string) (pids []int) {
	parents := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ") // state, parent, ...
		if fields := strings.Fields(rest); err == nil && len(fields) > 1 && fields[0] != "Z" {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for pid := range parents {
		at := pid
		for at != root && at > 1 {
			at = parents[at]
		}
		if at == root || pid != os.Getpid() && strings.Contains(commandLine(pid), dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return strings.ReplaceAll(string(line), "\x00", " ")
}
