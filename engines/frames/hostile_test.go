//go:build linux

package frames

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

// Hostile inputs are opened and measured in a process of its own, once as it is and once without a network. It reports to the
// outcomes and the memory that it and its children took at most.

const hostileFolder = "FRAMES_TEST_HOSTILE"

// usable is the outcome of an input that is strange but works.
const usable = "usable"

type hostileOutcome struct {
	Codes        map[string]string
	Errors       map[string]string
	SelfRSSBytes int64
	ToolRSSBytes int64
}

// TestHostileChild is the other process.
func TestHostileChild(t *testing.T) {
	dir := os.Getenv(hostileFolder)
	if dir == "" {
		t.Skip("only run by TestHostileMedia")
	}
	out := hostileOutcome{Codes: map[string]string{}, Errors: map[string]string{}}
	entries, err := os.ReadDir(filepath.Join(dir, "inputs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		c, err := Open(t.Context(), Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}, filepath.Join(dir, "inputs", e.Name()), t.TempDir(), Limits{})
		if err == nil {
			_, _, err = c.Choose(t.Context(), choose.Options{}, nil)
		}
		switch {
		case err == nil:
			out.Codes[e.Name()] = usable
		case fault.Of(err) != nil:
			out.Codes[e.Name()] = code(err)
			out.Errors[e.Name()] = err.Error()
		default:
			out.Codes[e.Name()], out.Errors[e.Name()] = "not the owner's fault", err.Error()
		}
	}
	// getrusage would count what the parent had before exec; of the tools, that is no more than this process has.
	var children syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		t.Fatal(err)
	}
	out.ToolRSSBytes = children.Maxrss << 10
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &out.SelfRSSBytes); err != nil {
		t.Fatal(err)
	}
	out.SelfRSSBytes <<= 10
	body, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "outcome.json"), body)
}

