package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// several is a request with two uploads and one object of another bucket, sealed.
func (w *world) several(id string) (capture pipeline.Object, parts []pipeline.Object) {
	w.t.Helper()
	for _, place := range [][2]string{{"inbox-filter", artifacts.PartName(id, "1.jpg")}, {"inbox-filter", artifacts.PartName(id, "2.jpg")}, {"sources", "folder/3.jpg"}} {
		o, err := w.store.Put(w.t.Context(), place[0], place[1], strings.NewReader("content of "+filepath.Base(place[1])), artifacts.PutOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		parts = append(parts, o)
	}
	if err := artifacts.WriteCapture(w.t.Context(), w.store, w.buckets, id, parts); err != nil {
		w.t.Fatal(err)
	}
	capture, err := w.store.Stat(w.t.Context(), "inbox-filter", artifacts.CaptureName(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return capture, parts
}

func (w *world) accepted() string {
	w.t.Helper()
	id, err := pipeline.NewRequestID(w.clock(), bytes.NewReader(bytes.Repeat([]byte{9}, 16)))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.queue.Submit(w.t.Context(), pipeline.Request{ID: id, SessionID: "several", TokenHash: "several", CreatedAt: w.clock()}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func event(o pipeline.Object) cloudevents.Event {
	e := cloudevents.NewEvent()
	e.SetID(o.String())
	e.SetSource("test")
	e.SetType(stage.Finalized)
	_ = e.SetData(cloudevents.ApplicationJSON, map[string]string{"bucket": o.Bucket, "name": o.Name, "generation": strconv.FormatInt(o.Generation, 10), "size": "1"})
	return e
}

// TestSeveralUploads: one of them starts nothing, the Capture starts the request once, the stage finds a folder with exactly
// the pinned objects, and the manifest names them.
func TestSeveralUploads(t *testing.T) {
	var found []string
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		dir, err := job.FetchUpload(ctx)
		if err != nil {
			return err
		}
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			body, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			found = append(found, e.Name()+": "+string(body))
		}
		return err
	})
	id := w.accepted()
	capture, parts := w.several(id)
	receiver := stage.Receiver{Stage: pipeline.Filter, Inbox: "inbox-filter", Tasks: w.queue, Log: slog.New(slog.DiscardHandler),
		Staffing: stage.Staffing{Slots: w.queue, Launcher: nobody{}, Limit: map[pipeline.Stage]int{pipeline.Filter: 1}}}
	for _, o := range parts[:2] {
		if err := receiver.Receive(t.Context(), event(o)); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.state(id); s.Stage != "" {
		t.Fatalf("one of several uploads began %+v", s)
	}
	if _, err := w.store.Put(t.Context(), "inbox-filter", artifacts.PartName(id, "4.jpg"), strings.NewReader("too late"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := receiver.Receive(t.Context(), event(capture)); err != nil {
			t.Fatal(err)
		}
	}
	w.work()
	if got := strings.Join(found, ", "); got != "1.jpg: content of 1.jpg, 2.jpg: content of 2.jpg, 3.jpg: content of 3.jpg" {
		t.Errorf("the stage found %s", got)
	}
	m := w.manifest(id, pipeline.Filter)
	if m == nil || len(m.Inputs) != 3 {
		t.Fatalf("manifest %+v", m)
	}
	for i, a := range m.Inputs {
		if a.Kind != artifacts.Upload || a.Object.Name != parts[i].Name || a.Object.Generation != parts[i].Generation {
			t.Errorf("input %d is %+v, want %v", i, a, parts[i])
		}
	}
}

type nobody struct{}

func (nobody) Launch(context.Context, pipeline.Stage) error { return nil }

// TestRebuildWithSeveralUploads: the queue continues from the Capture, and waits while there is none.
func TestRebuildWithSeveralUploads(t *testing.T) {
	w := newWorld(t, nil)
	id := w.accepted()
	request := w.state(id).Request
	archive := stage.Archive{Store: w.store, Buckets: w.buckets}
	record, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Put(t.Context(), "artifacts", artifacts.RequestName(id), bytes.NewReader(record), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Put(t.Context(), "inbox-filter", artifacts.PartName(id, "1.jpg"), strings.NewReader("x"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	next := func() (task queue.Task, ok bool) {
		for r, err := range archive.Records(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			return r.Next()
		}
		t.Fatal("no record")
		return
	}
	if task, ok := next(); ok {
		t.Fatalf("rebuilding would begin with %+v", task)
	}
	capture, _ := w.several(id)
	if task, ok := next(); !ok || task.Input.Name != capture.Name || task.Input.Generation != capture.Generation {
		t.Fatalf("rebuilding would begin with %+v", task)
	}
}

// TestUploadThatIsGone: a source that its owner deleted is the client's to put right, and is not retried.
func TestUploadThatIsGone(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		_, err := job.FetchUpload(ctx)
		return err
	})
	id := w.accepted()
	capture, parts := w.several(id)
	if err := w.store.Delete(t.Context(), parts[2]); err != nil {
		t.Fatal(err)
	}
	if _, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: capture}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != "upload_gone" || s.Failure.Kind != pipeline.InvalidInput {
		t.Errorf("%v %+v", s.Status, s.Failure)
	}
}

// TestUploadThatDoesNotFit is refused before it is fetched, with the size that would fit; what just fits is fetched.
func TestUploadThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		several bool
		content string
		room    int64
		advice  string // empty: it fits
		total   int64  // of the disk; 0: as much as room
		waits   bool
	}{
		"a video":                   {content: strings.Repeat("v", 3e6), room: 2e6, advice: "at most 2 MB"},
		"a video that fits":         {content: strings.Repeat("v", 3e6), room: 3e6},
		"several, counted together": {several: true, room: 40, advice: "at most 0 MB"},
		"several that fit":          {several: true, room: 48},
		"others fill the disk":      {content: strings.Repeat("v", 3e6), room: 1e6, total: 4e6, advice: "Free some room", waits: true},
		"more than the whole disk":  {content: strings.Repeat("v", 5e6), room: 1e6, total: 4e6, advice: "at most 1 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			fetched := false
			w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
				_, err := job.FetchUpload(ctx)
				left, readErr := os.ReadDir(job.Dir)
				fetched = readErr != nil || len(left) > 0
				return err
			})
			w.worker.Room = func() (stage.Space, error) { return stage.Space{Free: c.room, Total: max(c.total, c.room)}, nil }
			id := w.accepted()
			input, _ := w.several(id)
			if !c.several {
				var err error
				if input, err = w.store.Put(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader(c.content), artifacts.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: input}); err != nil {
				t.Fatal(err)
			}
			w.work()
			s := w.state(id)
			if fits := c.advice == ""; fits != fetched || fits != (s.Failure == nil) {
				t.Fatalf("fetched: %t, failure: %+v", fetched, s.Failure)
			}
			if c.waits {
				if f := s.Failure; s.Status != pipeline.Processing || !f.Waits() || !strings.Contains(f.Message, filepath.Dir(w.worker.WorkDir)+" for the capture") {
					t.Errorf("%v %+v", s.Status, f)
				}
				return
			}
			if f := s.Failure; f != nil && (f.Code != "upload_too_large_for_worker" || f.Kind != pipeline.InvalidInput || f.Stage != pipeline.Filter || !strings.Contains(f.Advice, c.advice) || s.Attempt != 1) {
				t.Errorf("%+v after %d attempts", f, s.Attempt)
			}
		})
	}
}

