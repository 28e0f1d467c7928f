package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// requestID is what an id of a request looks like.
var requestID = regexp.MustCompile(`\b0[0-9a-hjkmnp-tv-z]{25}`)

// killer kills workers between two steps: before a call of theirs is forwarded, or before its answer is. Each step of their work is
// one or more such calls. A task loses at most one worker by it, since the third would end its request.
type killer struct {
	r *rig

	mu     sync.Mutex
	pids   map[string]int  // by the address of a connection
	tasks  map[int]string  // the request that a worker was last seen with
	killed map[string]bool // request and stage
	points map[string]int  // kills by step
	stages map[int]string  // of workers
}

func killAtSteps(r *rig) func() {
	k := &killer{r: r, pids: map[string]int{}, tasks: map[int]string{}, killed: map[string]bool{}, points: map[string]int{}, stages: map[int]string{}}
	r.storage.set(func(q *http.Request) verdict {
		return k.look(q.RemoteAddr, storageStep(q), requestID.FindString(q.URL.Path))
	})
	r.wire.set(func(c *call) verdict {
		if c.script == "" {
			return verdict{}
		}
		return k.look(c.from.String(), c.script, requestID.FindString(c.text))
	})
	return func() {
		r.storage.set(nil)
		r.wire.set(nil)
		k.mu.Lock()
		defer k.mu.Unlock()
		var steps []string
		for point, n := range k.points {
			steps = append(steps, fmt.Sprintf("%s %d", point, n))
		}
		slices.Sort(steps)
		r.t.Logf("workers were killed at %d points: %s", len(steps), strings.Join(steps, ", "))
		if *heavy && len(steps) < 20 {
			r.t.Errorf("only %d points were reached", len(steps))
		}
	}
}

// storageStep names a call to the storage.
func storageStep(q *http.Request) string {
	parts := strings.Split(strings.Trim(q.URL.Path, "/"), "/")
	at := slices.Index(parts, "b")
	if at < 0 || at+1 >= len(parts) {
		return q.Method
	}
	name := q.Method + " " + parts[at+1]
	if last := parts[len(parts)-1]; last != "o" && !requestID.MatchString(last) {
		name += " " + last
	}
	return name
}

func (k *killer) look(from, step, id string) verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, known := k.pids[from]
	if !known {
		pid = workerAt(from)
		k.pids[from] = pid
	}
	if pid == 0 {
		return verdict{}
	}
	if k.stages[pid] == "" {
		k.stages[pid] = stageOf(pid)
	}
	if id != "" {
		k.tasks[pid] = id
	}
	switch before, after := k.stages[pid]+" before "+step, k.stages[pid]+" after "+step; {
	case k.wants(before):
		return verdict{before: func() { k.kill(pid, before, "") }}
	case k.wants(after):
		return verdict{after: func(answer []byte) { k.kill(pid, after, string(requestID.Find(answer))) }}
	}
	return verdict{}
}

// wants says whether a worker is to be killed at a point: often where few were.
func (k *killer) wants(point string) bool {
	if k.points[point] < 2 {
		return rand.Float64() < 0.3
	}
	return rand.Float64() < 0.003
}

func (k *killer) kill(pid int, point, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id != "" {
		k.tasks[pid] = id
	}
	task := k.tasks[pid] + " " + k.stages[pid]
	if k.killed[task] {
		return
	}
	k.killed[task] = true
	k.points[point]++
	k.r.struck.Add(1)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// commandLine of a process, its arguments separated by zeros.
func commandLine(pid int) []string {
	line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
}

// processes lists those that this program started, or what it started did, and that fit.
func processes(fits func(args []string) bool) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && fits(commandLine(pid)) && slices.Contains(ancestors(pid), os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func ancestors(pid int) (all []int) {
	for pid > 1 {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ") // state, parent, ...
		fields := strings.Fields(rest)
		if err != nil || len(fields) < 2 {
			return all
		}
		pid, _ = strconv.Atoi(fields[1])
		all = append(all, pid)
	}
	return all
}

func workers() []int {
	return processes(func(args []string) bool { return len(args) == 4 && args[1] == "worker" })
}

func stageOf(pid int) string {
	args := commandLine(pid)
	return args[len(args)-1]
}

// workerAt is the worker that has a TCP connection from an address of this machine; 0 when it is no worker.
func workerAt(from string) int {
	_, port, err := net.SplitHostPort(from)
	number, _ := strconv.Atoi(port)
	table, readErr := os.ReadFile("/proc/net/tcp")
	if err != nil || readErr != nil {
		return 0
	}
	local := fmt.Sprintf("0100007F:%04X", number)
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[1] != local {
			continue
		}
		socket := "socket:[" + fields[9] + "]"
		for _, pid := range workers() {
			open, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
			for _, fd := range open {
				if target, _ := os.Readlink(fd); target == socket {
					return pid
				}
			}
		}
	}
	return 0
}

// killChildren kills what a first attempt started, as the system does when memory runs out: one in three.
func killChildren(r *rig) func() {
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		seen := map[int]bool{}
		for {
			for _, pid := range processes(func(args []string) bool { return len(args) > 5 && args[3] == childMark && args[5] == "1" }) {
				if !seen[pid] && r.chance(1./3) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				seen[pid] = true
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond): // children live for longer
			}
		}
	})
	return func() { close(stop); ended.Wait() }
}
