package gcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/infra/local/child/childtest"
)

// recorder is a Listener that remembers up to a generation, as an outbox would.
type recorder struct {
	mu      sync.Mutex
	objects []Object
	forget  bool // from now on nothing that it hears is written down
	heard   int64
	check   func(Object)
}

func (r *recorder) Finalized(o Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects = append(r.objects, o)
	if !r.forget {
		r.heard = o.Generation
	}
	if r.check != nil {
		r.check(o)
	}
}

func (r *recorder) Heard() int64 { return r.heard }

func TestListenerHearsInCommitOrder(t *testing.T) {
	r := newRig(t)
	heard := &recorder{}
	r.o.Listener = heard
	r.restart()
	heard.check = func(o Object) {
		if live, err := r.server.find("bucket", o.Name, o.Generation); err != nil || live.ETag != o.ETag {
			t.Errorf("notified of %s before it was visible: %v", o.ID, err)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				r.put(fmt.Sprintf("n%d", (i+j)%5), "x")
			}
		})
	}
	wg.Wait()
	if len(heard.objects) != 80 {
		t.Fatalf("notified of %d objects, want 80", len(heard.objects))
	}
	for i := 1; i < len(heard.objects); i++ {
		if heard.objects[i].Generation <= heard.objects[i-1].Generation {
			t.Fatalf("generation %d after %d", heard.objects[i].Generation, heard.objects[i-1].Generation)
		}
	}
	r.do("PATCH", objectPath("n0"), `{"metadata":{"a":"b"}}`)
	r.do("DELETE", objectPath("n1"), "")
	r.session("n9", "")
	if len(heard.objects) != 80 {
		t.Error("notified of something that is not a new object")
	}
	r.do("POST", "/storage/v1/b/bucket/o/n0/rewriteTo/b/bucket/o/n8", "{}")
	if len(heard.objects) != 81 || heard.objects[80].Name != "n8" {
		t.Error("not notified of a copy")
	}
}

func TestMissedObjectsAreToldAtOpen(t *testing.T) {
	r := newRig(t)
	heard := &recorder{}
	r.o.Listener = heard
	r.restart()
	r.put("a", "1")
	heard.forget = true // the process dies after each commit, before the outbox has it
	r.put("b", "2")
	r.put("c", "3")
	r.put("b", "4") // replaces the first b: that event is lost with its object
	heard.objects, heard.forget = nil, false
	r.restart()
	var names []string
	for _, o := range heard.objects {
		names = append(names, o.Name)
	}
	if fmt.Sprint(names) != "[c b]" {
		t.Errorf("notified of %v, want c, b", names)
	}
	heard.objects = nil
	r.restart()
	if len(heard.objects) != 0 {
		t.Errorf("notified again of %v", heard.objects)
	}
}

func TestGenerationsGrowWhateverTheClockSays(t *testing.T) {
	r := newRig(t)
	first := r.put("n", "1")
	r.forward(-24 * 3600e9)
	r.restart()
	if second := r.put("n", "2"); second.Generation <= first.Generation {
		t.Errorf("generation %d after %d", second.Generation, first.Generation)
	}
}

