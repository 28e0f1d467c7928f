package load

import (
	"bufio"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var soak = flag.Duration("soak", 20*time.Minute, "how long TestSoak takes")

// measured skips what prints figures and is a part of no run of all tests.
func measured(t *testing.T) {
	t.Helper()
	if !*heavy {
		t.Skip("make measure runs it")
	}
}

// spent is what the rig has used up to now, in CPU seconds: functions, receivers, reaper, emulators and clients in this process; workers
// that ended; Redis.
type spent struct{ process, workers, redis float64 }

func (r *rig) spent() spent {
	return spent{cpu(syscall.RUSAGE_SELF), cpu(syscall.RUSAGE_CHILDREN), r.info("used_cpu_user") + r.info("used_cpu_sys")}
}

func (s spent) since(before spent, n int) string {
	ms := func(after, before float64) float64 { return 1000 * (after - before) / float64(n) }
	return fmt.Sprintf("%.1f ms in the functions, receivers, reaper, emulators and clients, %.1f ms in workers, %.2f ms in Redis",
		ms(s.process, before.process), ms(s.workers, before.workers), ms(s.redis, before.redis))
}

// info is a number that Redis reports of itself.
func (r *rig) info(name string) float64 {
	client := redis.NewClient(&redis.Options{Addr: r.redis.Addr})
	defer client.Close()
	text, err := client.Info(context.Background(), "everything").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		r.t.Fatalf("%s of Redis: %v", name, err)
	}
	return number
}

// TestOverhead measures everything but engines: the stand-ins take no time.
func TestOverhead(t *testing.T) {
	measured(t)
	for _, at := range []int{1, 50} {
		s := small
		s.engine.Duration = 0
		r := newRig(t, s)
		n := 30 * min(at, 10)
		before := r.spent()
		members := r.run(n, at, faults[0])
		r.settle(members)
		var took []time.Duration
		for _, m := range members {
			if m.err != nil {
				t.Fatal(m.err)
			}
			state, err := r.parts.Queue.Lookup(t.Context(), m.accepted.RequestID)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, state.FinishedAt.Sub(m.uploaded))
		}
		slices.Sort(took)
		t.Logf("%d requests, %d at a time: from upload to COMPLETED %v (half), %v (nine of ten); CPU a request: %s", n, at,
			took[n/2].Round(time.Millisecond), took[n*9/10].Round(time.Millisecond), r.spent().since(before, n))
	}
}

// TestGrowth measures calls while more and more requests wait for a worker.
func TestGrowth(t *testing.T) {
	measured(t)
	r := newRig(t, small)
	r.refuse(func() error { return errRefused })
	operators, err := r.parts.Operators()
	if err != nil {
		t.Fatal(err)
	}
	table := "| waiting | Redis, MB | tick, CPU ms | `POST /trigger-reconstruction` | `GET /status` | `GET /queue` | `GET /metrics` |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
	waiting, api := 0, &client.Client{BaseURL: r.api.URL}
	for _, n := range []int{10, 100, 1000, 10_000} {
		for ; waiting < n; waiting++ {
			r.wait(waiting)
		}
		reaper := r.parts.Reaper()
		_, _ = reaper.Tick(t.Context()) // its first pass looks at all uploads; launches are refused
		var token string
		cost := func(calls int, do func(i int) error) float64 {
			before := r.spent()
			for i := range calls {
				if err := do(i); err != nil {
					t.Fatal(err)
				}
			}
			after := r.spent()
			return 1000 * (after.process + after.redis - before.process - before.redis) / float64(calls)
		}
		get := func(path string) func(int) error {
			return func(int) error {
				rec := httptest.NewRecorder()
				operators.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
				if rec.Code != http.StatusOK {
					return fmt.Errorf("%s: %d %s", path, rec.Code, rec.Body)
				}
				return nil
			}
		}
		tick := cost(20, func(int) error { _, _ = reaper.Tick(t.Context()); return nil })
		trigger := cost(40, func(i int) error {
			a, err := api.Trigger(t.Context(), client.Trigger{SessionID: fmt.Sprintf("growth-%d-%d", n, i)})
			if err == nil {
				token = a.CallbackToken
			}
			return err
		})
		status := cost(100, func(int) error { _, err := api.Status(t.Context(), token); return err })
		table += fmt.Sprintf("| %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", n, r.info("used_memory")/1e6, tick, trigger, status, cost(40, get("/queue")), cost(5, get("/metrics")))
	}
	fmt.Fprintf(os.Stdout, "\nCPU ms a call, of the whole rig, whose reaper ticks each second besides\n%s\n", table)
}

// wait adds a request that waits for a worker of the first stage.
func (r *rig) wait(i int) {
	now := time.Now()
	id, err := pipeline.NewRequestID(now, rand.Reader)
	if err == nil {
		err = r.parts.Queue.Submit(r.t.Context(), pipeline.Request{ID: id, SessionID: fmt.Sprintf("waiting-%d", i), TokenHash: fmt.Sprintf("hash-%064d", i), CreatedAt: now,
			Deadline: now.Add(24 * time.Hour)})
	}
	if err == nil {
		_, err = r.parts.Queue.Enqueue(r.t.Context(), queue.Task{RequestID: id, Stage: pipeline.First(), Input: pipeline.Object{Bucket: inbox(pipeline.First()), Name: id + "/input", Generation: 1}})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// usage is what a program holds that may leak.
type usage struct {
	heapMB, rssMB, redisMB, diskMB float64
	goroutines, descriptors        int
}

func (r *rig) usage() (u usage) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heapMB, u.redisMB, u.goroutines = float64(m.HeapAlloc)/1e6, r.info("used_memory")/1e6, runtime.NumGoroutine()
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.descriptors = len(fds)
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
		u.rssMB = pages * float64(os.Getpagesize()) / 1e6
	}
	_ = filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) != "logs" {
			if info, err := d.Info(); err == nil {
				u.diskMB += float64(info.Size()) / 1e6
			}
		}
		return nil
	})
	return u
}

