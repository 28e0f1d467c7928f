package gcs

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const unit = chunkUnit

func TestResumableUploadInChunks(t *testing.T) {
	r := newRig(t)
	body := randomText(2*unit+100, 1)
	u := r.session("n", `{"metadata":{"k":"v"}}`, "X-Upload-Content-Type", "video/mp4", "Content-Type", "application/json")
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), body[:unit]), fmt.Sprintf("bytes=0-%d", unit-1))
	r.wantMissing("n")
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", unit, 2*unit-1, len(body)), body[unit:2*unit]), fmt.Sprintf("bytes=0-%d", 2*unit-1))
	o := r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", 2*unit, len(body)-1, len(body)), body[2*unit:]).object(t)
	if o.Size != int64(len(body)) || o.CRC32C != crcOf(body) || o.MD5Hash != md5Of(body) || o.ContentType != "video/mp4" ||
		o.Metadata["k"] != "v" || o.Metageneration != 1 || o.Generation <= 0 || o.ID != fmt.Sprintf("bucket/n/%d", o.Generation) {
		t.Errorf("object %+v", o)
	}
	r.wantContent("n", body)
}

func TestStatusQueryCommitsNothing(t *testing.T) {
	r := newRig(t)
	body := randomText(2*unit, 2)
	u := r.session("n", "")
	r.wantStored(r.chunk(u, "bytes */*", ""), "")
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes */%d", len(body)), ""), "")
	r.chunk(u, fmt.Sprintf("bytes 0-%d/%d", unit-1, len(body)), body[:unit])
	for range 3 {
		r.wantStored(r.chunk(u, fmt.Sprintf("bytes */%d", len(body)), ""), fmt.Sprintf("bytes=0-%d", unit-1))
	}
	r.wantMissing("n")
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", unit, len(body)-1, len(body)), body[unit:]))
	r.wantContent("n", body)
}

func TestQueryWithTheFullSizeEndsTheUpload(t *testing.T) {
	r := newRig(t)
	body := randomText(unit, 3)
	u := r.session("n", "")
	r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), body)
	r.wantMissing("n")
	r.want(200, r.chunk(u, fmt.Sprintf("bytes */%d", unit), "")) // as the Go client ends one whose size is a multiple of its chunks
	r.wantContent("n", body)
	empty := r.session("empty", "")
	r.want(200, r.chunk(empty, "bytes */0", ""))
	r.wantContent("empty", "")
}

func TestChunkSentAgain(t *testing.T) {
	r := newRig(t)
	body := randomText(3*unit, 4)
	u := r.session("n", "", "X-Goog-Hash", "crc32c="+crcOf(body)+",md5="+md5Of(body))
	first := fmt.Sprintf("bytes 0-%d/%d", unit-1, len(body))
	for range 3 {
		r.wantStored(r.chunk(u, first, body[:unit]), fmt.Sprintf("bytes=0-%d", unit-1))
	}
	// Overlapping: half of it is stored already.
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/%d", 2*unit-1, len(body)), body[:2*unit]), fmt.Sprintf("bytes=0-%d", 2*unit-1))
	// Wholly in what is stored, after it.
	r.wantStored(r.chunk(u, first, body[:unit]), fmt.Sprintf("bytes=0-%d", 2*unit-1))
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", 2*unit, len(body)-1, len(body)), body[2*unit:]))
	r.wantContent("n", body)
}

func TestLastAnswerIsGivenAgain(t *testing.T) {
	r := newRig(t)
	u := r.session("n", "")
	first := r.chunk(u, "bytes 0-4/5", "hello").object(t)
	for _, contentRange := range []string{"bytes 0-4/5", "bytes */5"} {
		body := ""
		if strings.Contains(contentRange, "-") {
			body = "hello"
		}
		if again := r.chunk(u, contentRange, body).object(t); again.Generation != first.Generation {
			t.Errorf("%s after the end made generation %d of %d", contentRange, again.Generation, first.Generation)
		}
	}
	r.restart()
	if again := r.chunk(u, "bytes 0-4/5", "hello").object(t); again.Generation != first.Generation {
		t.Errorf("after a restart the last chunk made generation %d of %d", again.Generation, first.Generation)
	}
	// The process died between the commit and the note of it: the sidecar decides.
	state := filepath.Join(r.dir, "sessions")
	r.http.Close()
	id := r.server.anySession(t)
	u2 := r.server.sessions[id]
	u2.Done = nil
	if err := r.server.saveSession(u2, newSums()); err != nil {
		t.Fatal(err, state)
	}
	r.start()
	if again := r.chunk(u, "bytes 0-4/5", "hello").object(t); again.Generation != first.Generation {
		t.Errorf("after a crash the last chunk made generation %d of %d", again.Generation, first.Generation)
	}
}