func TestCrashLeftoversAreClearedAtOpen(t *testing.T) {
	r := newRig(t)
	old := r.put("n", "old")
	dir := filepath.Join(r.dir, "buckets", "bucket", "objects")
	keep := map[string][]byte{}
	for _, ext := range []string{"", ".json"} {
		body, err := os.ReadFile(r.server.objectPath(old) + ext)
		if err != nil {
			t.Fatal(err)
		}
		keep[r.server.objectPath(old)+ext] = body
	}
	live := r.put("n", "newer")
	for path, body := range keep { // the process died before it removed what was replaced
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "abc-1"), filepath.Join(r.dir, "tmp", "upload-1"), filepath.Join(r.dir, "sessions", "x.part")} {
		if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "buckets", "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.wantContent("n", "newer")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v; want those of generation %d", files, err, live.Generation)
	}
	for _, path := range []string{"tmp/upload-1", "sessions/x.part", "buckets/half"} {
		if _, err := os.Stat(filepath.Join(r.dir, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	// A blob that lost its end is not served as if nothing had happened.
	if err := os.Truncate(r.server.objectPath(live), 2); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.wantMissing("n")
	for _, ext := range []string{"", ".json"} {
		if _, err := os.Stat(r.server.objectPath(live) + ext); err != nil {
			t.Errorf("a damaged object was removed: %v", err)
		}
	}
	// Neither does a sidecar that cannot be read keep the rest from being served.
	if err := os.WriteFile(r.server.objectPath(r.put("torn", "x"))+".json", []byte(`{"name":`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.session("torn too", "")
	if err := os.WriteFile(r.server.sessionPath(r.server.anySession(t), ".json"), []byte(`{"ID":`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.put("fine", "fine")
	r.restart()
	r.wantMissing("torn")
	r.wantContent("fine", "fine")
}

// TestObjectsOutliveTheDescriptionOfTheirBucket: a bucket whose description is lost or damaged is refused with the way back.
func TestObjectsOutliveTheDescriptionOfTheirBucket(t *testing.T) {
	for _, damaged := range []string{"", "{", `{"name":"another"}`, "missing"} {
		r := newRig(t)
		r.put("n", "kept")
		path := filepath.Join(r.dir, "buckets", "bucket", "bucket.json")
		err := os.WriteFile(path, []byte(damaged), 0o600)
		if damaged == "missing" {
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.http.Close()
		_, err = Open(r.dir, r.o)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `write {"name": "bucket"}`) {
			t.Errorf("description %q: %v", damaged, err)
		}
		if err := os.WriteFile(path, []byte(`{"name": "bucket"}`), 0o600); err != nil { // as it says
			t.Fatal(err)
		}
		r.start()
		r.wantContent("n", "kept")
		if err := r.server.Bucket(t.Context(), "bucket", nil); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsNoBucketIsLeftAlone(t *testing.T) {
	r := newRig(t)
	r.put("n", "kept")
	stray := filepath.Join(r.dir, "buckets", ".DS_Store")
	folder := filepath.Join(r.dir, "buckets", ".Trashes")
	inside := filepath.Join(folder, "file")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{stray, inside} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.restart()
	r.wantContent("n", "kept")
	for _, path := range []string{stray, inside} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("a file that is not the storage's is gone: %v", err)
		}
	}
}

func TestAFullDiskIsNamed(t *testing.T) {
	r := newRig(t)
	rec := httptest.NewRecorder()
	r.server.failXML(rec, httptest.NewRequest("PUT", "/bucket/n", nil), &fs.PathError{Op: "write", Path: filepath.Join(r.dir, "file"), Err: syscall.ENOSPC})
	if rec.Code != http.StatusInsufficientStorage || !strings.Contains(rec.Body.String(), r.dir) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Other machines reach links only: what needs no signature stays with this machine.
func TestLinksServeNoAPI(t *testing.T) {
	r := newRig(t)
	r.put("n", "secret")
	s := httptest.NewServer(http.HandlerFunc(r.server.Links))
	defer s.Close()
	for _, path := range []string{objectPath("n"), objectPath("n") + "?alt=media", "/storage/v1/b", "/storage/v1/b/bucket/o", "/bucket/n",
		"/download/storage/v1/b/bucket/o/n?alt=media", "/upload/storage/v1/b/bucket/o?uploadType=media&name=evil"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "localhost"
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode < 400 || strings.Contains(string(body), "secret") {
				t.Errorf("%s %s: %d %s, %v", method, path, resp.StatusCode, body, err)
			}
		}
	}
	r.wantMissing("evil")
	r.wantContent("n", "secret")
}

// TestFailedCommitCanBeRepeated: the disk fails in the moment in which an upload becomes an object.
func TestFailedCommitCanBeRepeated(t *testing.T) {
	r := newRig(t)
	u := r.session("n", "")
	if err := os.Remove(filepath.Join(r.dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	if a := r.chunk(u, "bytes 0-4/5", "hello"); a.StatusCode < 500 {
		t.Fatalf("answer %d without a place for temporary files", a.StatusCode)
	}
	r.wantMissing("n")
	r.restart() // makes the folder
	r.want(200, r.chunk(u, "bytes 0-4/5", "hello"))
	r.wantContent("n", "hello")
}

// TestFilesOutliveTheirDescriptions: what a crash left goes, and a folder full of results without sidecars stays.
func TestFilesOutliveTheirDescriptions(t *testing.T) {
	for n, stay := range map[int]bool{2: false, maxUnclaimed + 1: true} {
		r := newRig(t)
		r.put("whole", "whole")
		var blobs []string
		for i := range n {
			blob := r.server.objectPath(r.put(fmt.Sprint("n", i), "kept"))
			if err := os.Remove(blob + ".json"); err != nil {
				t.Fatal(err)
			}
			blobs = append(blobs, blob)
		}
		r.restart()
		r.wantMissing("n0")
		r.wantContent("whole", "whole")
		for _, blob := range blobs {
			if _, err := os.Stat(blob); (err == nil) != stay {
				t.Errorf("of %d: %v, stays: %t", n, err, stay)
			}
		}
	}
}

// TestCrashBetweenLinkAndSidecar: the content has its final name, but the object does not exist yet.
func TestCrashBetweenLinkAndSidecar(t *testing.T) {
	r := newRig(t)
	body := randomText(chunkUnit, 1)
	u := r.session("n", "")
	r.chunk(u, fmt.Sprintf("bytes 0-%d/*", chunkUnit-1), body)
	blob := r.server.objectPath(Object{Bucket: "bucket", Name: "n", Generation: 12345})
	if err := os.Link(r.server.sessionPath(r.server.anySession(t), ".part"), blob); err != nil {
		t.Fatal(err)
	}
	r.restart()
	if _, err := os.Stat(blob); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("content without an object is still there: %v", err)
	}
	r.want(200, r.chunk(u, fmt.Sprintf("bytes */%d", chunkUnit), ""))
	r.wantContent("n", body)
	if parts, err := filepath.Glob(filepath.Join(r.dir, "sessions", "*.part")); err != nil || len(parts) != 0 {
		t.Errorf("left behind: %v, %v", parts, err)
	}
}

// TestMain serves a folder when asked to: the process that the tests below kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_SERVE_STORAGE"); dir != "" {
		serveForever(dir)
	}
	os.Exit(m.Run())
}

func serveForever(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + l.Addr().String())
	go func() { // the parent's end is ours
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(l, s))
}

func serveProcess(t *testing.T, dir string) *childtest.Process {
	t.Helper()
	return childtest.Start(t, "TEST_SERVE_STORAGE="+dir)
}

// against points the rig's requests at a process instead of its own server.
func (r *rig) against(p *childtest.Process) { r.http.URL = p.Said }

func TestKillInMidUpload(t *testing.T) {
	r := newRig(t)
	r.http.Close()
	p := serveProcess(t, r.dir)
	r.against(p)
	body := randomText(3*checkpointBytes/2, 1)
	u := r.session("big", "", "X-Goog-Hash", "crc32c="+crcOf(body)+",md5="+md5Of(body))
	r.put("done", "before the crash")
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/%d", 4*unit-1, len(body)), body[:4*unit]), fmt.Sprintf("bytes=0-%d", 4*unit-1))
	stalled := newPausedBody(body[4*unit : len(body)-unit])
	ended := make(chan error, 1)
	go func() {
		_, err := r.try("PUT", u, stalled, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", 4*unit, len(body)-1, len(body)))
		ended <- err
	}()
	<-stalled.sent // everything is with the kernel, most of it with the server
	p.Kill()
	close(stalled.release)
	if err := <-ended; err == nil {
		t.Fatal("the request to a killed server succeeded")
	}
	p = serveProcess(t, r.dir)
	r.against(p)
	stored := r.stored(r.chunk(u, "bytes */*", ""))
	if stored < 4*unit {
		t.Errorf("%d bytes survived, fewer than the %d that were acknowledged", stored, 4*unit)
	}
	t.Logf("%d of %d bytes survived", stored, len(body))
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", stored, len(body)-1, len(body)), body[stored:]))
	p.Kill()
	p = serveProcess(t, r.dir)
	r.against(p)
	r.wantContent("big", body)
	r.wantContent("done", "before the crash")
	if again := r.chunk(u, "bytes */*", "").object(t); again.Name != "big" {
		t.Errorf("the last answer is %+v", again)
	}
}

// TestMemoryStaysFlat uploads 200 MB in each way and looks at the server's largest resident set.
func TestMemoryStaysFlat(t *testing.T) {
	const size, limitKB = 200 << 20, 64 << 10
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("VmHWM is read from /proc, which this system has not")
	}
	if testing.Short() {
		t.Skip("writes 400 MB")
	}
	r := newRig(t)
	r.http.Close()
	p := serveProcess(t, r.dir)
	r.against(p)
	block := randomText(16<<20, 1)
	u := r.session("chunks", "")
	for at := 0; at < size; at += len(block) {
		end := min(at+len(block), size)
		r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", at, end-1, size), block[:end-at])
	}
	repeated := io.LimitReader(&repeat{text: block}, size)
	a, err := r.try("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=media", repeated)
	if err != nil {
		t.Fatal(err)
	}
	one, two := a.object(t), r.do("GET", objectPath("chunks"), "").object(t)
	if one.MD5Hash != two.MD5Hash || one.Size != size {
		t.Errorf("the two ways differ: %+v, %+v", one, two)
	}
	r.want(200, r.do("PATCH", objectPath("media"), `{"metadata":{"a":"b"}}`))
	r.want(200, r.do("POST", "/storage/v1/b/bucket/o/media/rewriteTo/b/bucket/o/copy", "{}"))
	r.want(204, r.do("DELETE", objectPath("media"), ""))
	peak := peakKB(t, p.Pid)
	t.Logf("peak resident set %d KB", peak)
	if !(peak <= limitKB) {
		t.Errorf("the server took %d KB for uploads of %d bytes, more than %d", peak, size, limitKB)
	}
}

type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func peakKB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"", "bytes 0-4/5", "bytes 0-262143/*", "bytes */*", "bytes */7", "bytes 5-4/3", "bytes -1-2/3", "bytes 0-9223372036854775807/*"} {
		f.Add(seed, int64(5))
	}
	f.Fuzz(func(t *testing.T, header string, length int64) {
		if length < 0 {
			length = -1
		}
		c, err := parseContentRange(header, length)
		if err != nil {
			return
		}
		if c.total < -1 || c.total > maxObjectBytes && header != "" || c.first < 0 || c.last < -1 {
			t.Errorf("%q: %+v is out of bounds", header, c)
		}
		if c.last >= 0 && (c.last < c.first || c.total >= 0 && c.last >= c.total || length >= 0 && c.last-c.first+1 != length) {
			t.Errorf("%q with %d bytes: %+v contradicts itself", header, length, c)
		}
		if c.query && c.last != -1 {
			t.Errorf("%q: a query with bytes: %+v", header, c)
		}
	})
}

func FuzzObjectNames(f *testing.F) {
	for _, seed := range []string{"n", "../../x", "a//b", "%2F", "a?b#c", "é\x00", ".", "dir/", "\xff", strings.Repeat("x", 1024)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r := newRig(t)
		valid := checkName(name) == nil
		resource, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		u := r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable", string(resource))
		var decoded struct{ Name string }
		if err := json.Unmarshal(resource, &decoded); err != nil {
			t.Fatal(err)
		}
		if decoded.Name != name { // JSON has no invalid UTF-8
			return
		}
		if !valid {
			r.want(400, u)
			return
		}
		r.want(200, r.do("PUT", u.Header.Get("Location"), name))
		r.wantContent(name, name)
		r.restart()
		r.wantContent(name, name)
		files, err := filepath.Glob(filepath.Join(filepath.Dir(r.dir), "*"))
		if err != nil || len(files) != 1 {
			t.Errorf("%q left the folder: %v, %v", name, files, err)
		}
		r.want(204, r.do("DELETE", objectPath(name), ""))
	})
}
