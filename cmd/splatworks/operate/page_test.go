package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/functions/operators"
	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
	"github.com/splatworks/splatworks/web/chromium"
)

var screenshots = flag.String("screenshots", "", "folder for pictures of the page")

// hostile is a name that does something where it is not taken for text.
const hostile = `<img src=x onerror=alert(1)>`

// backend is the operators' API on memory.
type backend struct {
	t       *testing.T
	queue   *memq.Queue
	store   *memory.Store
	buckets artifacts.Buckets
	api     *operators.Service
}

func newBackend(t *testing.T) *backend {
	b := &backend{t: t, store: memory.New(), queue: memq.New(queue.Config{Now: time.Now}), buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	slots := map[pipeline.Stage]int{}
	for _, s := range pipeline.Stages() {
		b.buckets.Inbox[s], slots[s] = "inbox-"+string(s), 2
	}
	log := slog.New(slog.DiscardHandler)
	staffing := stage.Staffing{Slots: b.queue, Launcher: nobody{}, Limit: slots, StartBudget: time.Minute}
	var err error
	b.api, err = operators.New(operators.Config{Queue: b.queue, Reaper: &stage.Reaper{Queue: b.queue, Staffing: staffing, Log: log}, Staffing: staffing, Slots: slots,
		Store: b.store, Buckets: b.buckets, Log: log, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nobody launches no workers: the test is one.
type nobody struct{}

func (nobody) Launch(context.Context, pipeline.Stage) error { return nil }

// request is one whose upload has come.
func (b *backend) request(session, caller string) pipeline.Request {
	b.t.Helper()
	ctx, now := b.t.Context(), time.Now().UTC()
	id, err := pipeline.NewRequestID(now, rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	r := pipeline.Request{ID: id, SessionID: session, Caller: caller, TokenHash: "h-" + id, CreatedAt: now, Deadline: now.Add(time.Hour), Options: pipeline.Options{Preset: "preview", TrainBudgetS: 20}}
	input, err := b.store.Put(ctx, "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader("a video"), artifacts.PutOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = artifacts.PutJSON(ctx, b.store, b.buckets.Artifacts, artifacts.RequestName(id), r, artifacts.PutOptions{})
	if err = errors.Join(err, b.queue.Submit(ctx, r)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.queue.Enqueue(ctx, queue.Task{RequestID: id, Stage: pipeline.Filter, Input: input}); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// fails lets a worker fail with all that operators see of it.
func (b *backend) fails() {
	b.t.Helper()
	worker := stage.Worker{Definition: stage.Definition{Stage: pipeline.Filter, Run: func(ctx context.Context, _ *stage.Job) error {
		_, _ = tool.Run(ctx, tool.Command{Path: "sh", Name: "ffmpeg", Args: []string{"-c", "echo 'moov atom not found " + hostile + "' >&2; exit 1"}})
		f := pipeline.Invalid("unreadable_capture", "The file cannot be read.", "Send another.")
		f.Err = errors.New("the cause " + hostile)
		return f
	}}, ID: "worker-7", Tasks: b.queue, Slots: b.queue, Limit: 2, Store: b.store, Buckets: b.buckets, WorkDir: b.t.TempDir(), Beat: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler), USDPerS: 0.01}
	if err := worker.Run(b.t.Context(), nil); err != nil {
		b.t.Fatal(err)
	}
}

// TestOperatorsPage goes the way of an operator, in a real browser: open the link, see the queue, find the request that failed, read why,
// retry it with another option, cancel that one, and count what is old. A hostile session id and what programs print stay text.
func TestOperatorsPage(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	b := newBackend(t)
	failed := b.request("a "+hostile, "key "+hostile)
	b.fails()
	b.request("garden-2", "")
	if _, err := b.queue.Reserve(t.Context(), pipeline.Filter, 2, time.Hour); err != nil {
		t.Fatal(err)
	}
	if leases, err := b.queue.Claim(t.Context(), pipeline.Filter, "w", 1); err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	b.request("kitchen", "")
	server := httptest.NewServer(b.api.Handler())
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{API: u, Transport: http.DefaultTransport, Hosts: loopback.Listening("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(d)
	defer site.Close()

	o := operator{chromium.Open(t, site.URL+"/#"+d.Key, 1440, 900, false)}
	o.Until(`document.querySelectorAll('.asked li').length === 3 && !location.hash.includes('` + d.Key + `')`)
	o.says("garden-2", "a "+hostile, "unreadable_capture", "1 of 2")
	o.look("operate-queue")
	o.Reload() // the session survives it
	o.Until(`document.querySelectorAll('.asked li').length === 3`)
	o.fill("input[type=search]", "KITCH")
	o.Until(`document.querySelectorAll('.asked li').length === 1`)
	o.fill("input[type=search]", "")
	o.fill("form select", "FAILED")
	o.Until(`document.querySelectorAll('.asked li').length === 1 && document.body.innerText.includes('unreadable_capture')`)
	o.Eval(`document.querySelector('.asked a').click()`, nil)
	o.Until(`document.querySelector('.waterfall') && document.querySelector('.failure pre') && document.querySelector('.options label')`)
	o.Eval(`document.querySelectorAll('details').forEach(d => d.open = true)`, nil)
	o.Until(`document.querySelector('.files li')`)
	o.says("a "+hostile, "moov atom not found "+hostile, "the cause "+hostile, "worker-7", "inbox-filter/"+failed.ID+"/input")
	o.look("operate-request")

	o.fill(`.options select`, "high")
	o.fill(`section[aria-label=Retry] input`, "again-1")
	o.Click("Retry")
	o.Until(`document.querySelector('.made a')`)
	o.Eval(`document.querySelector('.made a').click()`, nil)
	o.Until(`document.querySelector('h1').innerText === 'again-1' && document.body.innerText.includes('"preset": "high"') || document.querySelector('details pre')?.textContent.includes('"high"')`)
	o.Eval(`window.confirm = () => true`, nil)
	o.Click("Cancel this request")
	o.Until(`document.querySelector('.pill.CANCELED') && document.querySelector('section[aria-label=Retry]')`)
	o.Click("Back to the queue")
	o.Click("Count them")
	o.Until(`document.querySelector('section[aria-label=Purge] .note')?.innerText.includes('0 requests')`)
	for _, fault := range o.Faults() {
		t.Errorf("console: %s", fault)
	}
	b.others(site.URL, d.Key)
}

// others: another browser of the same machine, with the same link or a request's token, and a page of another origin.
func (b *backend) others(address, key string) {
	b.t.Helper()
	for _, fragment := range []string{"", "#" + key, "#" + strings.Repeat("A", 43)} {
		o := operator{chromium.Open(b.t, address+"/"+fragment, 375, 812, true)}
		o.Until(`document.querySelector('[role=alert]') && document.querySelector('h1').innerText === 'Closed'`)
		if fragment == "" {
			o.look("operate-closed")
		}
	}
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }))
	defer evil.Close()
	o := operator{chromium.Open(b.t, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1), 375, 812, true)}
	for _, call := range []string{`'/api/queue'`, `'/api/queue', {headers: {Authorization: 'Bearer x'}}`, `'/session', {method: 'POST', headers: {Authorization: 'Bearer x'}}`, `'/'`} {
		var read bool
		o.Eval(fmt.Sprintf(`fetch(%q + %s).then(() => true, () => false)`, address, call), &read)
		if read {
			b.t.Errorf("another origin reads fetch(%s)", call)
		}
	}
}

type operator struct{ *chromium.Tab }

// fill sets a field or a choice as a person does.
func (o operator) fill(selector, value string) {
	o.Eval(fmt.Sprintf(`(e => { e.value = %q; e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true})); })(document.querySelector(%q))`, value, selector), nil)
}

func (o operator) says(words ...string) {
	for _, w := range words {
		o.Until(fmt.Sprintf(`document.body.innerText.includes(%q)`, w))
	}
}

func (o operator) look(name string) {
	var script []byte
	if path, err := toolchain.Private("axe/node_modules/axe-core/axe.min.js"); err == nil {
		script, _ = os.ReadFile(path) // without it nothing is checked, as where there is none
	}
	o.Look(name, script, *screenshots)
}
