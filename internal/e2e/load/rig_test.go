// Package load drives a whole backend as its clients do, breaks what it runs on, and counts what became of every request. Storage, events,
// Redis, functions, receivers, reaper and workers are the product's own; only the engines of the stages are stand-ins, put in where a
// main puts engines in. It holds tests only.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/infra/local"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// discarded is the log of servers whose connections are cut on purpose.
var discarded = log.New(io.Discard, "", 0)

// setup is how large a rig is.
type setup struct {
	engine engine
	slots  int // of each stage
	lease  time.Duration
}

var small = setup{engine: engine{Duration: 15 * time.Millisecond, Bytes: 20_000}, slots: 2, lease: 6 * time.Second}

// rig is a backend under load and everything that may be broken about it.
type rig struct {
	t       testing.TB
	dir     string
	work    string // where workers work: a disk of its own, where that can be had
	setup   setup
	redis   *redistest.Server
	wire    *wire
	storage *storage
	events  *carrier
	cloud   *local.Cloud
	parts   *app.Parts
	launch  *launcher
	api     *httptest.Server
	hooks   *hooks
	struck  atomic.Int64 // how often the fault did something
}

// artifactsBucket and inbox name the buckets.
const artifactsBucket = "artifacts"

func inbox(s pipeline.Stage) string { return "inbox-" + string(s) }

func newRig(t testing.TB, s setup) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), setup: s, hooks: newHooks(t)}
	r.redis = redistest.StartTCP(t, "--appendonly", "yes")
	r.wire = newWire(t.(*testing.T), r.redis)
	log := r.log()
	r.events = &carrier{}
	c := config(s)
	r.startCloud(c, log)
	r.storage = newStorage(t.(*testing.T), r.cloud.StorageURL())
	c.Storage, c.PubSub, c.RedisURL = r.storage.server.URL, r.cloud.PubSubAddr(), "redis://"+r.wire.addr
	parts, err := c.Open(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(parts.Close)
	r.parts = parts
	r.disk()
	r.launch = newLauncher(r, c)
	parts.Launcher = r.launch
	r.serve()
	return r
}