func (s *Server) anySession(t *testing.T) string {
	t.Helper()
	for id := range s.sessions {
		return id
	}
	t.Fatal("no session")
	return ""
}

func TestBadChunksAreRefusedAndLoseNothing(t *testing.T) {
	r := newRig(t)
	body := randomText(2*unit, 5)
	u := r.session("n", "")
	r.chunk(u, fmt.Sprintf("bytes 0-%d/%d", unit-1, len(body)), body[:unit])
	for _, c := range []struct{ contentRange, body string }{
		{fmt.Sprintf("bytes %d-%d/%d", unit+1, 2*unit-1, len(body)), body[unit+1:]},     // a gap
		{fmt.Sprintf("bytes %d-%d/%d", unit, 2*unit-1, len(body)+unit), body[unit:]},    // another total
		{fmt.Sprintf("bytes %d-%d/%d", unit, 2*unit-1, len(body)), body[unit : unit+5]}, // a body that does not fit
		{fmt.Sprintf("bytes %d-%d/*", unit, unit+4), body[unit : unit+5]},               // no multiple of the unit
		{"bytes 5-4/10", ""}, {"bytes 0-10/10", randomText(11, 0)}, {"bytes -1-4/10", "12345"}, {"bytes 0-4", "12345"},
		{"items 0-4/5", "12345"}, {"bytes +0-+4/5", "12345"}, {"bytes 0-4/5/6", "12345"}, {"bytes */-1", ""},
		{"bytes 0-99999999999999999999/99999999999999999999", "1"},
	} {
		r.want(400, r.chunk(u, c.contentRange, c.body))
	}
	r.wantStored(r.chunk(u, "bytes */*", ""), fmt.Sprintf("bytes=0-%d", unit-1))
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", unit, len(body)-1, len(body)), body[unit:]))
	r.wantContent("n", body)
}

