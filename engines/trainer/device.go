package trainer

import (
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
)

// device is a graphics card as a machine: the model, its moments and statistics stay there between put and get, and pictures as far
// as they fit (album.go).
type device struct {
	engine *gpu.Engine
	model  gpu.Model
	host   *gaussians
	same   bool // host is what the card has; its size always is

	album album
	frame raster.Frame // of draw

	compared []comparison // of the steps whose sums nothing has read
	known    []float64    // losses that nothing has asked for
	heard    bool         // a loss was known: the first is waited for, so that there is one to report
}

// comparison makes a step's loss of what the card sums up.
type comparison struct {
	ssim, pixels, depth float64 // depth: weight of each pixel's
}

func (c *comparison) loss(sums *gpu.Losses) float64 {
	return (1-c.ssim)*sums.L1/(3*c.pixels) + c.ssim*(1-sums.SSIM/(3*c.pixels)) + sums.Depth*c.depth
}

func newDevice(d gpu.Device, cfg *Config, data *Dataset) *device {
	e := gpu.NewEngine(d)
	return &device{engine: e, album: newAlbum(e, cfg, data, roomOnCard(d.Memory(), cfg, data))}
}

func (d *device) put(model *gaussians) error {
	d.host, d.same = model, true
	s := gpu.Statistics{Pulls: model.stats.gradient, Views: model.stats.views, Extents: model.stats.extent}
	return d.engine.Put(&d.model, model.params, model.m, model.v, &s)
}

func (d *device) get() error {
	if d.same {
		return nil
	}
	d.same = true
	s := gpu.Statistics{Pulls: d.host.stats.gradient, Views: d.host.stats.views, Extents: d.host.stats.extent}
	return d.engine.Get(&d.model, d.host.params, d.host.m, d.host.v, &s)
}

func (d *device) refine(r *refinement) (refined, error) {
	d.same = false
	did, err := d.engine.Refine(&d.model, &gpu.Refinement{Faint: r.faint, Decay: float32(r.decay), Wide: widestExtent, Split: r.split})
	d.host.resize(d.model.Len())
	return refined{did.Kept, did.Lost}, err
}

func (d *device) close() {
	d.album.close()
	d.engine.Free(&d.model)
}

func (d *device) draw(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
	return drawOn(d.engine, &d.model, cam, background, &d.frame)
}

// drawOn draws a model with all that its parameters have, into f.
func drawOn(e *gpu.Engine, m *gpu.Model, cam *raster.Camera, background [3]float32, f *raster.Frame) (*raster.Frame, error) {
	if _, err := e.Forward(m, cam, gpu.Options{Degree: m.Degree, Background: background}); err != nil {
		return nil, err
	}
	return f, e.Read(f)
}

func (d *device) step(v *visit) (m measured, err error) {
	d.same = false
	pic, err := d.album.open(v)
	if err != nil {
		return m, err
	}
	gains := [3]float32{1, 1, 1}
	if v.gains != nil {
		gains = *v.gains
	}
	drawn, err := d.engine.Forward(&d.model, &v.camera, gpu.Options{Degree: v.degree, Background: v.background, Depth: v.prior != nil, Pose: v.poses})
	if err != nil {
		return m, err
	}
	if err := d.engine.Compare(&pic.image, gains, v.ssim); err != nil {
		return m, err
	}
	pixels := float64(drawn.Width * drawn.Height)
	each := float32(v.depth / pixels)
	if v.prior != nil {
		if err := d.engine.CompareDepth(&pic.prior, &pic.image, each); err != nil {
			return m, err
		}
	}
	if err := d.engine.Update(&d.model, v.rates); err != nil {
		return m, err
	}
	d.compared = append(d.compared, comparison{v.ssim, pixels, float64(each)})
	if v.gains != nil || len(d.compared) == gpu.MostLosses || !d.heard {
		sums, err := d.hear()
		if err != nil {
			return m, err
		}
		for channel := range m.drawn {
			m.drawn[channel] = sums.Drawn[channel] / float64(gains[channel]) / pixels
		}
		if v.gains != nil {
			m.shown = d.album.mean(v)
		}
	}
	if v.poses {
		pose, err := d.engine.PoseGradient()
		if err != nil {
			return m, err
		}
		m.pose = []raster.Pose[float32]{pose}
	}
	return m, nil
}

// hear waits for the losses of all steps. It returns the sums of the last.
func (d *device) hear() (last gpu.Losses, err error) {
	sums, err := d.engine.Losses()
	if err != nil {
		return last, err
	}
	for i := range sums {
		last = sums[i]
		d.known = append(d.known, d.compared[i].loss(&last))
	}
	d.compared, d.heard = d.compared[:0], true
	return last, nil
}

func (d *device) losses(all bool) ([]float64, error) {
	if all && len(d.compared) > 0 {
		if _, err := d.hear(); err != nil {
			return nil, err
		}
	}
	known := d.known
	d.known = nil
	return known, nil
}