// TestUploadIsReadFromStorage: nothing of it is in the job's folder, and an archive that does not fit unpacked is refused.
func TestUploadIsReadFromStorage(t *testing.T) {
	const body = "PK\x03\x04 and so on"
	for content, archive := range map[string]bool{body: true, "PK\x05\x06": true, "PK": false, "": false, "a video": false} {
		for _, room := range []int64{0, 100} {
			w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
				r, err := job.OpenUpload(ctx)
				if err != nil {
					return err
				}
				defer r.Close()
				whole := make([]byte, r.Size())
				if _, err := r.ReadAt(whole, 0); err != nil && err != io.EOF || string(whole) != content {
					t.Errorf("read %q, %v", whole, err)
				}
				if left, err := os.ReadDir(job.Dir); err != nil || len(left) > 0 {
					t.Errorf("in the folder: %v, %v", left, err)
				}
				return nil
			})
			w.worker.Room = func() (stage.Space, error) { return stage.Space{Free: room, Total: room}, nil }
			id := w.accepted()
			input, err := w.store.Put(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader(content), artifacts.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: input}); err != nil {
				t.Fatal(err)
			}
			w.work()
			f := w.state(id).Failure
			if refused := archive && room == 0; refused != (f != nil) || (refused && f.Code != "upload_too_large_for_worker") {
				t.Errorf("%q with room for %d: %+v", content, room, f)
			}
		}
	}
}

