// Package chromium drives a headless Chromium for tests of the page, by the DevTools protocol over a pipe.
package chromium

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Tab is one page of a browser of its own.
type Tab struct {
	t       testing.TB
	session string
	in      io.Writer
	cmd     *exec.Cmd

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	faults  []string // what went to the console as an error, and what the policy refused
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	answer
}

// Patience is how long Until waits: it bounds a test that would hang, on any machine.
const Patience = 90 * time.Second

// Open starts a browser and opens url in a window of that size; it skips the test when no Chromium is here. dark is the person's choice
// of colours.
func Open(t testing.TB, url string, width, height int, dark bool) *Tab {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium here: infra/toolchain/install.sh chromium")
	}
	tab := &Tab{t: t, waiting: map[int]chan answer{}}
	tab.start(program)
	var target struct{ TargetID string }
	tab.must("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	tab.must("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	tab.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "DOM"} {
		tab.must(domain+".enable", nil, nil)
	}
	tab.Resize(width, height, dark)
	tab.Go(url)
	return tab
}

func (b *Tab) start(program string) {
	b.t.Helper()
	theirs, ours, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	results, out, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		b.t.Fatal(err)
	}
	b.in = ours
	b.cmd = exec.Command(program, "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", "--use-angle=swiftshader",
		"--remote-debugging-pipe", "--user-data-dir="+profile)
	b.cmd.ExtraFiles = []*os.File{theirs, out} // its descriptors 3 and 4
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); b.read(results) }()
	b.t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		_ = b.cmd.Wait()
		<-read
		_ = errors.Join(ours.Close(), results.Close())
		_ = os.RemoveAll(profile)
	})
	_ = errors.Join(theirs.Close(), out.Close()) // they are the browser's now
}

// read hands every message to who waits for it.
func (b *Tab) read(from io.Reader) {
	messages := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if waits := b.waiting[m.ID]; m.ID != 0 && waits != nil {
			delete(b.waiting, m.ID)
			waits <- m.answer
		}
		b.note(m)
		b.mu.Unlock()
	}
}

// note keeps what a page must not do. Callers hold mu.
func (b *Tab) note(m message) {
	switch m.Method {
	case "Runtime.exceptionThrown", "Log.entryAdded":
		var p struct {
			Entry            struct{ Level, Text, URL string }
			ExceptionDetails struct {
				Text      string
				Exception struct{ Description string }
			}
		}
		_ = json.Unmarshal(m.Params, &p)
		if m.Method == "Log.entryAdded" && p.Entry.Level != "error" {
			return
		}
		b.faults = append(b.faults, strings.TrimSpace(p.Entry.Text+" "+p.Entry.URL+p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description))
	case "Runtime.consoleAPICalled":
		var p struct {
			Type string
			Args []struct{ Value any }
		}
		_ = json.Unmarshal(m.Params, &p)
		if p.Type == "error" || p.Type == "assert" {
			b.faults = append(b.faults, fmt.Sprint(p.Type, ": ", p.Args))
		}
	case "Page.javascriptDialogOpening":
		var p struct{ Type, Message string }
		_ = json.Unmarshal(m.Params, &p)
		if p.Type == "alert" { // the page has none of its own
			b.faults = append(b.faults, "alert: "+p.Message)
		}
		b.send("Page.handleJavaScriptDialog", map[string]any{"accept": true})
	}
}

// send writes a call and returns where its answer comes. Callers hold mu.
func (b *Tab) send(method string, params any) chan answer {
	b.next++
	call := map[string]any{"id": b.next, "method": method}
	if params != nil {
		call["params"] = params
	}
	if b.session != "" {
		call["sessionId"] = b.session
	}
	raw, _ := json.Marshal(call) // of strings and numbers
	waits := make(chan answer, 1)
	b.waiting[b.next] = waits
	_, _ = b.in.Write(append(raw, 0)) // a browser that has gone answers nothing
	return waits
}

