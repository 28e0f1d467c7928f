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

// lossyLine is a way to a server on which connections break: before a command arrives, or after it was carried out and
// before its answer comes back, which a client cannot tell apart.
type lossyLine struct {
	socket  string
	share   float64 // of transfers that break, in each direction
	broken  atomic.Int64
	mu      sync.Mutex
	rand    *rand.Rand
	quit    net.Listener
	servers sync.WaitGroup
}

func newLossyLine(t *testing.T, server *redistest.Server, share float64) *lossyLine {
	dir, err := os.MkdirTemp("", "line")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossyLine{socket: filepath.Join(dir, "s"), share: share, rand: rand.New(rand.NewPCG(1, 2))}
	if l.quit, err = net.Listen("unix", l.socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.quit.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			client, err := l.quit.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", server.Socket)
			if err != nil {
				client.Close()
				continue
			}
			go l.carry(client, up)
			go l.carry(up, client)
		}
	}()
	return l
}

func (l *lossyLine) breaks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.Float64() < l.share
}

func (l *lossyLine) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if l.breaks() {
			l.broken.Add(1)
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
	line := newLossyLine(t, server, 0.04)
	client, err := redisq.Connect("unix://" + line.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	queuetest.Suite{Lossy: true, Open: func(t testing.TB, cfg queue.Config) queue.Queue {
		flush(t, direct)
		q := open(t, client, cfg)
		q.SetPause(time.Millisecond)
		return q
	}}.RunModel(t, schedules)
	if line.broken.Load() < 20 {
		t.Errorf("only %d transfers broke: the test has shown nothing", line.broken.Load())
	}
	t.Logf("%d transfers broke", line.broken.Load())
}

// TestRestart: scripts are gone and the data is being loaded when the server is back; a call just takes longer.
func TestRestart(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
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
	if _, err := q.EnqueueAll(t.Context(), []queue.Task{{RequestID: "r", Stage: pipeline.Filter}}); err == nil {
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
