package depth_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/depth"
)

const (
	frames        = 8
	width, height = 320, 180
	blank         = 3 // the frame whose red channel is constant
)

// capture is the scene of the tests: frames of the synthetic sample whose red channel is their inverse depth.
var capture = sync.OnceValue(func() *sample.Capture {
	c, err := sample.New(sample.Options{Seed: 4, Frames: frames, Width: width, Height: height})
	if err != nil {
		panic(err)
	}
	return c
})

func newWorld(t *testing.T, options pipeline.Options, c depth.Config) *stagetest.World {
	t.Helper()
	c.Now = time.Now
	return stagetest.New(t, options, depth.Stage(c))
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
	w.Give(artifacts.Scene, paintedScene(t))
	w.Work()
	report := w.Report()
	part, warnings := *report.Depth, report.Warnings
	t.Logf("%+v", part)
	if part.Model != "stand-in" || part.Images != frames || part.Aligned != frames-1 || part.Skipped != "" || len(warnings) != 0 || !(part.MedianScale > 0) {
		t.Errorf("report %+v, warnings %v", part, warnings)
	}
	dir := t.TempDir()
	if err := artifacts.Unpack(bytes.NewReader(w.Body(artifacts.DepthMaps)), dir); err != nil {
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
	grid := w.Body(artifacts.DepthGrid)
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
		return nil, &fault.Failure{Code: engine.ModelMissing, Message: "The weights of model " + name + " are not installed.", Advice: "Fetch them."}
	}
	failing := func(ctx context.Context, name string) (engine.Estimator, error) {
		e, err := standIn(ctx, name)
		return &faulty{Estimator: e, fault: func(context.Context) error {
			return &fault.Failure{Code: engine.OutOfMemory, Message: "The memory does not suffice.", Advice: "Use a smaller model."}
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
		"the default is missing": {pipeline.Options{}, missing, "The weights of model default are not installed", ""},
		"a wish is missing":      {pipeline.Options{Depth: "best"}, missing, "The weights of model best are not installed", engine.ModelMissing},
		"no runtime":             {pipeline.Options{}, depth.Folder(t.TempDir(), engine.Options{}), "", ""},
		"no such folder":         {pipeline.Options{}, depth.Folder("", engine.Options{}), "", ""},
		"it breaks down":         {pipeline.Options{}, failing, "The memory does not suffice", engine.OutOfMemory},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.options, depth.Config{Model: "default", Open: test.open})
			w.Give(artifacts.Scene, scene)
			w.Work()
			report := w.Report()
			part, warnings := *report.Depth, report.Warnings
			if !strings.Contains(part.Skipped, test.skipped) || part.Skipped == "" || part.Aligned != 0 {
				t.Errorf("report %+v", part)
			}
			if test.warned == "" && len(warnings) != 0 || test.warned != "" && (len(warnings) != 1 || warnings[0].Code != test.warned) {
				t.Errorf("warnings %+v, want %q", warnings, test.warned)
			}
			if _, ok := w.Manifest().Find(artifacts.DepthMaps); ok {
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

// A worker that is stopped while the model works releases the task, and leaves nothing that anybody could take for
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
	w.Give(artifacts.Scene, paintedScene(t))
	go func() {
		<-reached
		close(stop)
	}()
	if err := w.Worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if w.Manifest() != nil {
		t.Error("a stopped stage left a manifest")
	}
	for o, err := range w.Store.List(t.Context(), "artifacts", artifacts.StagePrefix(w.Request.ID, pipeline.Depth)) {
		if fence, _ := artifacts.FenceOf(o.Name); err != nil || o.Name != artifacts.AttemptName(w.Request.ID, pipeline.Depth, fence) { // the report of the attempt
			t.Errorf("%v was left behind (%v)", o, err)
		}
	}
	if left, err := os.ReadDir(w.Worker.WorkDir); err != nil || len(left) != 0 {
		t.Errorf("the work folder holds %v, %v", left, err)
	}
	if s, err := w.Queue.Lookup(t.Context(), w.Request.ID); err != nil || s.Failure != nil {
		t.Errorf("state %+v, %v", s, err)
	}
}