func TestHostileMedia(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	inputs := filepath.Join(dir, "inputs")
	secrets := filepath.Join(dir, "secrets")
	want := map[string]string{}
	input := func(name, code string, data []byte) {
		want[name] = code
		put(t, filepath.Join(inputs, name), data)
	}
	ffmpeg := func(name string, args ...string) []byte {
		t.Helper()
		path := filepath.Join(dir, name)
		if out, err := exec.Command(tools.FFmpeg, append(append([]string{"-v", "error", "-y"}, args...), path)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	patched := func(data []byte, pairs ...[]byte) []byte {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if !bytes.Contains(data, pairs[i]) {
				t.Fatalf("no % x to change", pairs[i])
			}
			data = bytes.ReplaceAll(data, pairs[i], pairs[i+1])
		}
		return data
	}

	// What the files try to reach: a video that would be used if it were, on disk and by HTTP.
	whole, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(secrets, "secret.mp4")
	put(t, secret, whole)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	calls := make(chan struct{}, 100)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			calls <- struct{}{}
			c.Close()
		}
	}()
	url := fmt.Sprintf("http://%s/secret.mp4", server.Addr())

	// Damage.
	input("empty.mp4", EmptyFile, nil)
	input("truncated.mp4", TruncatedVideo, whole[:len(whole)/5])
	input("header only.mp4", TruncatedVideo, whole[:len(whole)/50])
	// Sizes.
	put(t, filepath.Join(dir, "dots"), make([]byte, 30))
	input("1x1.mkv", PictureTooSmall, ffmpeg("1x1.mkv", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "1x1", "-r", "10", "-i", filepath.Join(dir, "dots"), "-c:v", "ffv1"))
	mkv := ffmpeg("square.mkv", "-f", "lavfi", "-i", "testsrc2=s=320x320:r=10:d=3", "-c:v", "mjpeg")
	input("20000x20000 in the container.mkv", usable, patched(mkv,
		[]byte{0xb0, 0x82, 0x01, 0x40, 0xba, 0x82, 0x01, 0x40}, []byte{0xb0, 0x82, 0x4e, 0x20, 0xba, 0x82, 0x4e, 0x20}))
	avi := ffmpeg("square.avi", "-f", "lavfi", "-i", "testsrc2=s=320x320:r=10:d=3", "-c:v", "mjpeg")
	input("20000x20000 in the stream.avi", TruncatedVideo, patched(avi, // so little data are no such picture; height and width in the frame headers, ITU-T T.81, B.2.2
		[]byte{8, 0x01, 0x40, 0x01, 0x40, 3}, []byte{8, 0x4e, 0x20, 0x4e, 0x20, 3}))
	photo := hugePNG(t, 20_000)
	input("20000x20000.png", NotAPhoto, photo)
	// Time that is a lie: the duration of the movie header, ISO/IEC 14496-12, 8.2.2, and of the track.
	mp4 := ffmpeg("time.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=10:d=3", "-c:v", "libx264")
	mp4 = bytes.Clone(mp4)
	for _, kind := range []string{"mvhd", "mdhd"} {
		i := bytes.Index(mp4, []byte(kind))
		binary.BigEndian.PutUint32(mp4[i+4+16:], 0x7fffffff)
	}
	input("endless.mp4", usable, mp4) // the tables of samples are believed, not the header
	mkv = bytes.Clone(mkv)
	if i := bytes.Index(mkv, []byte{0x44, 0x89, 0x88}); i < 0 { // Duration, RFC 9559, 5.1.2.10, in milliseconds
		t.Fatal("no duration to change")
	} else {
		binary.BigEndian.PutUint64(mkv[i+3:], math.Float64bits(3.6e9))
	}
	input("endless.mkv", usable, mkv) // packets are believed, not the header
	// Files that name others.
	input("playlist.mp4", NotAVideo, []byte("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n"+secret+"\n#EXT-X-ENDLIST\n"))
	input("playlist of a URL.m3u8", NotAVideo, []byte("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n"+url+"\n#EXT-X-ENDLIST\n"))
	input("concat.txt", NotAVideo, []byte("ffconcat version 1.0\nfile '"+secret+"'\n"))
	input("concat of a URL.ffconcat", NotAVideo, []byte("ffconcat version 1.0\nfile '"+url+"'\n"))
	input("dash.mpd", NotAVideo, []byte(`<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>`+url+`</BaseURL></Representation></AdaptationSet></Period></MPD>`))
	input("call.sdp", NotAVideo, []byte("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video "+fmt.Sprint(server.Addr().(*net.TCPAddr).Port)+" RTP/AVP 96\na=rtpmap:96 H264/90000\n"))
	input("reference.mov", NoVideoStream, referenceMovie(secret))
	put(t, filepath.Join(inputs, "folder", "list.mp4"), []byte("#EXTM3U\n#EXTINF:3,\n"+secret+"\n"))
	if err := os.Symlink(secret, filepath.Join(inputs, "folder", "link.mp4")); err != nil {
		t.Fatal(err)
	}
	want["folder"] = NotAPhoto
	// Much of what nobody asked for.
	put(t, filepath.Join(dir, "a.ass"), []byte("[Script Info]\n\n[Events]\nFormat: Start, End, Text\n"+strings.Repeat("Dialogue: 0:00:00.00,0:00:03.00,x\n", 20_000)))
	many := []string{"-i", clip(t), "-i", filepath.Join(dir, "a.ass"), "-map", "0:v", "-c:v", "copy", "-c:s", "ass"}
	for range 60 {
		many = append(many, "-map", "1:s")
	}
	input("subtitles.mkv", usable, ffmpeg("subtitles.mkv", many...))
	put(t, filepath.Join(dir, "zeros"), make([]byte, 4<<20))
	many = []string{"-i", clip(t), "-map", "0:v", "-c:v", "copy"}
	for range 16 {
		many = append(many, "-attach", filepath.Join(dir, "zeros"))
	}
	many = append(many, "-metadata:s:t", "mimetype=application/octet-stream", "-metadata", "comment="+strings.Repeat("\"}]\\n", 20_000))
	input("attachments.mkv", usable, ffmpeg("attachments.mkv", many...))
	// Archives.
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := archive(t, "a.jpg", "\xff\xd8\xff"+strings.Repeat(zeros, 120))
	copied(t, bomb, filepath.Join(inputs, "bomb.zip"))
	want["bomb.zip"] = ArchiveTooLarge
	inner, err := os.ReadFile(bomb)
	if err != nil {
		t.Fatal(err)
	}
	copied(t, archive(t, "a.zip", string(inner), "b.zip", string(inner)), filepath.Join(inputs, "nested.zip"))
	want["nested.zip"] = NotAPhoto
	copied(t, archive(t, "../../outside.jpg", "x"), filepath.Join(inputs, "outside.zip"))
	want["outside.zip"] = BadArchive
	copied(t, archive(t, "1.png", string(photo), "2.png", string(photo), "3.png", string(photo)), filepath.Join(inputs, "huge photos.zip"))
	want["huge photos.zip"] = NotAPhoto
	var members []string
	for i := range maxEntries + 1 {
		members = append(members, fmt.Sprint(i), "")
	}
	copied(t, archive(t, members...), filepath.Join(inputs, "many.zip"))
	want["many.zip"] = ArchiveTooLarge

	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, secrets, unix.IN_OPEN|unix.IN_ACCESS); err != nil {
		t.Fatal(err)
	}
	events := func() bool {
		n, err := unix.Read(watch, make([]byte, 4096))
		return err == nil && n > 0
	}
	run := func(t *testing.T, attributes *syscall.SysProcAttr) {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHostileChild$")
		child.Env = append(os.Environ(), hostileFolder+"="+dir)
		child.SysProcAttr = attributes
		if said, err := child.CombinedOutput(); err != nil {
			if attributes != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC)) {
				t.Skipf("no namespace can be made here: %v", err)
			}
			t.Fatalf("%v: %s", err, said)
		}
		body, err := os.ReadFile(filepath.Join(dir, "outcome.json"))
		if err != nil {
			t.Fatal(err)
		}
		var got hostileOutcome
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		for name, code := range want {
			if got.Codes[name] != code {
				t.Errorf("%s: %s (%s), want %s", name, got.Codes[name], got.Errors[name], code)
			}
		}
		t.Logf("%d inputs; at most %d MB here, %d MB in ffmpeg", len(got.Codes), got.SelfRSSBytes>>20, got.ToolRSSBytes>>20)
		if !(got.SelfRSSBytes < 400<<20) || !(got.ToolRSSBytes < 600<<20) {
			t.Errorf("%d MB here, %d MB in ffmpeg", got.SelfRSSBytes>>20, got.ToolRSSBytes>>20)
		}
		if events() {
			t.Error("a file outside of the work folder was opened")
		}
		if len(calls) > 0 {
			t.Error("the network was used")
		}
	}
	t.Run("outcomes", func(t *testing.T) { run(t, nil) })
	t.Run("without a network", func(t *testing.T) {
		run(t, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		})
	})
	// The watch and the server do notice.
	if _, err := os.ReadFile(secret); err != nil || !events() {
		t.Errorf("the watch sees nothing: %v", err)
	}
	if c, err := net.Dial("tcp", server.Addr().String()); err == nil {
		<-calls
		c.Close()
	}
}

