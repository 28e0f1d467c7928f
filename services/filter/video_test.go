package filter

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestVideoTakesNoRoom: a video passes on a machine without room for it, and a storage that fails while it is read is
// the storage's failure.
func TestVideoTakesNoRoom(t *testing.T) {
	tools := frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}
	for _, name := range []string{tools.FFmpeg, tools.FFprobe} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir := t.TempDir()
	if err := sample.Write(t.Context(), tools.FFmpeg, sample.Options{Seed: 1, Frames: 24, Width: 320, Height: 180}, dir, nil); err != nil {
		t.Fatal(err)
	}
	given := func(opens int) *stagetest.World {
		w := stagetest.New(t, pipeline.Options{}, Stage(Config{Tools: tools}))
		w.Worker.Room = func() (stage.Space, error) { return stage.Space{}, nil }
		w.Worker.Store = &lost{w.Store, opens}
		film, err := os.Open(filepath.Join(dir, sample.VideoFile))
		if err != nil {
			t.Fatal(err)
		}
		defer film.Close()
		o, err := w.Store.Put(t.Context(), w.Buckets.Inbox[pipeline.Filter], artifacts.UploadName(w.Request.ID, "input"), film, artifacts.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Queue.Enqueue(t.Context(), queue.Task{RequestID: w.Request.ID, Stage: pipeline.Filter, Input: o}); err != nil {
			t.Fatal(err)
		}
		w.Work()
		return w
	}
	if images := given(1000).Report().Images; images.Input != 24 || images.Used == 0 {
		t.Errorf("%+v", images)
	}
	for opens := range 2 { // to look what it is, and to read it
		w := given(opens)
		s, err := w.Queue.Lookup(t.Context(), w.Request.ID)
		if err != nil || s.Failure == nil || s.Failure.Code != pipeline.StorageAway || s.Failure.Kind != pipeline.Transient {
			t.Errorf("lost after %d reads: %+v, %v", opens, s.Failure, err)
		}
	}
}

// lost is a store that does not answer any more after a number of opens.
type lost struct {
	*memory.Store
	opens int
}

func (s *lost) OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error) {
	if s.opens == 0 {
		return nil, fmt.Errorf("open %v: %w", o, artifacts.ErrUnavailable)
	}
	s.opens--
	return s.Store.OpenRange(ctx, o, offset)
}
