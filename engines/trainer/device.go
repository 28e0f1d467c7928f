package trainer

import (
	"fmt"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
)

// device is a graphics card as a machine: the model, its moments and statistics stay there between put and get, and pictures
// are copied to it at their first visit.
type device struct {
	engine *gpu.Engine
	model  gpu.Model
	host   *gaussians
	same   bool // host is what the card has; its size always is

	level int             // of the pyramid, in the last visit
	kept  map[int]*onCard // by image, of that level
	spare onCard          // for pictures that are not kept
	room  int64           // bytes for those that are
	used  int64
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

// onCard is a picture in the card's memory.
type onCard struct {
	image gpu.Image
	prior gpu.Prior
	shown [3]float64 // mean of each channel
}

func newDevice(d gpu.Device, cfg *Config, data *Dataset) *device {
	return &device{engine: gpu.NewEngine(d), level: -1, kept: map[int]*onCard{}, room: roomOnCard(d.Memory(), cfg, data)}
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
	d.forget()
	d.spare.free()
	d.engine.Free(&d.model)
}

func (d *device) draw(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
	if _, err := d.engine.Forward(&d.model, cam, gpu.Options{Degree: d.model.Degree, Background: background}); err != nil {
		return nil, err
	}
	return &d.frame, d.engine.Read(&d.frame)
}

func (d *device) step(v *visit) (m measured, err error) {
	d.same = false
	pic, err := d.upload(v)
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
		m.shown = pic.shown
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

// upload makes sure that the visit's picture is on the card. Those of the level that are visited first stay there while
// there is room; keeping them serves more visits than keeping the latest, as every epoch visits each once.
func (d *device) upload(v *visit) (*onCard, error) {
	if v.level != d.level {
		d.forget()
		d.level = v.level
	}
	if pic := d.kept[v.image]; pic != nil {
		return pic, nil
	}
	pic, p := &d.spare, v.picture
	size := int64(3*len(p.Pix[0]) + len(p.solid()))
	if v.prior != nil {
		size += 4 * int64(len(v.prior.inverseDepth))
	}
	if keep := !v.once && d.used+size <= d.room; keep {
		pic = &onCard{}
		d.kept[v.image] = pic
		d.used += size
	}
	if err := d.engine.Upload(&pic.image, &p.Pix, p.Mask, p.Alpha, p.Camera.Width, p.Camera.Height); err != nil {
		return nil, fmt.Errorf("image %d: %w", v.image, err)
	}
	if v.prior != nil {
		cam := &v.prior.Camera
		if err := d.engine.UploadPrior(&pic.prior, v.prior.inverseDepth, cam.Width, cam.Height); err != nil {
			return nil, fmt.Errorf("inverse depth of image %d: %w", v.image, err)
		}
	}
	for channel, plane := range p.Pix {
		sum := 0
		for _, b := range plane {
			sum += int(b)
		}
		pic.shown[channel] = float64(sum) / float64(len(plane)) / 255
	}
	return pic, nil
}

// forget frees the pictures that are kept.
func (d *device) forget() {
	for _, pic := range d.kept {
		pic.free()
	}
	clear(d.kept)
	d.used = 0
}

func (o *onCard) free() {
	o.image.Free()
	o.prior.Free()
}