// hugePNG is a white square of edge by edge pixels of one bit.
func hugePNG(t testing.TB, edge int) []byte {
	t.Helper()
	var pixels bytes.Buffer
	z := zlib.NewWriter(&pixels)
	row := make([]byte, 1+edge/8)
	for range edge {
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBufferString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		body := append([]byte(name), data...)
		_ = binary.Write(out, binary.BigEndian, uint32(len(data)))
		_, _ = out.Write(body)
		_ = binary.Write(out, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(edge)), uint32(edge))
	chunk("IHDR", append(header, 1, 0, 0, 0, 0))
	chunk("IDAT", pixels.Bytes())
	chunk("IEND", nil)
	return out.Bytes()
}

// referenceMovie is a QuickTime movie that holds nothing but the name of another file (Apple, QuickTime File Format,
// "Reference Movies").
func referenceMovie(target string) []byte {
	box := func(kind string, parts ...[]byte) []byte {
		body := bytes.Join(parts, nil)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
	}
	name := append([]byte("file://"+target), 0)
	data := append(append([]byte{0, 0, 0, 0}, "url "...), binary.BigEndian.AppendUint32(nil, uint32(len(name)))...)
	return append(box("ftyp", []byte("qt  "), []byte{0, 0, 0, 0}, []byte("qt  ")),
		box("moov", box("rmra", box("rmda", box("rdrf", append(data, name...)))))...)
}
