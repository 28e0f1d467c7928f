package filter

import (
	"archive/zip"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var large = flag.Bool("large", false, "filter captures of gigabytes: takes 12 GB of disk and some minutes (make large)")

// beside is the memory that a worker has beside the files of a capture, as internal/stage reckons it: 1 GiB.
const beside = 1 << 30

// TestLargeCaptures: a video of 3 GB and an archive of 2 GB pass, and worker and decoders together stay within the memory that is
// there beside the files. Each process is held to it by the kernel (RLIMIT_DATA).
func TestLargeCaptures(t *testing.T) {
	if !*large {
		t.Skip("takes 12 GB of disk and some minutes: make large")
	}
	tools := frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}
	for _, name := range []string{tools.FFmpeg, tools.FFprobe} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir := t.TempDir()
	if err := sample.Write(t.Context(), tools.FFmpeg, sample.Options{Seed: 1, Frames: 100, Width: 320, Height: 180}, dir, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bytes int64
		make  func(t *testing.T, clip, path string, bytes int64)
	}{
		"video":   {3_000_000_000, makeVideo},
		"archive": {2_000_000_000, makeArchive},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "capture")
			c.make(t, filepath.Join(dir, sample.VideoFile), path, c.bytes)
			info, err := os.Stat(path)
			if err != nil || info.Size() < c.bytes {
				t.Fatalf("made %v, %v", info, err)
			}
			room := info.Size()
			if name == "video" {
				room = 100_000_000 // it is read by range
			}
			restrain(t, beside)
			peak := watchMemory(t)
			w, store := given(t, Config{Tools: tools, Limits: frames.Limits{MaxMemory: beside}}, path, info.Size())
			w.Worker.Room = func() (stage.Space, error) { return stage.Space{Free: room, Total: room}, nil }
			w.Work()
			most := peak()
			if w.Manifest() == nil {
				state, err := w.Queue.Lookup(t.Context(), w.Request.ID)
				t.Fatalf("it did not pass: %+v, %v", state.Failure, err)
			}
			images := w.Report().Images
			t.Logf("%d bytes, opened %d times, %d bytes read; %d of %d pictures used; memory %d MiB at most",
				info.Size(), store.opened.Load(), store.read.Load(), images.Used, images.Input, most>>20)
			if read := store.read.Load(); read > info.Size()+info.Size()/10 {
				t.Errorf("%d bytes were read of %d", read, info.Size())
			}
			if most <= 0 || most > beside {
				t.Errorf("worker and decoders took %d bytes of memory, and %d are there", most, beside)
			}
		})
	}
}

// TestLargeCapturesAreRefusedBeforeTheyAreFetched: of what cannot fit, nothing but its beginning is read.
func TestLargeCapturesAreRefusedBeforeTheyAreFetched(t *testing.T) {
	for name, head := range map[string]string{"photo": "\xff\xd8\xff\xe1", "archive": "PK\x03\x04"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "capture")
			if err := os.WriteFile(path, []byte(head), 0o644); err != nil {
				t.Fatal(err)
			}
			const size = 3_000_000_000
			if err := os.Truncate(path, size); err != nil { // a hole: it takes no disk
				t.Fatal(err)
			}
			w, store := given(t, Config{}, path, size)
			w.Worker.Room = func() (stage.Space, error) { return stage.Space{Free: size - 1, Total: size - 1}, nil }
			w.Work()
			state, err := w.Queue.Lookup(t.Context(), w.Request.ID)
			if err != nil || state.Failure == nil || state.Failure.Code != "upload_too_large_for_worker" {
				t.Fatalf("failure %+v, %v", state.Failure, err)
			}
			if store.read.Load() > 2<<20 {
				t.Errorf("%d bytes were read first", store.read.Load())
			}
		})
	}
}

// given is a request whose upload is a file.
func given(t *testing.T, c Config, path string, size int64) (*stagetest.World, *fileStore) {
	t.Helper()
	w := stagetest.New(t, pipeline.Options{}, Stage(c))
	upload := pipeline.Object{Bucket: w.Buckets.Inbox[pipeline.Filter], Name: artifacts.UploadName(w.Request.ID, "input"), Generation: 1, Size: size}
	store := &fileStore{Store: w.Store, upload: upload, path: path}
	w.Worker.Store = store
	if _, err := w.Queue.Enqueue(t.Context(), queue.Task{RequestID: w.Request.ID, Stage: pipeline.Filter, Input: upload}); err != nil {
		t.Fatal(err)
	}
	return w, store
}

