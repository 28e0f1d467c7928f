package gcs

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/infra/local/child/childtest"
)

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
