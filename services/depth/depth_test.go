package depth_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
	"github.com/splatworks/splatworks/services/depth"
)

const (
	frames        = 8
	width, height = 320, 180
	blank         = 3 // the frame whose red channel tells nothing
)

// capture is the scene of the tests: frames of the synthetic sample whose red channel is their inverse depth.
var capture = sync.OnceValue(func() *sample.Capture {
	c, err := sample.New(sample.Options{Seed: 4, Frames: frames, Width: width, Height: height})
	if err != nil {
		panic(err)
	}
	return c
})

// world is a backend in memory with one request at the depth stage.
type world struct {
	t       *testing.T
	store   *memory.Store
	queue   *memq.Queue
	buckets artifacts.Buckets
	request pipeline.Request
	worker  stage.Worker
}

func newWorld(t *testing.T, options pipeline.Options, c depth.Config) *world {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }
	w := &world{t: t, store: memory.New(), buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	for _, s := range pipeline.Stages() {
		w.buckets.Inbox[s] = "inbox-" + string(s)
	}
	w.queue = memq.New(queue.Config{Now: now, Rand: func() float64 { return 0 }})
	id, err := pipeline.NewRequestID(now(), bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	w.request = pipeline.Request{ID: id, SessionID: "s", TokenHash: "h", CreatedAt: now(), Options: options}
	if err := w.queue.Submit(t.Context(), w.request); err != nil {
		t.Fatal(err)
	}
	c.Now = time.Now
	w.worker = stage.Worker{
		Definition: depth.Stage(c), ID: "worker-1", Tasks: w.queue, Slots: w.queue, Limit: 1, Store: w.store, Buckets: w.buckets,
		WorkDir: t.TempDir(), Beat: time.Millisecond, Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Ended: func(context.Context, pipeline.Request, pipeline.Status) error { return nil },
	}
	return w
}

// submit publishes a scene folder as preprocess would and makes the task ready.
func (w *world) submit(dir string) {
	w.t.Helper()
	var tar bytes.Buffer
	if err := artifacts.Pack(&tar, dir); err != nil {
		w.t.Fatal(err)
	}
	o, err := w.store.Put(w.t.Context(), "artifacts", artifacts.Path(w.request.ID, pipeline.Preprocess, 1, artifacts.Scene), &tar, artifacts.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	manifest, err := artifacts.WriteManifest(w.t.Context(), w.store, w.buckets, &artifacts.Manifest{
		Version: artifacts.ManifestVersion, Request: w.request, Stage: pipeline.Preprocess, Fence: 1,
		Outputs: []artifacts.Artifact{{Kind: artifacts.Scene, Object: o}}, History: []artifacts.StageRecord{{Stage: pipeline.Preprocess}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.queue.Enqueue(w.t.Context(), queue.Task{RequestID: w.request.ID, Stage: pipeline.Depth, Input: manifest}); err != nil {
		w.t.Fatal(err)
	}
}

// manifest that the stage left, or nil.
func (w *world) manifest() *artifacts.Manifest {
	w.t.Helper()
	o, err := w.store.Stat(w.t.Context(), w.buckets.ManifestBucket(pipeline.Depth), artifacts.ManifestName(w.request.ID, pipeline.Depth))
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := artifacts.ReadManifest(w.t.Context(), w.store, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// report is the stage's part of report.json, and its warnings.
func (w *world) report() (artifacts.DepthReportPart, []pipeline.Warning) {
	w.t.Helper()
	m := w.manifest()
	if m == nil {
		w.t.Fatal("the stage left no manifest")
	}
	d, err := artifacts.NewReport(w.request, m.History)
	if err != nil {
		w.t.Fatal(err)
	}
	return *d.Depth, d.Warnings
}

func (w *world) body(kind artifacts.Kind) []byte {
	w.t.Helper()
	o, ok := w.manifest().Find(kind)
	if !ok {
		w.t.Fatalf("no %s", kind)
	}
	r, err := w.store.Open(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return body
}

// paintedScene is a scene folder whose images carry their inverse depth in the red channel.
func paintedScene(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	if err := os.Mkdir(images, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		rgb, inverse := capture().Frame(i), capture().InverseDepth(i)
		img := image.NewNRGBA(image.Rect(0, 0, width, height))
		for at, d := range inverse {
			red := uint8(math.Round(255 * min(1, float64(d))))
			if i == blank {
				red = rgb[3*at]
			}
			img.SetNRGBA(at%width, at/width, color.NRGBA{red, rgb[3*at+1], rgb[3*at+2], 255})
		}
		var body bytes.Buffer
		if err := png.Encode(&body, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(images, sample.Name(i)), body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := capture().Reconstruction().Write(filepath.Join(dir, "sparse")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func standIn(context.Context, string) (engine.Estimator, error) {
	d := depthtest.Descriptor()
	d.ShortSide = 168
	return &depthtest.StandIn{D: d}, nil
}

func TestMapsAreAligned(t *testing.T) {
	w := newWorld(t, pipeline.Options{}, depth.Config{Model: "stand-in", Open: standIn})
	w.submit(paintedScene(t))
	if err := w.worker.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	part, warnings := w.report()
	t.Logf("%+v", part)
	if part.Model != "stand-in" || part.Images != frames || part.Aligned != frames-1 || part.Skipped != "" || len(warnings) != 0 || !(part.MedianScale > 0) {
		t.Errorf("report %+v, warnings %v", part, warnings)
	}
	dir := t.TempDir()
	if err := artifacts.Unpack(bytes.NewReader(w.body(artifacts.DepthMaps)), dir); err != nil {
		t.Fatal(err)
	}
	params, err := engine.ReadParams(dir)
	if err != nil {
		t.Fatal(err)
	}
	var off []float64
	for i := range frames {
		name := sample.Name(i)
		p, ok := params[engine.MapName(name)]
		if ok == (i == blank) {
			t.Errorf("%s: has a map: %v", name, ok)
		}
		if !ok {
			continue
		}
		m, err := engine.ReadMap(dir, name, p)
		if err != nil {
			t.Fatal(err)
		}
		truth := capture().InverseDepth(i)
		for y := range m.Height {
			for x := range m.Width {
				if want := truth[y*height/m.Height*width+x*width/m.Width]; want > 0 {
					off = append(off, math.Abs(float64(want/m.Values[y*m.Width+x])-1))
				}
			}
		}
	}
	slices.Sort(off)
	t.Logf("median relative depth error %.2f %%", 100*off[len(off)/2])
	if !(off[len(off)/2] < 0.01) {
		t.Errorf("median relative depth error %.2f %%", 100*off[len(off)/2])
	}
	grid := w.body(artifacts.DepthGrid)
	if config, err := jpeg.DecodeConfig(bytes.NewReader(grid)); err != nil || config.Width < 900 {
		t.Errorf("the grid: %+v, %v", config, err)
	}
	if keep := os.Getenv("SPLATWORKS_KEEP_GRID"); keep != "" {
		if err := os.WriteFile(keep, grid, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGoesOnWithout(t *testing.T) {
	missing := func(_ context.Context, name string) (engine.Estimator, error) {
		return nil, &engine.Failure{Code: engine.ModelMissing, Message: "The weights of " + name + " are not here.", Advice: "Fetch them."}
	}
	failing := func(ctx context.Context, name string) (engine.Estimator, error) {
		e, err := standIn(ctx, name)
		return &faulty{Estimator: e, fault: func(context.Context) error {
			return &engine.Failure{Code: engine.OutOfMemory, Message: "The memory does not suffice.", Advice: "Use a smaller model."}
		}}, err
	}
	scene := paintedScene(t)
	for name, test := range map[string]struct {
		options pipeline.Options
		open    func(context.Context, string) (engine.Estimator, error)
		skipped string
		warned  string
	}{
		"off":                    {pipeline.Options{Depth: pipeline.DepthOff}, missing, "asked for no depth", ""},
		"the default is missing": {pipeline.Options{}, missing, "The weights of default are not here", ""},
		"a wish is missing":      {pipeline.Options{Depth: "best"}, missing, "The weights of best are not here", engine.ModelMissing},
		"no runtime":             {pipeline.Options{}, depth.Folder(t.TempDir(), engine.Options{}), "", ""},
		"no such folder":         {pipeline.Options{}, depth.Folder("", engine.Options{}), "", ""},
		"it breaks down":         {pipeline.Options{}, failing, "The memory does not suffice", engine.OutOfMemory},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.options, depth.Config{Model: "default", Open: test.open})
			w.submit(scene)
			if err := w.worker.Run(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			part, warnings := w.report()
			if !strings.Contains(part.Skipped, test.skipped) || part.Skipped == "" || part.Aligned != 0 {
				t.Errorf("report %+v", part)
			}
			if test.warned == "" && len(warnings) != 0 || test.warned != "" && (len(warnings) != 1 || warnings[0].Code != test.warned) {
				t.Errorf("warnings %+v, want %q", warnings, test.warned)
			}
			if _, ok := w.manifest().Find(artifacts.DepthMaps); ok {
				t.Error("there are maps")
			}
		})
	}
}

// faulty does something else once it has estimated a few images.
type faulty struct {
	engine.Estimator
	seen  int
	fault func(context.Context) error
}

func (f *faulty) Estimate(ctx context.Context, in []engine.Input) ([]engine.Map, error) {
	if f.seen += len(in); f.seen > 3 {
		if err := f.fault(ctx); err != nil {
			return nil, err
		}
	}
	return f.Estimator.Estimate(ctx, in)
}

// A worker that is told to go while the model works gives the task back, and leaves nothing that anybody could take for
// a result.
func TestStopInTheMiddle(t *testing.T) {
	stop, reached := make(chan struct{}), make(chan struct{})
	w := newWorld(t, pipeline.Options{}, depth.Config{Model: "stand-in", Open: func(ctx context.Context, name string) (engine.Estimator, error) {
		e, err := standIn(ctx, name)
		return &faulty{Estimator: e, fault: func(ctx context.Context) error {
			close(reached)
			<-ctx.Done() // an inference that only its cancellation ends
			return ctx.Err()
		}}, err
	}})
	w.submit(paintedScene(t))
	go func() {
		<-reached
		close(stop)
	}()
	if err := w.worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if w.manifest() != nil {
		t.Error("a stopped stage left a manifest")
	}
	for o, err := range w.store.List(t.Context(), "artifacts", artifacts.StagePrefix(w.request.ID, pipeline.Depth)) {
		t.Errorf("%v was left behind (%v)", o, err)
	}
	if left, err := os.ReadDir(w.worker.WorkDir); err != nil || len(left) != 0 {
		t.Errorf("the work folder holds %v, %v", left, err)
	}
	if s, err := w.queue.Lookup(t.Context(), w.request.ID); err != nil || s.Failure != nil {
		t.Errorf("state %+v, %v", s, err)
	}
}
