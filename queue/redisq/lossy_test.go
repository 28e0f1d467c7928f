package redisq_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// wire is a way to a server, which may lead to another one later.
type wire struct {
	socket string
	quit   net.Listener
	share  float64      // of transfers that break, in each direction
	broken atomic.Int64 // transfers

	mu   sync.Mutex
	rand *rand.Rand
	to   string // socket of the server
	ends []net.Conn
}

// newWire makes a way on which connections break: before a command arrives, or after it was carried out and before its answer
// comes back, which a client cannot tell apart.
func newWire(t *testing.T, server *redistest.Server, share float64) *wire {
	dir, err := os.MkdirTemp("", "line")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{socket: filepath.Join(dir, "s"), to: server.Socket, share: share, rand: rand.New(rand.NewPCG(1, 2))}
	if w.quit, err = net.Listen("unix", w.socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.quit.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			client, err := w.quit.Accept()
			if err != nil {
				return
			}
			w.join(client)
		}
	}()
	return w
}

func (w *wire) url() string { return "unix://" + w.socket }

func (w *wire) join(client net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	up, err := net.Dial("unix", w.to)
	if err != nil {
		client.Close()
		return
	}
	w.ends = append(w.ends, client, up)
	go w.carry(client, up)
	go w.carry(up, client)
}

// lead breaks all connections; new ones lead to the server.
func (w *wire) lead(server *redistest.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = server.Socket
	for _, c := range w.ends {
		c.Close()
	}
	w.ends = nil
}

func (w *wire) breaks() bool {
	if w.share == 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64() < w.share
}

func (w *wire) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if w.breaks() {
			w.broken.Add(1)
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestNothingIsAppliedTwice plays the model's schedules over a line that loses one command or answer in 25: what comes of
// it must be the same as if nothing had been lost.
func TestNothingIsAppliedTwice(t *testing.T) {
	schedules := 1_000
	if testing.Short() || raceDetector {
		schedules = 100
	}
	server := redistest.Start(t)
	direct := connect(t, server)
	lossy := newWire(t, server, 0.04)
	client, err := redisq.Connect(lossy.url())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	queuetest.Suite{Lossy: true, Open: func(t testing.TB, cfg queue.Config) queuetest.Queue {
		flush(t, direct)
		q := open(t, client, cfg)
		q.SetPause(time.Millisecond)
		return q
	}}.RunModel(t, schedules)
	if lossy.broken.Load() < 20 {
		t.Errorf("only %d transfers broke: the test has shown nothing", lossy.broken.Load())
	}
	t.Logf("%d transfers broke", lossy.broken.Load())
}

// TestRestart: scripts are gone and the data is being loaded when the server is back; a call just takes longer.
func TestRestart(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always") // what was answered is on the disk
	q := open(t, connect(t, server), queue.Config{})
	r := queuetest.Request(time.Now(), 1)
	if err := q.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	back := make(chan error)
	go func() {
		_, err := q.Enqueue(t.Context(), queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: queuetest.Upload(r.ID, 1)})
		back <- err
	}()
	server.Run()
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if n, err := q.Position(t.Context(), r.ID); n != 1 || err != nil {
		t.Fatalf("position %d, %v", n, err)
	}
}

// TestGivesUp: a call ends with its context although Redis stays away.
func TestGivesUp(t *testing.T) {
	server := redistest.Start(t)
	q := open(t, connect(t, server), queue.Config{})
	server.Kill()
	q.SetPatience(time.Millisecond)
	q.SetPause(time.Millisecond)
	if _, err := q.Lookup(t.Context(), "r"); err == nil {
		t.Fatal("an answer from nowhere")
	}
	if _, err := q.Restore(t.Context(), []queue.Record{{Request: queuetest.Request(time.Now(), 1)}}); err == nil {
		t.Fatal("an answer from nowhere")
	}
	if _, err := q.After(t.Context(), "", 1, 0); err == nil {
		t.Fatal("an answer from nowhere")
	}
	if _, err := q.StatusCounts(t.Context()); err == nil {
		t.Fatal("an answer from nowhere")
	}
}

func ExampleConnect() {
	client, err := redisq.Connect("redis://localhost:6379/0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Options().Addr)
	// Output: localhost:6379
}