// TestFilesInMemoryAreCounted: what an upload takes of a machine whose files are memory, and nothing of one with a disk.
func TestFilesInMemoryAreCounted(t *testing.T) {
	for _, inMemory := range []bool{false, true} {
		var before, after int64
		w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
			var errs [3]error
			before, errs[0] = job.InMemory()
			_, errs[1] = job.FetchUpload(ctx)
			after, errs[2] = job.InMemory()
			return errors.Join(errs[:]...)
		})
		w.worker.Room = func() (stage.Space, error) { return stage.Space{Free: 100, Total: 100, InMemory: inMemory}, nil }
		id := w.submit()
		o, err := w.store.Stat(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"))
		if err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		if inMemory {
			want = o.Size
		}
		if w.work(); before != 0 || after != want || w.state(id).Failure != nil {
			t.Errorf("in memory %t: %d bytes, then %d of %d; %+v", inMemory, before, after, o.Size, w.state(id).Failure)
		}
	}
}

// TestUploadThatCannotBeRead fails as it does when it is fetched, at whatever byte that turns out.
func TestUploadThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world, o pipeline.Object)
		code  string
		kind  pipeline.FailureKind
	}{
		"gone": {func(w *world, o pipeline.Object) { _ = w.store.Delete(w.t.Context(), o) }, "upload_gone", pipeline.InvalidInput},
		"replaced": {func(w *world, o pipeline.Object) {
			_, _ = w.store.Put(w.t.Context(), o.Bucket, o.Name, strings.NewReader("another capture"), artifacts.PutOptions{})
		}, "upload_gone", pipeline.InvalidInput},
		"encoded": {func(w *world, o pipeline.Object) { w.store.Spoil(o, []byte("x"), "gzip") }, "encoded_upload", pipeline.InvalidInput},
		"altered": {func(w *world, o pipeline.Object) { w.store.Spoil(o, make([]byte, o.Size), "") }, pipeline.ArtifactDamaged, pipeline.Transient},
		"shorter": {func(w *world, o pipeline.Object) { w.store.Spoil(o, make([]byte, o.Size-1), "") }, pipeline.ArtifactDamaged, pipeline.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			var input pipeline.Object
			var w *world
			w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
				r, err := job.OpenUpload(ctx)
				if err != nil {
					return err
				}
				defer r.Close()
				c.spoil(w, input)
				body := make([]byte, r.Size())
				if _, err = r.ReadAt(body, 0); err != nil {
					return err
				}
				return r.Verify(crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
			})
			id := w.accepted()
			var err error
			input, err = w.store.Put(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader(strings.Repeat("a video", 1<<20)), artifacts.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: input}); err != nil {
				t.Fatal(err)
			}
			w.work()
			if f := w.state(id).Failure; f == nil || f.Code != c.code || f.Kind != c.kind {
				t.Errorf("%+v", f)
			}
		})
	}
}
