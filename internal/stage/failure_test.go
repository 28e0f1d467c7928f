package stage_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// A full disk is one failure, which names the folder that stays and is tried once more with a smaller plan.
func TestFullDiskNamesTheFolder(t *testing.T) {
	var smaller []bool
	for name, cause := range map[string]func(job *stage.Job) error{
		"a file of the job": func(job *stage.Job) error {
			return &fs.PathError{Op: "write", Path: filepath.Join(job.Dir, "colmap", "database.db"), Err: syscall.ENOSPC}
		},
		"a program's last words": func(*stage.Job) error { return fmt.Errorf("ffmpeg: %w", syscall.ENOSPC) },
	} {
		t.Run(name, func(t *testing.T) {
			smaller = nil
			w := newWorld(t, func(_ context.Context, job *stage.Job) error {
				smaller = append(smaller, job.Smaller)
				return cause(job)
			})
			id := w.submit()
			for range 5 {
				w.work()
				w.advance(time.Hour)
			}
			s := w.state(id)
			if s.Status != pipeline.Failed || s.Failure.Code != pipeline.DiskFull || !strings.Contains(s.Failure.Message, filepath.Dir(w.worker.WorkDir)+".") {
				t.Errorf("%v %+v", s.Status, s.Failure)
			}
			if len(smaller) != 2 || smaller[0] || !smaller[1] {
				t.Errorf("attempts, whether smaller: %v", smaller)
			}
		})
	}
}

// A disk that others fill has the stage wait, with the same plan, until somebody has freed some room.
func TestDiskThatOthersFillIsWaitedFor(t *testing.T) {
	for name, cause := range map[string]error{
		"the worker's":  &fs.PathError{Op: "write", Path: "/tmp/x", Err: syscall.ENOSPC},
		"the storage's": fmt.Errorf("publish: %w", &pipeline.FullDisk{Sentence: "There is no room in /data."}),
	} {
		t.Run(name, func(t *testing.T) {
			full, tries := true, 0
			w := newWorld(t, func(_ context.Context, job *stage.Job) error {
				if tries++; job.Smaller || job.Attempt != 1 {
					t.Errorf("attempt %d, smaller: %t", job.Attempt, job.Smaller)
				}
				if full {
					return cause
				}
				return nil
			})
			w.worker.Room = func() (stage.Space, error) { return stage.Space{Free: 1, Total: 100}, nil }
			id := w.submit()
			for range 8 {
				w.work()
				if s := w.state(id); s.Status != pipeline.Processing || !s.Failure.Waits() || s.RetryAt.IsZero() {
					t.Fatalf("%v %+v", s.Status, s.Failure)
				}
				w.advance(time.Minute)
			}
			full = false
			w.work()
			if s := w.state(id); s.Manifest.Name == "" || tries != 9 {
				t.Errorf("after %d tries: %v %+v", tries, s.Status, s.Failure)
			}
		})
	}
}

// What an earlier stage left and the storage lost is not asked for again; what reads damaged is.
func TestLostAndDamagedArtifacts(t *testing.T) {
	for code, c := range map[string]struct {
		err      error
		attempts int
	}{
		pipeline.ArtifactGone: {artifacts.ErrNotFound, 1}, pipeline.ArtifactDamaged: {artifacts.ErrDamaged, 3}, pipeline.StorageAway: {artifacts.ErrUnavailable, 3},
	} {
		t.Run(code, func(t *testing.T) {
			attempts := 0
			w := newWorld(t, func(context.Context, *stage.Job) error {
				attempts++
				return fmt.Errorf("fetch: %w", c.err)
			})
			id := w.submit()
			for range 5 {
				w.work()
				w.advance(time.Hour)
			}
			s := w.state(id)
			if s.Status != pipeline.Failed || s.Failure.Code != code || !s.Failure.Resubmittable() || attempts != c.attempts {
				t.Errorf("after %d attempts %v %+v", attempts, s.Status, s.Failure)
			}
		})
	}
}

// What a client said is compressed is refused, and not unpacked.
func TestEncodedUploadIsRefused(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		_, err := job.FetchUpload(ctx)
		return err
	})
	id := w.submit()
	o, err := w.store.Stat(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"))
	if err != nil {
		t.Fatal(err)
	}
	w.store.Spoil(o, []byte("bytes"), "gzip")
	w.work()
	if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != "encoded_upload" || s.Failure.Kind != pipeline.InvalidInput {
		t.Errorf("%v %+v", s.Status, s.Failure)
	}
}

// A capture whose bytes have changed in the storage is not called what an earlier stage left.
func TestUploadThatIsDamaged(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		_, err := job.FetchUpload(ctx)
		return err
	})
	id := w.submit()
	o, err := w.store.Stat(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"))
	if err != nil {
		t.Fatal(err)
	}
	w.store.Spoil(o, []byte("bytes"), "")
	for range 5 {
		w.work()
		w.advance(time.Hour)
	}
	s := w.state(id)
	if s.Status != pipeline.Failed || s.Failure.Code != pipeline.ArtifactDamaged || !s.Failure.Resubmittable() || !strings.Contains(s.Failure.Message, "capture") || s.Attempt != 3 {
		t.Errorf("%v %+v after attempt %d", s.Status, s.Failure, s.Attempt)
	}
}

// A bundle whose bytes have changed is not worked with.
func TestDamagedBundleIsNoticed(t *testing.T) {
	var w *world
	w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
		_, err := job.FetchBundle(ctx, artifacts.Upload)
		return err
	})
	id := w.submit()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	var tarred bytes.Buffer
	if err := artifacts.Pack(&tarred, dir); err != nil {
		t.Fatal(err)
	}
	o, err := w.store.Stat(t.Context(), "inbox-filter", artifacts.UploadName(id, "input"))
	if err != nil {
		t.Fatal(err)
	}
	w.store.Spoil(o, bytes.Replace(tarred.Bytes(), []byte("precious"), []byte("prec1ous"), 1), "")
	for range 5 {
		w.work()
		w.advance(time.Hour)
	}
	if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != pipeline.ArtifactDamaged {
		t.Errorf("%v %+v", s.Status, s.Failure)
	}
}