// soakPause is between two requests of a client: the soak is to be long, not busy.
const soakPause = 6 * time.Second

// TestSoak sends requests for a long time, and purges each some minutes after its end as retention would. What the rig holds does not grow
// between the middle and the end.
func TestSoak(t *testing.T) {
	measured(t)
	r := newRig(t, small)
	operators, err := r.parts.Operators()
	if err != nil {
		t.Fatal(err)
	}
	const purgeAfter = 2*time.Minute + 15*time.Second // sooner, a worker may still write
	type ended struct {
		id string
		at time.Time
	}
	var (
		mu     sync.Mutex
		purged []ended
		next   atomic.Int64
		failed atomic.Int64
	)
	until := time.Now().Add(*soak)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for time.Now().Before(until) {
				m := &member{session: fmt.Sprintf("soak-%06d", next.Add(1))}
				if err := r.follow(m); err != nil || m.last.Status != pipeline.Completed {
					failed.Add(1)
					continue
				}
				time.Sleep(soakPause)
				mu.Lock()
				purged = append(purged, ended{m.accepted.RequestID, time.Now()})
				mu.Unlock()
			}
		})
	}
	purge := func() {
		for {
			mu.Lock()
			if len(purged) == 0 || time.Since(purged[0].at) < purgeAfter {
				mu.Unlock()
				return
			}
			id := purged[0].id
			purged = purged[1:]
			mu.Unlock()
			rec := httptest.NewRecorder()
			operators.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/purge", strings.NewReader(`{"request_id":"`+id+`"}`)))
			if rec.Code != http.StatusOK {
				t.Errorf("purge: %d %s", rec.Code, rec.Body)
			}
			r.hooks.forget(id)
		}
	}
	var samples []usage
	for time.Now().Before(until) {
		time.Sleep(5 * time.Second) // the measurement takes time
		purge()
		samples = append(samples, r.usage())
	}
	clients.Wait()
	t.Logf("%d requests in %v, %d failed", next.Load(), *soak, failed.Load())
	if failed.Load() > 0 {
		t.Error("requests failed")
	}
	third := len(samples) / 3
	for name, of := range map[string]func(usage) float64{
		"heap, MB": func(u usage) float64 { return u.heapMB }, "resident, MB": func(u usage) float64 { return u.rssMB },
		"Redis, MB": func(u usage) float64 { return u.redisMB }, "disk, MB": func(u usage) float64 { return u.diskMB },
		"goroutines": func(u usage) float64 { return float64(u.goroutines) }, "descriptors": func(u usage) float64 { return float64(u.descriptors) },
	} {
		mean := func(part []usage) (sum float64) {
			for _, u := range part {
				sum += of(u) / float64(len(part))
			}
			return sum
		}
		middle, last := mean(samples[third:2*third]), mean(samples[2*third:])
		t.Logf("%s: %.1f in the first third, %.1f in the middle, %.1f in the last", name, mean(samples[:third]), middle, last)
		if *soak >= 20*time.Minute && !(last <= 1.15*middle+5) {
			t.Errorf("%s grows", name)
		}
	}
}

// forget drops what is known of the webhooks of a request.
func (h *hooks) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.types, id)
}

// TestStreams holds a thousand event streams at once, and each hears of the end of its request.
func TestStreams(t *testing.T) {
	measured(t)
	const requests, each = 250, 4
	r := newRig(t, small)
	api := &client.Client{BaseURL: r.api.URL}
	var tokens []string
	for i := range requests {
		a, err := api.Trigger(t.Context(), client.Trigger{SessionID: fmt.Sprintf("stream-%d", i)})
		for ; err != nil && !lasting(err); a, err = api.Trigger(t.Context(), client.Trigger{SessionID: fmt.Sprintf("stream-%d", i)}) {
			_ = pause(t.Context()) // more than the shield of one instance lets through
		}
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, a.CallbackToken)
	}
	before, used := r.usage(), r.spent()
	transport := &http.Transport{MaxIdleConnsPerHost: requests * each}
	defer transport.CloseIdleConnections()
	var heard atomic.Int64
	var open, streams sync.WaitGroup
	open.Add(requests * each)
	for i := range requests * each {
		streams.Go(func() {
			q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.api.URL+"/events", nil)
			if err != nil {
				t.Error(err)
				open.Done()
				return
			}
			q.Header.Set("Authorization", "Bearer "+tokens[i%requests])
			resp, err := transport.RoundTrip(q)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("stream %d: %v %v", i, resp, err)
				open.Done()
				return
			}
			defer resp.Body.Close()
			first := true
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if line := lines.Text(); strings.HasPrefix(line, "data: ") {
					if first {
						first = false
						open.Done()
					}
					if strings.Contains(line, `"status":"CANCELED"`) {
						heard.Add(1)
					}
				}
			}
		})
	}
	open.Wait()
	opened, all := r.spent(), r.usage()
	for _, token := range tokens {
		if _, err := api.Cancel(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	streams.Wait()
	if heard.Load() != requests*each {
		t.Errorf("%d of %d streams heard of the end", heard.Load(), requests*each)
	}
	n := requests * each
	t.Logf("%d streams: %.0f KB of heap and %.1f goroutines each, server and client together; CPU to open one: %s; to end one: %s", n,
		1000*(all.heapMB-before.heapMB)/float64(n), float64(all.goroutines-before.goroutines)/float64(n), opened.since(used, n), r.spent().since(opened, n))
}
