package depth

import (
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the formats that COLMAP writes
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Shares of the stage's time, as percent at which the parts begin.
const (
	percentEstimate = 3
	percentSave     = 95
)

// maps is what the stage has made of the scene: aligned maps in a folder, and how well each agrees with the points.
type maps struct {
	part   artifacts.DepthReportPart
	dir    string // of the maps, as depth.WriteMap lays it out
	images string // folder of the scene's images

	mu         sync.Mutex // of what follows, while maps are taken
	alignments []depth.Alignment
	params     map[string]depth.Params // by image, of the maps that were written
}

// estimate has the model look at every image of the scene and aligns what it says.
func (c Config) estimate(ctx context.Context, job *stage.Job, e depth.Estimator) (*maps, error) {
	d := e.Descriptor()
	m := &maps{dir: filepath.Join(job.Dir, "maps"), params: map[string]depth.Params{},
		part: artifacts.DepthReportPart{Model: d.Name, License: d.License}}
	// Writing a map costs a processor about as long as a GPU needs to make one.
	options := depth.RunOptions{Clock: c.Now, Handlers: max(1, runtime.NumCPU()/4)}
	session, ok := e.(*depth.Session)
	if ok {
		job.Tool("onnxruntime", session.RuntimeVersion())
		options.Batch = session.Batch()
		if session.Provider() != depth.CPU {
			options.Decoders = runtime.NumCPU() // the model leaves them all free
		}
	}
	job.Progress(pipeline.Progress{Step: "fetching the scene", Percent: 1})
	dir, err := job.FetchBundle(ctx, artifacts.Scene)
	if err != nil {
		return nil, err
	}
	m.images = filepath.Join(dir, "images")
	model, err := readModel(filepath.Join(dir, "sparse"))
	if err != nil {
		return nil, err
	}
	images := distinct(model.Images)
	m.alignments = make([]depth.Alignment, len(images))
	done := 0
	report := func() {
		job.Progress(pipeline.Progress{Step: "estimating depth with " + d.Name, Done: float64(done), Total: float64(len(images)),
			Percent: percentEstimate + (percentSave-percentEstimate)*float64(done)/float64(max(1, len(images))),
			Message: fmt.Sprintf("%d of %d images", done, len(images))})
	}
	report()
	stats, err := depth.Run(ctx, e, len(images),
		func(_ context.Context, i int) (image.Image, error) { return m.decode(images[i].Name) },
		func(_ context.Context, r depth.Result) error {
			a, params, err := m.take(model, images[r.Index], r, d.Output)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.alignments[r.Index] = a
			if err == nil && a.OK() {
				m.params[a.Name] = params
			}
			done++
			report()
			return err
		}, options)
	if ok { // it may have given up its GPU on the way
		m.part.Provider = string(session.Provider())
		if why := session.Fallback(); why != "" {
			job.Warn(pipeline.Warning{Code: "depth_on_cpu", Message: "The GPU could not be used for depth: " + firstLine(why) + "."})
		}
	}
	if err != nil {
		return nil, err
	}
	if wall := stats.Wall.Seconds(); wall > 0 {
		job.Metric("images_per_s", float64(len(images))/wall)
		job.Metric("model_s", stats.Model.Seconds())
		job.Metric("outside_model", 1-stats.Model.Seconds()/wall)
	}
	return m, nil
}

// take aligns one map and writes it; several at once. What cannot be aligned is no error.
func (m *maps) take(model *scene.Reconstruction, im *scene.Image, r depth.Result, kind depth.OutputKind) (depth.Alignment, depth.Params, error) {
	if r.Err != nil {
		why := r.Err.Error()
		if f := new(fault.Failure); errors.As(r.Err, &f) {
			why = strings.TrimSuffix(f.Message, ".")
		}
		return depth.Alignment{Name: im.Name, Rejected: why}, depth.Params{}, nil
	}
	a := depth.Align(model, im, &r.Map, kind)
	if !a.OK() {
		return a, depth.Params{}, nil
	}
	aligned := a.Apply(&r.Map, kind)
	params, err := depth.WriteMap(m.dir, im.Name, &aligned)
	if err != nil {
		return a, params, fmt.Errorf("depth map of %s: %w", im.Name, err)
	}
	return a, params, nil
}

func (m *maps) decode(name string) (image.Image, error) {
	f, err := os.Open(filepath.Join(m.images, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return img, nil
}

// readModel reads sparse/ or sparse/0/.
func readModel(dir string) (*scene.Reconstruction, error) {
	if _, err := os.Stat(filepath.Join(dir, scene.CamerasFile)); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Join(dir, "0")
	}
	return scene.Read(dir)
}

// distinct are the images sorted by name, without those whose map would have the name of another's.
func distinct(all []scene.Image) []*scene.Image {
	var images []*scene.Image
	for i := range all {
		images = append(images, &all[i])
	}
	slices.SortFunc(images, func(a, b *scene.Image) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(images, func(a, b *scene.Image) bool { return depth.MapName(a.Name) == depth.MapName(b.Name) })
}

// publishGrid draws some of the images with their depth.
func (m *maps) publishGrid(ctx context.Context, job *stage.Job, params map[string]depth.Params) error {
	n := min(len(m.alignments), depth.GridCells)
	var cells []depth.Cell
	for i := range n {
		a := &m.alignments[i*len(m.alignments)/n]
		img, err := m.decode(a.Name)
		if err != nil {
			continue // its alignment says why there is no map
		}
		cell := depth.Cell{Image: img, Title: a.Name, Note: "left out: " + a.Rejected}
		if p, ok := params[depth.MapName(a.Name)]; ok {
			read, err := depth.ReadMap(m.dir, a.Name, p)
			if err != nil {
				return err
			}
			cell.Map, cell.Note = &read, fmt.Sprintf("off by %.1f %% at %d points", 100*a.Residual, a.Points)
		}
		cells = append(cells, cell)
	}
	if len(cells) == 0 {
		return nil
	}
	path := filepath.Join(job.Dir, artifacts.DepthGrid.FileName())
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(depth.WriteGrid(f, cells), f.Close()); err != nil {
		return err
	}
	return job.Publish(ctx, artifacts.DepthGrid, path)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(s, ".")
}
