// Package e2e runs the real program as a stranger would: the binary, over HTTP, with the native tools. It holds tests only.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/infra/toolchain"
)

// built is the folder of the binaries, once one is built.
var built string

var folder = sync.OnceValues(func() (dir string, err error) {
	built, err = os.MkdirTemp("", "splatworks-e2e-")
	return built, err
})

// program and functions are the paths of the built binaries: everything in one, and the functions as they are deployed.
var (
	program   = build("splatworks", "cmd/splatworks")
	functions = build("functions", "cmd/functions")
)

func build(name, main string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := folder()
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, name)
		out, err := exec.Command("go", "build", "-o", path, "github.com/splatworks/splatworks/"+main).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build: %w\n%s", err, out)
		}
		return path, nil
	})
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// need skips unless the native tools are here and the run is not a short one.
func need(t *testing.T, tools ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole reconstruction is no short test")
	}
	for _, name := range tools {
		if _, err := toolchain.Locate(name); err != nil {
			t.Skipf("%s is missing: %v", name, err)
		}
	}
}

// splatworks runs a command to its end and returns its exit code and what it said.
func splatworks(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// backend is a running `splatworks up`.
type backend struct {
	t    *testing.T
	url  string
	dir  string
	cmd  *exec.Cmd
	mu   sync.Mutex
	logs strings.Builder

	secrets []string // tokens and upload links that were handed out: no log may hold them
}

// start brings up a backend on a free port, over the data in dir.
func start(t *testing.T, dir string, args ...string) *backend {
	t.Helper()
	return startOn(t, dir, "127.0.0.1:0", args...)
}

// startOn brings up a backend on an address, over the data in dir.
func startOn(t *testing.T, dir, listen string, args ...string) *backend {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{t: t, dir: dir}
	b.cmd = exec.Command(path, append([]string{"up", "--listen", listen, "--data", dir}, args...)...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.cmd.Stderr = (*lockedLog)(b)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready http://") {
		b.stop()
		t.Fatalf("no ready line but %q: %v\n%s", line, err, b.log())
	}
	b.url = strings.TrimSpace(strings.TrimPrefix(line, "ready "))
	go io.Copy(io.Discard, lines)
	t.Cleanup(func() {
		b.stop()
		b.checkLogs()
		if t.Failed() {
			t.Logf("backend's log:\n%s", b.log())
		}
	})
	return b
}

// stop ends the backend as Ctrl-C would.
func (b *backend) stop() {
	if b.cmd.ProcessState != nil {
		return
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { defer close(done); _ = b.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		<-done
		b.t.Error("the backend did not stop within 30 s of SIGTERM")
	}
}

// lockedLog collects the log while it is written.
type lockedLog backend

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logs.Write(p)
}

func (b *backend) log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.String()
}

// accepted is the part of the answer to a trigger that a client needs.
type accepted struct {
	RequestID     string `json:"request_id"`
	CallbackToken string `json:"callback_token"`
	Upload        struct {
		Method, URL string
		Headers     map[string]string
	}
}

func (b *backend) trigger(session string, options string) accepted {
	b.t.Helper()
	body := fmt.Sprintf(`{"session_id":%q,"options":%s}`, session, options)
	resp, err := http.Post(b.url+"/trigger-reconstruction", "application/json", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		b.t.Fatalf("trigger: %s\n%s", resp.Status, answer)
	}
	var a accepted
	if err := json.Unmarshal(answer, &a); err != nil {
		b.t.Fatal(err)
	}
	b.secrets = append(b.secrets, a.CallbackToken)
	if signature := signatureOf(a.Upload.URL); signature != "" {
		b.secrets = append(b.secrets, signature)
	}
	return a
}

// signatureOf is what makes a signed link a permission.
func signatureOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return u.Query().Get("X-Goog-Signature")
}

// checkLogs looks for every secret that the backend handed out in every line that it and its workers logged.
func (b *backend) checkLogs() {
	logs := map[string]string{"the backend's log": b.log()}
	files, err := filepath.Glob(filepath.Join(b.dir, "logs", "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			b.t.Fatal(err)
		}
		logs[file] = string(body)
	}
	for name, text := range logs {
		for _, secret := range b.secrets {
			if strings.Contains(text, secret) {
				b.t.Errorf("a token or the signature of a link stands in %s", name)
			}
		}
	}
}

