package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// programs that this test binary turns into when asked to by runs, so that their exits, signals and logs are real.
const runs = "APP_TEST_RUNS"

func TestMain(m *testing.M) {
	programs := map[string]Program{
		"filter":    RunStage(noWork),
		"functions": RunFunctions,
		"requests":  RunOperators,
		"panics":    func(context.Context, *slog.Logger) error { panic("oh") },
	}
	if run := programs[os.Getenv(runs)]; run != nil {
		if err := RegisterFunctions(); err != nil {
			panic(err)
		}
		Main(run)
		return
	}
	os.Exit(m.Run())
}

func noWork(Config) (stage.Definition, error) {
	return stage.Definition{Stage: pipeline.Filter, Run: func(context.Context, *stage.Job) error { return nil }, Budget: time.Minute}, nil
}

// process is a program that runs, and what it has logged.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	mu    sync.Mutex
	log   bytes.Buffer
	fresh chan struct{}
	ended chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.fresh <- struct{}{}:
	default:
	}
	return p.log.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs a program with the environment of a deployment, of which env replaces and adds parts.
func start(t *testing.T, program string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0]), fresh: make(chan struct{}, 1), ended: make(chan struct{})}
	p.cmd.Stderr = p
	p.cmd.Env = append(append(environment(), runs+"="+program), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", program, p.text())
		}
	})
	return p
}

// environment names storage and Pub/Sub that are never asked.
func environment() []string {
	var inboxes []string
	for _, s := range pipeline.Stages() {
		inboxes = append(inboxes, string(s)+":inbox-"+string(s))
	}
	return []string{"INBOX_BUCKETS=" + strings.Join(inboxes, ","), "ARTIFACTS_BUCKET=artifacts", "PORT=0", "TMPDIR=" + os.TempDir(),
		"STORAGE_EMULATOR_HOST=http://127.0.0.1:1", "PUBSUB_EMULATOR_HOST=127.0.0.1:1", "REDIS_URL=redis://127.0.0.1:1"}
}

// says waits until the log holds all words in one line.
func (p *process) says(words ...string) {
	p.t.Helper()
	for {
		for line := range strings.Lines(p.text()) {
			if holds(line, words) {
				return
			}
		}
		select {
		case <-p.fresh:
		case <-p.ended:
			select {
			case <-p.fresh: // its last line
				continue
			default:
			}
			p.t.Fatalf("it ended without saying %q", words)
		}
	}
}

func holds(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// ends waits for the end and holds every line to the form that Cloud Logging reads, and to holding no secret.
func (p *process) ends(code int, secrets ...string) {
	p.t.Helper()
	<-p.ended
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
	for line := range strings.Lines(p.text()) {
		var entry struct{ Severity, Message string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Severity == "" || entry.Message == "" {
			p.t.Errorf("a line that is no log entry: %s", line)
		}
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				p.t.Errorf("the log holds %q: %s", secret, line)
			}
		}
	}
}

// hole is a port that takes connections and never answers, as an address does to which there is no way yet; reached hears of them.
func hole(t *testing.T) (addr string, reached <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came := make(chan struct{}, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			select {
			case came <- struct{}{}:
			default:
			}
		}
	}()
	return l.Addr().String(), came
}

// TestProgramsSayWhyTheyEnd: what no waiting cures ends a program at once, and its last line names the setting to look at.
func TestProgramsSayWhyTheyEnd(t *testing.T) {
	redis := redistest.StartTCP(t, "--requirepass", "right")
	for name, c := range map[string]struct {
		program string
		env     []string
		says    []string
	}{
		"an invalid URL":            {"filter", []string{"REDIS_URL=redis://:pa/wrong@host"}, []string{`"ERROR"`, "REDIS_URL", "percent-encoded"}},
		"no URL":                    {"requests", []string{"REDIS_URL="}, []string{`"ERROR"`, "REDIS_URL is not set"}},
		"an invalid certificate":    {"filter", []string{"REDIS_CA_CERT=wrong"}, []string{`"ERROR"`, "REDIS_CA_CERT"}},
		"a wrong password":          {"filter", []string{"REDIS_URL=redis://:wrong@" + redis.Addr}, []string{`"ERROR"`, "REDIS_URL", "WRONGPASS"}},
		"a worker's wrong password": {"filter", []string{"CLOUD_RUN_JOB=filter", "REDIS_URL=redis://:wrong@" + redis.Addr}, []string{`"ERROR"`, "REDIS_URL", "WRONGPASS"}},
		"no password":               {"requests", []string{"REDIS_URL=redis://" + redis.Addr}, []string{`"ERROR"`, "REDIS_URL", "NOAUTH"}},
		"no function":               {"functions", []string{"FUNCTION_TARGET=wrong"}, []string{`"ERROR"`, "FUNCTION_TARGET", "trigger or notify"}},
		"settings that are missing": {"filter", []string{"INBOX_BUCKETS="}, []string{`"ERROR"`, "INBOX_BUCKETS"}},
		"a panic":                   {"panics", nil, []string{`"ERROR"`, "panic: oh"}},
		"invalid credentials": {"filter", []string{"STORAGE_EMULATOR_HOST=", "CLOUD_RUN_JOB=filter", "GOOGLE_APPLICATION_CREDENTIALS=/wrong"},
			[]string{`"ERROR"`, "connect to Cloud Storage"}},
		"jobs without a project": {"requests", []string{"JOBS=filter:filter"}, []string{`"ERROR"`, "cloudrun", "project"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c.program, c.env...)
			p.says(c.says...)
			p.ends(1, ":wrong@", "pa/wrong", "right")
		})
	}
}

// TestSIGTERMWhileWaiting: a program that still waits for the queue goes at once, without an error.
func TestSIGTERMWhileWaiting(t *testing.T) {
	for _, job := range []string{"", "filter"} {
		t.Run("refused "+job, func(t *testing.T) {
			p := start(t, "filter", "REDIS_URL=redis://127.0.0.1:1", "CLOUD_RUN_JOB="+job)
			p.says(`"WARNING"`, "waiting for the queue", "127.0.0.1:1")
			p.terminate()
			p.ends(0)
		})
		t.Run("no answer "+job, func(t *testing.T) {
			addr, reached := hole(t)
			p := start(t, "filter", "REDIS_URL=redis://"+addr, "CLOUD_RUN_JOB="+job)
			<-reached
			p.terminate()
			p.ends(0)
		})
	}
}

func (p *process) terminate() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// TestWorkerWaitsForTheQueue: Redis comes after the worker, which then finds its work done and ends well.
func TestWorkerWaitsForTheQueue(t *testing.T) {
	redis := redistest.StartTCP(t)
	redis.Kill()
	p := start(t, "filter", "REDIS_URL="+redis.URL(), "CLOUD_RUN_JOB=filter")
	p.says(`"WARNING"`, "waiting for the queue", "refused")
	redis.Run()
	p.says(`"INFO"`, "queue answers", "waited")
	p.ends(0)
}
