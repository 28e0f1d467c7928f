package gcs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
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