func TestWrongChecksumMakesNoObject(t *testing.T) {
	r := newRig(t)
	body := randomText(unit+7, 6)
	last := fmt.Sprintf("bytes %d-%d/%d", unit, len(body)-1, len(body))
	for name, start := range map[string][]string{
		"crc-at-start":     {`{}`, "X-Goog-Hash", "crc32c=" + crcOf("other")},
		"md5-at-start":     {`{}`, "X-Goog-Hash", "md5=" + md5Of("other")},
		"crc-in-resource":  {`{"crc32c":"` + crcOf("other") + `"}`},
		"md5-in-resource":  {`{"md5Hash":"` + md5Of("other") + `"}`},
		"crc-at-the-end":   {`{}`},
		"md5-as-a-header":  {`{}`},
		"right-everywhere": {`{"crc32c":"` + crcOf(body) + `","md5Hash":"` + md5Of(body) + `"}`},
	} {
		u := r.session(name, start[0], start[1:]...)
		r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), body[:unit])
		var end []string
		switch name {
		case "crc-at-the-end":
			end = []string{"X-Goog-Hash", "crc32c=" + crcOf("other")}
		case "md5-as-a-header":
			end = []string{"Content-MD5", md5Of("other")}
		}
		a := r.chunk(u, last, body[unit:], end...)
		if name == "right-everywhere" {
			r.want(200, a)
			continue
		}
		r.want(400, a)
		r.wantMissing(name)
		r.want(404, r.chunk(u, last, body[unit:])) // the session is over
	}
	if files, err := filepath.Glob(filepath.Join(r.dir, "sessions", "*.part")); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestSessionSurvivesRestart(t *testing.T) {
	r := newRig(t)
	body := randomText(3*unit, 7)
	u := r.session("n", "", "X-Goog-Hash", "crc32c="+crcOf(body)+",md5="+md5Of(body))
	r.restart()
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), body[:unit]), fmt.Sprintf("bytes=0-%d", unit-1))
	r.restart()
	r.wantStored(r.chunk(u, "bytes */*", ""), fmt.Sprintf("bytes=0-%d", unit-1))
	// Bytes that reached the file but not the state are cut off.
	part := r.server.sessionPath(r.server.anySession(t), ".part")
	f, err := os.OpenFile(part, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("torn"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.wantStored(r.chunk(u, fmt.Sprintf("bytes %d-%d/*", unit, 2*unit-1), body[unit:2*unit]), fmt.Sprintf("bytes=0-%d", 2*unit-1))
	r.restart()
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", 2*unit, len(body)-1, len(body)), body[2*unit:]))
	r.wantContent("n", body)
	r.restart()
	r.wantContent("n", body)
}

// stored is how many bytes a 308 says are stored.
func (r *rig) stored(a answer) int {
	r.t.Helper()
	r.want(308, a)
	text := a.Header.Get("Range")
	if text == "" {
		return 0
	}
	last, err := strconv.Atoi(strings.TrimPrefix(text, "bytes=0-"))
	if err != nil {
		r.t.Fatal(err)
	}
	return last + 1
}

func TestBrokenRequestKeepsWhatArrived(t *testing.T) {
	r := newRig(t)
	body := randomText(32<<20, 8)
	u := r.session("n", "", "X-Goog-Hash", "md5="+md5Of(body))
	stalled := newPausedBody(body[:len(body)-unit])
	old := make(chan answer, 1)
	go func() {
		a, err := r.try("PUT", u, stalled, "Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(body)-1, len(body)))
		if err != nil { // the connection ended: as good an answer
			a.Response = &http.Response{StatusCode: http.StatusServiceUnavailable}
		}
		old <- a
	}()
	<-stalled.sent // more than any socket buffers: the server is reading it
	// The client gives up on the request that hangs and asks: the new request ends the old one.
	stored := r.stored(r.chunk(u, "bytes */*", ""))
	if stored == 0 || stored > len(body)-unit {
		t.Errorf("%d bytes stored of %d sent", stored, len(body)-unit)
	}
	if a := <-old; a.StatusCode < 500 { // a client that takes 308 for "all of it arrived" must not get it
		t.Errorf("the request that was ended got %d", a.StatusCode)
	}
	close(stalled.release)
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", stored, len(body)-1, len(body)), body[stored:]))
	r.wantContent("n", body)
}

func TestWholeBodyInOneRequest(t *testing.T) {
	r := newRig(t)
	body := randomText(unit+3, 9)
	r.want(200, r.do("PUT", r.session("a", ""), body))
	r.wantContent("a", body)
	// Of unknown length: its end is the upload's.
	a, err := r.try("PUT", r.session("b", ""), struct{ *strings.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	r.want(200, a)
	r.wantContent("b", body)
}

// Google's client for Node.js sends an upload without a chunk size as "bytes A-*/*", and says its length when it knows it.
func TestBodyThatGoesToTheEnd(t *testing.T) {
	r := newRig(t)
	body := randomText(unit+3, 10)
	size := len(body)
	unknown := func(text string) struct{ *strings.Reader } { return struct{ *strings.Reader }{strings.NewReader(text)} }
	for i, c := range []struct {
		first        int
		contentRange string
		chunked      bool
	}{
		{0, "bytes 0-*/*", false}, {0, "bytes 0-*/*", true}, {0, fmt.Sprintf("bytes 0-*/%d", size), false}, {0, fmt.Sprintf("bytes 0-*/%d", size), true},
		{unit, fmt.Sprintf("bytes %d-*/*", unit), false}, {unit, fmt.Sprintf("bytes %d-*/*", unit), true},
		{unit, fmt.Sprintf("bytes %d-*/%d", unit, size), false}, {unit, fmt.Sprintf("bytes %d-*/%d", unit, size), true},
	} {
		name := fmt.Sprint("n", i)
		u := r.session(name, "")
		if c.first > 0 {
			r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/*", c.first-1), body[:c.first]), fmt.Sprintf("bytes=0-%d", c.first-1))
		}
		var rest io.Reader = strings.NewReader(body[c.first:])
		if c.chunked {
			rest = unknown(body[c.first:])
		}
		a, err := r.try("PUT", u, rest, "Content-Range", c.contentRange)
		if err != nil {
			t.Fatal(err)
		}
		r.want(200, a)
		r.wantContent(name, body)
	}
	u := r.session("short", "")
	for _, bad := range []string{"bytes *-*/*", "bytes 6-*/5", "bytes 0-*/", "bytes -*/*", "bytes 0-*", "bytes 0-*/-1", fmt.Sprintf("bytes 0-*/%d", size+1)} {
		r.want(400, r.chunk(u, bad, body))
	}
	a, err := r.try("PUT", u, unknown(body), "Content-Range", fmt.Sprintf("bytes 0-*/%d", size+5)) // five bytes are missing
	if err != nil {
		t.Fatal(err)
	}
	r.wantStored(a, fmt.Sprintf("bytes=0-%d", size-1))
	r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-*/*", size), "fives"))
	r.wantContent("short", body+"fives")
}

func TestUnfinishedUploadsOfAnObjectAreBounded(t *testing.T) {
	r := newRig(t)
	finished := r.session("n", "")
	r.chunk(finished, "bytes 0-1/2", "hi").object(t)
	other := r.session("other", "")
	var begun []string
	for range openSessions + 3 {
		r.forward(time.Second)
		u := r.session("n", "")
		r.wantStored(r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), randomText(unit, 1)), fmt.Sprintf("bytes=0-%d", unit-1))
		begun = append(begun, u)
	}
	for i, u := range begun {
		if i < 3 {
			r.want(404, r.chunk(u, "bytes */*", ""))
		} else {
			r.wantStored(r.chunk(u, "bytes */*", ""), fmt.Sprintf("bytes=0-%d", unit-1))
		}
	}
	r.want(200, r.chunk(finished, "bytes */*", "")) // its answer is remembered
	r.wantStored(r.chunk(other, "bytes */*", ""), "")
	parts, err := filepath.Glob(filepath.Join(r.dir, "sessions", "*.part"))
	if err != nil || len(parts) != openSessions+1 {
		t.Errorf("%d parts on the disk, %v; want %d and one of the other object", len(parts), err, openSessions)
	}
}

func TestNo308(t *testing.T) {
	r := newRig(t)
	a := r.chunk(r.session("n", ""), fmt.Sprintf("bytes 0-%d/*", unit-1), randomText(unit, 1), "X-GUploader-No-308", "yes")
	r.want(200, a)
	if a.Header.Get("X-HTTP-Status-Code-Override") != "308" || a.Header.Get("Range") == "" {
		t.Errorf("headers %v", a.Header)
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	u := r.session("n", "")
	r.chunk(u, fmt.Sprintf("bytes 0-%d/*", unit-1), randomText(unit, 1))
	r.want(499, r.do("DELETE", u, ""))
	r.want(404, r.chunk(u, "bytes */*", ""))
	r.wantMissing("n")
	if files, err := os.ReadDir(filepath.Join(r.dir, "sessions")); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	r.restart()
	r.want(404, r.chunk(u, "bytes */*", ""))
}

func TestSessionEndsAfterAWeek(t *testing.T) {
	r := newRig(t)
	u := r.session("n", "")
	r.forward(7*24*time.Hour - time.Minute)
	r.want(308, r.chunk(u, "bytes */*", ""))
	r.forward(2 * time.Minute)
	r.want(404, r.chunk(u, "bytes */*", ""))
	r.session("other", "") // takes the chance to clear up
	if files, err := filepath.Glob(filepath.Join(r.dir, "sessions", "*.json")); err != nil || len(files) != 1 {
		t.Errorf("sessions %v, %v; want only the new one", files, err)
	}
}

func TestResumablePreconditions(t *testing.T) {
	r := newRig(t)
	start := "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n"
	u := r.want(200, r.do("POST", start+"&ifGenerationMatch=0", "")).Header.Get("Location")
	r.put("n", "first") // somebody is faster
	r.want(412, r.chunk(u, "bytes 0-2/3", "two"))
	r.wantContent("n", "first")
	r.want(412, r.do("POST", start+"&ifGenerationMatch=0", ""))
	o := r.do("GET", objectPath("n"), "").object(t)
	u = r.want(200, r.do("POST", fmt.Sprintf("%s&ifGenerationMatch=%d", start, o.Generation), "")).Header.Get("Location")
	r.restart() // conditions are part of the session's state
	r.put("n", "third")
	r.want(412, r.chunk(u, "bytes 0-3/4", "four"))
	r.wantContent("n", "third")
}

func TestStaleSessionURIs(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"none", "../buckets/bucket/bucket", "%2e%2e%2fservice-account.pem", strings.Repeat("x", 5000)} {
		r.want(404, r.chunk("/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id="+id, "bytes */*", ""))
	}
	u := r.session("n", "")
	r.want(http.StatusMethodNotAllowed, r.do("GET", u, ""))
}