// log is where all programs of the rig write; LOAD_LOG names a folder that outlives the test.
func (r *rig) log() *slog.Logger {
	f, err := os.Create(filepath.Join(r.logs(), "backend.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { f.Close() })
	return serve.NewLogger(f, "", slog.LevelInfo)
}

func (r *rig) logs() string {
	dir := filepath.Join(r.dir, "logs")
	if kept := os.Getenv("LOAD_LOG"); kept != "" {
		dir = filepath.Join(kept, r.t.Name())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

func config(s setup) app.Config {
	c := app.Config{
		Inbox: map[string]string{}, Artifacts: artifactsBucket, Slots: map[string]int{}, Requested: "reconstruction-requested", Finished: "reconstruction-finished",
		LeaseTTL: s.lease, Heartbeat: s.lease / 5, StartBudget: 15 * time.Second, Port: "0", RateCaller: 1e6, RateGlobal: 1e6, LoopbackWebhooks: true,
		Concurrent: 10_000, MaxTrainBudgetS: app.DefaultSpending.TrainBudgetS, MaxImages: app.DefaultSpending.Images, MaxLongEdgePx: app.DefaultSpending.LongEdgePx,
	}
	for _, stage := range pipeline.Stages() {
		c.Inbox[string(stage)], c.Slots[string(stage)] = inbox(stage), s.slots
	}
	return c
}

func (r *rig) startCloud(c app.Config, log *slog.Logger) {
	buckets := []local.Bucket{{Name: artifactsBucket}}
	for _, s := range pipeline.Stages() {
		buckets = append(buckets, local.Bucket{Name: inbox(s)})
	}
	var err error
	r.cloud, err = local.Start(r.t.Context(), local.Options{Dir: filepath.Join(r.dir, "cloud"), Topics: []string{c.Requested, c.Finished}, Buckets: buckets,
		FirstRetry: time.Second, Transport: r.events, Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := r.cloud.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

// serve brings up the request API, the receivers of events, and the reaper's tick.
func (r *rig) serve() {
	t := r.t
	email, key := r.cloud.Storage.Account()
	api, err := r.parts.Trigger(gcs.Account{Email: email, PrivateKey: key}, r.storage.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.api = newServer(t, r.parts.Harden(api.Handler()))
	mux := http.NewServeMux()
	receivers := newServer(t, serve.Hardening{Log: r.parts.Log}.Wrap(mux))
	r.events.next = http.DefaultTransport
	for _, s := range pipeline.Stages() {
		receiver, err := serve.Events(r.parts.Receiver(s).Receive)
		if err != nil {
			t.Fatal(err)
		}
		mux.Handle("POST /"+string(s), receiver)
		if err := r.cloud.OnFinalized(inbox(s), receivers.URL+"/"+string(s)); err != nil {
			t.Fatal(err)
		}
	}
	notify, err := r.parts.Notify()
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := serve.Events(notify.Receive)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("POST /notify", receiver)
	if err := r.cloud.OnMessage("reconstruction-finished", receivers.URL+"/notify"); err != nil {
		t.Fatal(err)
	}
	r.tick()
}

func newServer(t testing.TB, handler http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = discarded
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// tick is the scheduler of the reaper.
func (r *rig) tick() {
	reaper := r.parts.Reaper()
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if _, err := reaper.Tick(ctx); err != nil && ctx.Err() == nil {
					r.parts.Log.Warn("reaper", "error", err.Error())
				}
			}
		}
	})
	r.t.Cleanup(func() { stop(); ended.Wait() })
}

// diskBytes is the size of the workers' disk.
const diskBytes = 32 << 20

// disk gives the workers a disk of their own, which may be full without harm to others. Only root can make one.
func (r *rig) disk() {
	r.work = filepath.Join(r.dir, "work")
	if err := os.Mkdir(r.work, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if mountDisk(r.work) == nil {
		r.t.Cleanup(func() { _ = syscall.Unmount(r.work, 0) })
	}
}

// launcher starts workers, of this program, and can refuse to.
type launcher struct {
	mu      sync.Mutex
	refuses func() error // nil: it does not
	skew    time.Duration
	right   *local.Launcher
	skewed  *local.Launcher
}

func newLauncher(r *rig, c app.Config) *launcher {
	engine, err := json.Marshal(r.setup.engine)
	if err != nil {
		r.t.Fatal(err)
	}
	make := func(skew time.Duration) *local.Launcher {
		l := &local.Launcher{LogDir: r.logs(), WorkDir: r.work, Log: r.parts.Log,
			Env: append(c.Environ(), engineVariable+"="+string(engine), skewVariable+"="+skew.String())}
		r.t.Cleanup(func() {
			if err := l.Close(); err != nil {
				r.t.Error(err)
			}
		})
		return l
	}
	return &launcher{right: make(0), skewed: make(-c.LeaseTTL / 2)}
}

var errRefused = errors.New("no worker is launched: the quota is used up")

// Launch implements stage.Launcher.
func (l *launcher) Launch(ctx context.Context, s pipeline.Stage) error {
	l.mu.Lock()
	refuses, skew := l.refuses, l.skew
	l.mu.Unlock()
	if refuses != nil {
		if err := refuses(); err != nil {
			if errors.Is(err, errLost) {
				return nil
			}
			return err
		}
	}
	if skew != 0 {
		return l.skewed.Launch(ctx, s)
	}
	return l.right.Launch(ctx, s)
}

// errLost makes a launch seem to succeed.
var errLost = errors.New("the launch is lost")

var _ stage.Launcher = (*launcher)(nil)

// hooks takes webhooks and counts them by request.
type hooks struct {
	server *httptest.Server
	mu     sync.Mutex
	types  map[string]map[string]int // request -> type -> how many
}

func newHooks(t testing.TB) *hooks {
	h := &hooks{types: map[string]map[string]int{}}
	h.server = newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Type string
			Data struct {
				RequestID string `json:"request_id"`
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			panic(fmt.Sprintf("a webhook that is no JSON: %v", err))
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.types[message.Data.RequestID] == nil {
			h.types[message.Data.RequestID] = map[string]int{}
		}
		h.types[message.Data.RequestID][message.Type]++
	}))
	return h
}
