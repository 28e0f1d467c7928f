package train_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/train"
)

// onlooker keeps every preview that is stored.
type onlooker struct {
	artifacts.Store
	mu    sync.Mutex
	shown [][]byte
}

func (s *onlooker) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if strings.HasSuffix(name, "/"+artifacts.Preview.FileName()) {
		body, err := io.ReadAll(r)
		if err != nil {
			return pipeline.Object{}, err
		}
		s.mu.Lock()
		s.shown = append(s.shown, body)
		s.mu.Unlock()
		r = bytes.NewReader(body)
	}
	return s.Store.Put(ctx, bucket, name, r, o)
}

// TestTheSplatIsShownWhileItGrows: files that readers of splats accept, small, and none left at the end.
func TestTheSplatIsShownWhileItGrows(t *testing.T) {
	var looks atomic.Int64
	now := func() time.Time { return time.UnixMilli(40 * looks.Add(1)) }
	w := stagetest.New(t, pipeline.Options{TrainBudgetS: 9, LongEdgePx: width}, train.Stage(train.Config{Threads: 2, Now: now}))
	seen := &onlooker{Store: w.Store}
	w.Worker.Store = seen
	w.Give(artifacts.Scene, scene(t, false))
	w.Work()
	w.Report() // it has finished
	if len(seen.shown) < 2 {
		t.Fatalf("%d previews of 9 seconds", len(seen.shown))
	}
	for i, body := range seen.shown {
		cloud, err := splat.ReadCompressedPLY(bytes.NewReader(body))
		if err != nil || cloud.Len() == 0 || cloud.Len() > trainer.PreviewGaussians || cloud.Degree != 0 {
			t.Errorf("preview %d: %v, %v", i, cloud, err)
		}
	}
	if bytes.Equal(seen.shown[0], seen.shown[len(seen.shown)-1]) {
		t.Error("the last preview is the first")
	}
	for o := range w.Store.List(t.Context(), w.Buckets.Artifacts, w.Request.ID) {
		if strings.HasSuffix(o.Name, artifacts.Preview.FileName()) {
			t.Errorf("left: %v", o)
		}
	}
}
