package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// wire is the way to Redis. It leads to one server, and to another after a failover.
type wire struct {
	addr    string
	target  atomic.Pointer[redistest.Server]
	fault   atomic.Pointer[func(*call) verdict]
	scripts map[string]string // name by SHA-1

	mu   sync.Mutex
	open map[net.Conn]bool
}

// call is what one write of a program to Redis holds.
type call struct {
	from   net.Addr
	script string // the name of the first script that it runs; empty where it runs none
	text   string
}

func newWire(t *testing.T, to *redistest.Server) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), open: map[net.Conn]bool{}, scripts: scriptNames(t)}
	w.target.Store(to)
	t.Cleanup(func() { l.Close(); w.cutAll() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	return w
}

// scriptNames are the scripts of queue/redisq by what EVALSHA calls them.
func scriptNames(t *testing.T) map[string]string {
	const folder = "../../../queue/redisq/lua/"
	read := func(file string) string {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	files, err := filepath.Glob(folder + "*.lua")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	names := map[string]string{}
	for _, file := range files {
		body := read(file)
		if strings.Contains(body, "\n-- With requests.lua.\n") {
			body = read(folder+"requests.lua") + body
		}
		sum := sha1.Sum([]byte(read(folder+"functions.lua") + body))
		names[hex.EncodeToString(sum[:])] = strings.TrimSuffix(filepath.Base(file), ".lua")
	}
	return names
}

func (w *wire) serve(from net.Conn) {
	to, err := net.Dial("tcp", w.target.Load().Addr)
	if err != nil {
		from.Close()
		return
	}
	w.mu.Lock()
	w.open[from] = true
	w.mu.Unlock()
	var pending atomic.Pointer[verdict] // of the newest write, for its answer
	close := func() {
		from.Close()
		to.Close()
		w.mu.Lock()
		delete(w.open, from)
		w.mu.Unlock()
	}
	go func() {
		defer close()
		w.answers(to, from, &pending)
	}()
	defer close()
	w.calls(from, to, &pending)
}

var evalsha = regexp.MustCompile(`(?i)\r\nevalsha\r\n\$40\r\n([0-9a-f]{40})`)

// calls forwards what a program writes.
func (w *wire) calls(from, to net.Conn, pending *atomic.Pointer[verdict]) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if fault := w.fault.Load(); fault != nil {
			c := &call{from: from.RemoteAddr(), text: string(buffer[:n])}
			if found := evalsha.FindSubmatch(buffer[:n]); found != nil {
				c.script = w.scripts[string(bytes.ToLower(found[1]))]
			}
			v := (*fault)(c)
			if v.before != nil {
				v.before()
			}
			time.Sleep(v.wait) // the fault is that it takes long
			if v.cut || v.refuse {
				return
			}
			if v.lose || v.after != nil {
				pending.Store(&v)
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// answers forwards what Redis answers.
func (w *wire) answers(to, from net.Conn, pending *atomic.Pointer[verdict]) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := to.Read(buffer)
		if err != nil {
			return
		}
		if v := pending.Swap(nil); v != nil {
			if v.after != nil {
				v.after(buffer[:n])
			}
			if v.lose {
				return
			}
		}
		if _, err := from.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cutAll breaks every connection.
func (w *wire) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.open {
		conn.Close()
	}
}

// set switches a fault on, and off with nil.
func (w *wire) set(fault func(*call) verdict) {
	if fault == nil {
		w.fault.Store(nil)
		return
	}
	w.fault.Store(&fault)
}