// upload sends body through the signed resumable URL, in chunks.
func (b *backend) upload(a accepted, body []byte) {
	b.t.Helper()
	req, err := http.NewRequest(a.Upload.Method, a.Upload.URL, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range a.Upload.Headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	session := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusCreated || session == "" {
		b.t.Fatalf("open upload session: %s, location %q", resp.Status, session)
	}
	const chunk = 256 << 10
	for at := 0; ; at += chunk {
		end := min(at+chunk, len(body))
		req, err := http.NewRequest(http.MethodPut, session, bytes.NewReader(body[at:end]))
		if err != nil {
			b.t.Fatal(err)
		}
		rng := fmt.Sprintf("bytes %d-%d/%d", at, end-1, len(body))
		if len(body) == 0 {
			rng = "bytes */0"
		}
		req.Header.Set("Content-Range", rng)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		resp.Body.Close()
		if end == len(body) {
			if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
				b.t.Fatalf("last chunk: %s", resp.Status)
			}
			return
		}
		if resp.StatusCode != http.StatusPermanentRedirect {
			b.t.Fatalf("chunk at %d: %s", at, resp.Status)
		}
	}
}

// document is the part of the status document that these tests look at.
type document struct {
	Status   string
	Stage    string
	Attempts int
	Progress struct {
		Percent float64
		Step    string
		Stages  []struct {
			Stage   string
			Percent float64
		}
	}
	Failure *struct {
		Kind, Code, Stage, Message, Advice string
		Retryable                          bool
	}
	Results []struct {
		Kind string
		URL  string
		Size int64
	}
}

func (d document) percent(stage string) float64 {
	for _, s := range d.Progress.Stages {
		if s.Stage == stage {
			return s.Percent
		}
	}
	return 0
}

func (b *backend) status(a accepted) document {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.url+"/status", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.CallbackToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("status: %s\n%s", resp.Status, body)
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		b.t.Fatal(err)
	}
	return d
}

// until polls until the document is as wanted, the request has ended, or it took far too long.
func (b *backend) until(a accepted, what string, want func(document) bool) document {
	b.t.Helper()
	deadline := time.Now().Add(12 * time.Minute)
	for {
		d := b.status(a)
		if want(d) {
			return d
		}
		if ended(d) || time.Now().After(deadline) {
			b.t.Fatalf("waiting until %s: %+v, failure %+v", what, d, d.Failure)
		}
		time.Sleep(200 * time.Millisecond) // polling a program that runs on its own, not waiting for a guess
	}
}

func ended(d document) bool {
	return d.Status == "COMPLETED" || d.Status == "FAILED" || d.Status == "CANCELED"
}

// workersAt are the names of the workers that hold a slot of a stage, whichever they were started for; none while Redis is away.
func (b *backend) workersAt(stage string) []string {
	r, ok := b.findRedis()
	if !ok {
		return nil
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket, DisableIdentity: true})
	defer client.Close()
	names, _ := client.ZRange(b.t.Context(), "{q4}slots:"+stage, 0, -1).Result()
	return names
}

// workers are the process ids of the backend's workers at a stage, read from /proc.
func (b *backend) workers(stage string) []int {
	b.t.Helper()
	names := b.workersAt(stage)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Skip("no /proc to find a worker in")
	}
	path, _ := program()
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		named := func(name string) bool { return bytes.Contains(environ, []byte("WORKER_NAME="+name+"\x00")) }
		if err == nil && len(args) > 2 && args[0] == path && args[1] == "worker" && slices.ContainsFunc(names, named) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// manifests lists the manifests in a bucket as name#generation, through the storage's own API.
func (b *backend) manifests(storage, bucket string) []string {
	b.t.Helper()
	var names []string
	for _, name := range b.objects(storage, bucket, "") {
		if object, _, _ := strings.Cut(name, "#"); strings.HasSuffix(object, ".manifest.json") {
			names = append(names, name)
		}
	}
	return names
}

// objects lists what lies under a prefix as name#generation.
func (b *backend) objects(storage, bucket, prefix string) (names []string) {
	b.t.Helper()
	resp, err := http.Get(storage + "/storage/v1/b/" + bucket + "/o?prefix=" + url.QueryEscape(prefix))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Items []struct{ Name, Generation string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		b.t.Fatal(err)
	}
	for _, item := range list.Items {
		names = append(names, item.Name+"#"+item.Generation)
	}
	return names
}