// call makes one call of the protocol.
func (b *Tab) call(method string, params, into any) error {
	b.mu.Lock()
	waits := b.send(method, params)
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	defer cancel()
	select {
	case a := <-waits:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(a.Result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (b *Tab) must(method string, params, into any) {
	b.t.Helper()
	if err := b.call(method, params, into); err != nil {
		b.t.Fatal(err)
	}
}

// Resize sets the window, as a phone's when it is narrow, and the choice of colours.
func (b *Tab) Resize(width, height int, dark bool) {
	b.t.Helper()
	b.must("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.must("Emulation.setEmulatedMedia", map[string]any{"media": "", "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Touch makes the device one that fingers touch.
func (b *Tab) Touch() {
	b.t.Helper()
	b.must("Emulation.setTouchEmulationEnabled", map[string]any{"enabled": true}, nil)
}

// Before runs a script in each page that is opened from here on, ahead of the page's own.
func (b *Tab) Before(script string) {
	b.t.Helper()
	b.must("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": script}, nil)
}

// Throttle makes the connection slow, in bytes a second and milliseconds of latency.
func (b *Tab) Throttle(bytesPerS, latencyMS float64) {
	b.t.Helper()
	b.must("Network.enable", nil, nil)
	b.must("Network.emulateNetworkConditions", map[string]any{"offline": false, "latency": latencyMS, "downloadThroughput": bytesPerS, "uploadThroughput": bytesPerS}, nil)
}

// Go opens url anew, also where it differs from the page at hand by its fragment alone.
func (b *Tab) Go(url string) {
	b.t.Helper()
	b.must("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.Until("location.href === 'about:blank'")
	b.must("Page.navigate", map[string]any{"url": url}, nil)
	b.Until("location.href !== 'about:blank' && document.readyState === 'complete'")
}

// Reload loads the page again, as a person does.
func (b *Tab) Reload() {
	b.t.Helper()
	b.Eval("window.leaving = true", nil)
	b.must("Page.reload", nil, nil)
	b.Until("!window.leaving && document.readyState === 'complete'")
}

// Eval runs a JavaScript expression, awaits it, and stores its value in into unless that is nil.
func (b *Tab) Eval(expression string, into any) {
	b.t.Helper()
	if err := b.eval(expression, into); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

func (b *Tab) eval(expression string, into any) error {
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out)
	if err != nil {
		return err
	}
	if e := out.ExceptionDetails; e != nil {
		return errors.New(e.Text + " " + e.Exception.Description)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(out.Result.Value, into)
}

// Until waits until a JavaScript expression is true, looking at every frame that the browser would draw.
func (b *Tab) Until(condition string) {
	b.t.Helper()
	end := time.Now().Add(Patience)
	for time.Now().Before(end) {
		var holds bool
		err := b.eval(`new Promise(done => setTimeout(() => done(!!(`+condition+`)), 30))`, &holds)
		if err == nil && holds {
			return
		}
	}
	var text string
	_ = b.eval("document.body.innerText", &text)
	b.t.Fatalf("%s does not come true. The page says:\n%s\nand in its console:\n%s", condition, text, strings.Join(b.Faults(), "\n"))
}

// Choose puts files into the first file chooser that selector finds.
func (b *Tab) Choose(selector string, paths ...string) {
	b.t.Helper()
	var doc struct{ Root struct{ NodeID int } }
	b.must("DOM.getDocument", nil, &doc)
	var node struct{ NodeID int }
	b.must("DOM.querySelector", map[string]any{"nodeId": doc.Root.NodeID, "selector": selector}, &node)
	b.must("DOM.setFileInputFiles", map[string]any{"nodeId": node.NodeID, "files": paths}, nil)
}

// Click clicks the first button, link or field whose text is exactly that.
func (b *Tab) Click(text string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll('button, a, summary, label')].find(e => e.innerText.trim() === %q)`, text)
	b.Until(find)
	b.Eval(find+".click()", nil)
}

// Key presses and releases a key on what has the focus.
func (b *Tab) Key(key string, code int) {
	b.t.Helper()
	b.Hold(key, code, true)
	b.Hold(key, code, false)
}

// Hold presses a key, or releases it.
func (b *Tab) Hold(key string, code int, down bool) {
	b.t.Helper()
	kind := map[bool]string{true: "keyDown", false: "keyUp"}[down]
	b.must("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}, nil)
}

// Press clicks with the mouse at a place of the window, in pixels.
func (b *Tab) Press(x, y float64) {
	b.t.Helper()
	b.Drag(x, y, x, y)
}

// Drag moves the mouse from one place of the window to another with its button held.
func (b *Tab) Drag(x, y, toX, toY float64) {
	b.t.Helper()
	mouse := func(kind string, x, y float64, buttons int) {
		b.must("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1}, nil)
	}
	mouse("mouseMoved", x, y, 0)
	mouse("mousePressed", x, y, 1)
	if x != toX || y != toY {
		mouse("mouseMoved", toX, toY, 1)
	}
	mouse("mouseReleased", toX, toY, 0)
}

// Paper shows the page as it is printed on A4, until the next Resize, and returns that as a PDF.
func (b *Tab) Paper() []byte {
	b.t.Helper()
	b.must("Emulation.setDeviceMetricsOverride", map[string]any{"width": 718, "height": 1047, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.must("Emulation.setEmulatedMedia", map[string]any{"media": "print"}, nil)
	var out struct{ Data string }
	b.must("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": false}, &out)
	pdf, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return pdf
}

// Screenshot is a PNG of the window or, when whole, of all of the page.
func (b *Tab) Screenshot(whole bool) []byte {
	b.t.Helper()
	var out struct{ Data string }
	b.must("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// Faults are the errors of the page so far: exceptions, console errors, and what its policy refused.
func (b *Tab) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.faults...)
}