// fileStore is a store in memory but for the upload, which is a file.
type fileStore struct {
	*memory.Store
	upload pipeline.Object
	path   string
	opened atomic.Int64
	read   atomic.Int64
}

func (s *fileStore) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	return s.OpenRange(ctx, o, 0)
}

func (s *fileStore) OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error) {
	if o.Bucket != s.upload.Bucket || o.Name != s.upload.Name {
		return s.Store.OpenRange(ctx, o, offset)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	s.opened.Add(1)
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return counted{f, &s.read}, nil
}

type counted struct {
	*os.File
	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// WriteTo hides the file's own, which would not be counted.
func (c counted) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

// makeVideo writes a 4K video of intra frames of some megabytes each, repeated until it is long enough.
func makeVideo(t *testing.T, clip, path string, bytes int64) {
	once := path + ".mov"
	run(t, "ffmpeg", "-v", "error", "-i", clip, "-vf", "scale=3840:2160,noise=alls=24:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "1",
		"-qp", "14", "-pix_fmt", "yuv420p", once)
	info, err := os.Stat(once)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "ffmpeg", "-v", "error", "-stream_loop", strconv.FormatInt(bytes/info.Size(), 10), "-i", once, "-c", "copy", "-f", "mov", path)
	if err := os.Remove(once); err != nil {
		t.Fatal(err)
	}
}

// makeArchive writes photos of 12 megapixels, each made as large as it must be by comments, as they are.
func makeArchive(t *testing.T, clip, path string, bytes int64) {
	dir := t.TempDir()
	run(t, "ffmpeg", "-v", "error", "-i", clip, "-vf", "scale=4608:2592", "-q:v", "3", filepath.Join(dir, "%03d.jpg"))
	photos, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil || len(photos) == 0 {
		t.Fatalf("%d photos, %v", len(photos), err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive := zip.NewWriter(f)
	for _, photo := range photos {
		body, err := os.ReadFile(photo)
		if err != nil {
			t.Fatal(err)
		}
		member, err := archive.CreateHeader(&zip.FileHeader{Name: filepath.Base(photo), Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := member.Write(padded(t, body, bytes/int64(len(photos)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}

// padded puts comments behind the first mark of a JPEG until it has that number of bytes, or a few more.
func padded(t *testing.T, body []byte, size int64) []byte {
	t.Helper()
	const start = "\xff\xd8"
	if !bytes.HasPrefix(body, []byte(start)) {
		t.Fatalf("a JPEG that begins with % x", body[:min(len(body), 8)])
	}
	comment := append([]byte("\xff\xfe\xff\xff"), bytes.Repeat([]byte{'.'}, 0xffff-2)...) // ITU-T T.81, B.2.4.5
	out := bytes.NewBuffer(make([]byte, 0, size+int64(len(comment))))
	out.WriteString(start)
	for int64(out.Len()+len(body)) < size {
		out.Write(comment)
	}
	out.Write(body[len(start):])
	return out.Bytes()
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// restrain bounds the data of this process, and of those that it starts from here on, until the test ends.
func restrain(t *testing.T, bytes uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_DATA, &before) })
}

// watchMemory looks again and again at the memory of this process and all below it, without pages of files; peak ends that and
// says how many bytes there were at most.
func watchMemory(t *testing.T) (peak func() int64) {
	t.Helper()
	end, result := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for look := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-look.C:
				most = max(most, memoryOf(os.Getpid()))
			case <-end:
				look.Stop()
				result <- max(most, memoryOf(os.Getpid()))
				return
			}
		}
	}()
	return func() int64 { close(end); return <-result }
}

// memoryOf adds up RssAnon and RssShmem (proc_pid_status(5)) of a process and of its children (proc_pid_task_children).
func memoryOf(pid int) (sum int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && (fields[0] == "RssAnon:" || fields[0] == "RssShmem:") {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += kib << 10
		}
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				sum += memoryOf(id)
			}
		}
	}
	return sum
}
