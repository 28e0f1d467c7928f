package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// elsewhere is an Input that counts what is read of it, and of which nothing can be read from an offset on.
type elsewhere struct {
	*bytes.Reader
	read   atomic.Int64
	broken atomic.Int64 // offset; 0 is nowhere
	closed atomic.Bool
	sum    uint32
}

var errBroken = errors.New("the storage did not answer")

func inputOf(body []byte) *elsewhere {
	return &elsewhere{Reader: bytes.NewReader(body), sum: crc32.Checksum(body, castagnoli)}
}

func (e *elsewhere) ReadAt(p []byte, offset int64) (int, error) {
	if from := e.broken.Load(); from > 0 && offset+int64(len(p)) > from {
		return 0, errBroken
	}
	n, err := e.Reader.ReadAt(p, offset)
	e.read.Add(int64(n))
	return n, err
}

func (e *elsewhere) Close() error {
	e.closed.Store(true)
	return nil
}

// forget drops the blocks that are kept.
func (r *remote) forget() {
	r.reading.Lock()
	defer r.reading.Unlock()
	r.kept = nil
}

func contentOf(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// inSeveralBlocks makes a video of several blocks with its index at its "beginning" or "end".
func inSeveralBlocks(t *testing.T, index string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mov")
	args := []string{"-v", "error", "-i", clip(t), "-vf", "scale=854:480,noise=alls=40:allf=t", "-c:v", "mjpeg", "-q:v", "2"}
	if index == "beginning" {
		args = append(args, "-movflags", "+faststart")
	}
	if out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body := contentOf(t, path)
	if len(body) < 6*blockBytes {
		t.Fatalf("%d bytes are too few", len(body))
	}
	return body
}

// A video that is read by range gives the same as the file, images included. Each pass reads it once: opening it takes its
// headers, choosing and extracting the whole.
func TestVideoIsReadByRange(t *testing.T) {
	tools := ffmpegTools(t)
	for _, index := range []string{"beginning", "end"} {
		body := inSeveralBlocks(t, index)
		path := filepath.Join(t.TempDir(), "film")
		put(t, path, body)
		type outcome struct {
			selection choose.Selection
			report    Report
			images    []Image
			pixels    []byte
		}
		through := func(c *Capture, after func(pass string)) (o outcome) {
			t.Helper()
			var err error
			after("opening")
			if o.selection, o.report, err = c.Choose(t.Context(), choose.Options{}, nil); err != nil {
				t.Fatal(err)
			}
			after("choosing")
			if err := c.Try(t.Context(), o.selection, filepath.Join(t.TempDir(), "try"), 640); err != nil {
				t.Fatal(err)
			}
			after("trying")
			images := filepath.Join(t.TempDir(), "images")
			if o.images, err = c.Extract(t.Context(), o.selection, images, 640, nil); err != nil {
				t.Fatal(err)
			}
			after("extracting")
			for _, m := range o.images {
				o.pixels = append(o.pixels, contentOf(t, filepath.Join(images, m.Name))...)
			}
			return o
		}
		c, err := Open(t.Context(), tools, path, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := through(c, func(string) {})
		in := inputOf(body)
		c, err = OpenFrom(t.Context(), tools, in, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		most := map[string]float64{"opening": 0.6, "choosing": 1.3, "trying": 0.6, "extracting": 1.3}
		got := through(c, func(pass string) {
			share := float64(in.read.Swap(0)) / float64(len(body))
			c.served.from.forget()
			t.Logf("index at the %s, %d bytes: %s read %.2f of them", index, len(body), pass, share)
			if !(share <= most[pass]) {
				t.Errorf("%s read the video %.2f times", pass, share)
			}
		})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("index at the %s: it gives something else than the file", index)
		}
		if v := c.videos[0]; v.FileBytes != int64(len(body)) {
			t.Errorf("%d bytes, want %d", v.FileBytes, len(body))
		}
		if err := c.Close(); err != nil || !in.closed.Load() {
			t.Errorf("closed: %t, %v", in.closed.Load(), err)
		}
		if _, err := http.Get(c.videos[0].served.url); err == nil {
			t.Error("it is served after the capture was closed")
		}
	}
}

// A storage that fails in the middle is not a damaged video, whatever ffmpeg makes of the gap.
func TestInputThatBreaksOff(t *testing.T) {
	tools := ffmpegTools(t)
	body := inSeveralBlocks(t, "beginning")
	broken := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, errBroken) || fault.Of(err) != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at, in := range map[string]*elsewhere{"beginning": inputOf(body), "end": inputOf(inSeveralBlocks(t, "end"))} {
		if in.broken.Store(1); at == "end" {
			in.broken.Store(in.Size() - 1)
		}
		_, err := OpenFrom(t.Context(), tools, in, "", Limits{})
		broken("opening, index at the "+at, err)
		if !in.closed.Load() {
			t.Errorf("index at the %s: the input is open", at)
		}
	}
	opened := func() (*elsewhere, *Capture) {
		in := inputOf(body)
		c, err := OpenFrom(t.Context(), tools, in, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return in, c
	}
	in, c := opened()
	c.served.from.forget()
	in.broken.Store(int64(len(body) * 3 / 4))
	_, _, err := c.Choose(t.Context(), choose.Options{}, nil)
	broken("choosing", err)
	_, _, err = c.Choose(t.Context(), choose.Options{}, nil)
	broken("choosing again", err)

	in, c = opened()
	selection, _, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.served.from.forget()
	in.broken.Store(int64(len(body) * 3 / 4))
	dir := filepath.Join(t.TempDir(), "images")
	_, err = c.Extract(t.Context(), selection, dir, 0, nil)
	broken("extracting", err)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// stuck is an Input whose blocks after the first never come.
type stuck struct {
	*elsewhere
	ctx     context.Context
	waiting chan struct{} // closed by the first ReadAt that waits
	once    sync.Once
}

func (s *stuck) ReadAt(p []byte, offset int64) (int, error) {
	if offset < blockBytes {
		return s.elsewhere.ReadAt(p, offset)
	}
	s.once.Do(func() { close(s.waiting) })
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// Canceling ends the wait for a storage that does not answer, and is no fault of the video.
func TestCancelWhileTheStorageIsWaitedFor(t *testing.T) {
	tools := ffmpegTools(t)
	ctx, cancel := context.WithCancel(t.Context())
	in := &stuck{elsewhere: inputOf(inSeveralBlocks(t, "end")), ctx: ctx, waiting: make(chan struct{})}
	go func() {
		<-in.waiting
		cancel()
	}()
	if _, err := OpenFrom(ctx, tools, in, "", Limits{}); !errors.Is(err, context.Canceled) || fault.Of(err) != nil {
		t.Errorf("%v", err)
	}
	if !in.closed.Load() {
		t.Error("the input is open")
	}
}

// Headers that take too long are the video's fault only where the storage was not slow.
func TestSlowStorageIsNotTheVideosFault(t *testing.T) {
	late := &tool.Error{Program: "ffprobe", Cause: context.DeadlineExceeded}
	for _, slow := range []bool{false, true} {
		from := place{served: &served{from: &remote{}}}
		from.served.from.slow.Store(slow)
		err := unreadable(t.Context(), from, late, "")
		if (fault.Of(err) != nil) == slow || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("slow storage %t: %v", slow, err)
		}
	}
}

// Every container is read by range as it is from a file, and a damaged one gets the same code.
func TestContainersAreReadByRange(t *testing.T) {
	tools := ffmpegTools(t)
	if _, err := OpenFrom(t.Context(), tools, inputOf(jpegOf(t, textured(320, 240, 1), nil)), "", Limits{}); !errors.Is(err, ErrNeedsFile) {
		t.Errorf("a photo: %v", err)
	}
	path := filepath.Join(t.TempDir(), "film")
	compare := func(name string) {
		t.Helper()
		choose := func(c *Capture, err error) (s choose.Selection, r Report, code string) {
			if err == nil {
				s, r, err = c.Choose(t.Context(), choose.Options{}, nil)
			}
			if code = fault.CodeOf(err); err != nil && code == "" {
				t.Fatalf("%s: %v", name, err)
			}
			return s, r, code
		}
		file, err := Open(t.Context(), tools, path, "", Limits{})
		wantS, wantR, wantCode := choose(file, err)
		c, err := OpenFrom(t.Context(), tools, inputOf(contentOf(t, path)), "", Limits{})
		gotS, gotR, gotCode := choose(c, err)
		if gotCode != wantCode || !reflect.DeepEqual(gotS, wantS) || !reflect.DeepEqual(gotR, wantR) {
			t.Errorf("%s: by range %q, %d frames of %d; from a file %q, %d of %d", name, gotCode, len(gotS.Frames), gotR.Frames, wantCode, len(wantS.Frames), wantR.Frames)
		}
		if c != nil {
			got, want := c.videos[0], file.videos[0]
			if got.Path, got.served = want.Path, nil; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for name, body := range map[string][]byte{
		"nothing": nil, "a part": contentOf(t, clip(t))[:20_000], "text": []byte("no video"), "a GIF": []byte("GIF89a and so on"),
	} {
		put(t, path, body)
		compare(name)
	}
	for _, args := range [][]string{
		{"mp4", "-c:v", "copy", "-movflags", "frag_keyframe+empty_moov"}, {"matroska", "-c:v", "copy"}, {"mpegts", "-c:v", "copy"}, {"avi", "-c:v", "mjpeg"},
		{"flv", "-c:v", "copy"}, {"ogg", "-c:v", "libtheora"},
	} {
		made := append([]string{"-v", "error", "-y", "-i", clip(t), "-f"}, append(args, path)...)
		if out, err := exec.Command("ffmpeg", made...).CombinedOutput(); err != nil {
			t.Logf("%s: this ffmpeg cannot write it: %s", args[0], out)
			continue
		}
		compare(args[0])
	}
}

// A program that reads from a server could read from any: no file can make it, and no proxy of the environment is asked.
func TestNothingElseIsFetched(t *testing.T) {
	tools := ffmpegTools(t)
	var calls atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	whole := contentOf(t, clip(t))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = w.Write(whole)
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	url := fmt.Sprintf("http://%s/secret.mp4", listener.Addr())
	t.Setenv("http_proxy", "http://"+listener.Addr().String())
	t.Setenv("no_proxy", "")
	sdp := fmt.Sprintf("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video %d RTP/AVP 96\na=rtpmap:96 H264/90000\n", listener.Addr().(*net.TCPAddr).Port)
	for name, body := range map[string]string{
		"playlist":        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n" + url + "\n#EXT-X-ENDLIST\n",
		"list of streams": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + url + "\n",
		"concat":          "ffconcat version 1.0\nfile '" + url + "'\n",
		"dash":            `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>` + url + `</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		"sdp":             sdp,
		"asx":             `<asx version="3.0"><entry><ref href="` + url + `"/></entry></asx>`,
		"rtsp text":       "[Reference]\nRef1=" + url + "\n",
		"reference":       string(referenceMovie(url)),
		"data elsewhere":  string(withDataAt(t, whole, url)),
	} {
		c, err := OpenFrom(t.Context(), tools, inputOf([]byte(body)), "", Limits{})
		if err == nil {
			_, _, err = c.Choose(t.Context(), choose.Options{}, nil)
			c.Close()
		}
		if fault.Of(err) == nil && name != "data elsewhere" {
			t.Errorf("%s: %v", name, err)
		}
		if n := calls.Swap(0); n > 0 {
			t.Errorf("%s: another address was called %d times", name, n)
		}
	}
	c, err := OpenFrom(t.Context(), tools, inputOf(whole), "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if calls.Load() > 0 {
		t.Error("the environment's proxy was asked")
	}
	// The server notices, and another path than the secret one has nothing.
	if out, err := exec.Command(tools.FFprobe, "-v", "error", url).CombinedOutput(); err != nil || calls.Load() == 0 {
		t.Errorf("%d calls, %v: %s", calls.Load(), err, out)
	}
	answer, err := (&http.Client{Transport: &http.Transport{}}).Get(strings.TrimSuffix(c.served.url, c.served.secret) + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("%s without the secret", answer.Status)
	}
}

// withDataAt is a QuickTime movie whose pictures are said to be in another file: the data reference (ISO/IEC 14496-12, 8.7.2) of each
// track names it.
func withDataAt(t *testing.T, movie []byte, url string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.mov")
	put(t, path+".mp4", movie)
	if out, err := exec.Command("ffmpeg", "-v", "error", "-i", path+".mp4", "-c", "copy", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body := contentOf(t, path)
	i := bytes.Index(body, []byte("\x00\x00\x00\x0curl \x00\x00\x00\x01"))
	if i < 0 {
		i = bytes.Index(body, []byte("\x00\x00\x00\x0calis\x00\x00\x00\x01"))
	}
	if i < 0 {
		t.Fatal("no data reference to change")
	}
	// The movie is written anew with a longer reference: the boxes around it grow by as much, and the index stands at the end.
	entry := append([]byte("url \x00\x00\x00\x00"), append([]byte(url), 0)...)
	entry = append([]byte{0, 0, 0, byte(4 + len(entry))}, entry...)
	grown := bytes.Join([][]byte{body[:i], entry, body[i+12:]}, nil)
	for _, kind := range []string{"moov", "trak", "mdia", "minf", "dinf", "dref"} {
		at := bytes.LastIndex(grown[:i], []byte(kind)) - 4
		if at < 0 {
			t.Fatalf("no %s", kind)
		}
		size := be32(grown[at:]) + uint32(len(entry)-12)
		copy(grown[at:], []byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)})
	}
	return grown
}

// What is read is right at every place and size, the last used blocks are read once, and more of them than are kept again.
func TestRemoteReadsInBlocks(t *testing.T) {
	body := make([]byte, (mostBlocks+3)*blockBytes+100)
	for i := range body {
		body[i] = byte(i * 2654435761 >> 13)
	}
	in := inputOf(body)
	r := &remote{in: in, size: int64(len(body))}
	for _, c := range []struct{ at, n int }{{0, 10}, {blockBytes - 5, 10}, {5, 3 * blockBytes}, {len(body) - 7, 7}, {blockBytes, blockBytes}} {
		p := make([]byte, c.n)
		if n, err := r.ReadAt(p, int64(c.at)); n != c.n || err != nil || !bytes.Equal(p, body[c.at:c.at+c.n]) {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.at, n, err)
		}
	}
	if n := in.read.Load(); n != 4*blockBytes+100 {
		t.Errorf("%d bytes were read", n)
	}
	if n, err := r.ReadAt(make([]byte, 10), int64(len(body)-4)); n != 4 || err != io.EOF {
		t.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 10), int64(len(body))); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if _, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.size)); err != nil || len(r.kept) != mostBlocks {
		t.Errorf("%d blocks are kept, %v", len(r.kept), err)
	}
	short := &remote{in: inputOf(body[:100]), size: 200}
	if _, err := short.ReadAt(make([]byte, 150), 0); !errors.Is(err, io.ErrUnexpectedEOF) || short.failed() == nil {
		t.Errorf("an input that is shorter than it says: %v", err)
	}
}
