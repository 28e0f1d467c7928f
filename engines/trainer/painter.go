package trainer

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// Painter draws one cloud many times.
type Painter struct {
	engine     *engine
	params     *raster.Params
	draw       painter
	background [3]float32
	err        error // the first of a device
}

// NewPainter prepares a cloud for drawing.
func NewPainter(cloud *splat.Cloud, cfg *Config) *Painter {
	p := &Painter{engine: newEngine(cfg), params: raster.Pack(cloud), background: cfg.Background}
	p.draw = p.engine.paint(p.params)
	return p
}

// Paint draws the cloud through a camera as an opaque image. Where a device fails it is black, and Err says why.
func (p *Painter) Paint(cam *raster.Camera) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, cam.Width, cam.Height))
	f := p.frame(cam)
	for i := range cam.Width * cam.Height {
		at := 4 * i
		for channel, plane := range f.Color {
			img.Pix[at+channel] = toByte(plane[i])
		}
		img.Pix[at+3] = 255
	}
	return img
}

// frame lasts until the next one is drawn.
func (p *Painter) frame(cam *raster.Camera) *raster.Frame {
	f, err := p.draw(cam, p.background)
	if err != nil {
		p.err = cmp.Or(p.err, err)
		black := make([]float32, cam.Width*cam.Height)
		return &raster.Frame{Width: cam.Width, Height: cam.Height, Color: [3][]float32{black, black, black}}
	}
	return f
}

// Err is what happened to the device; nil for the processor.
func (p *Painter) Err() error { return p.err }

// Evaluate compares what the painter draws with views, as Evaluate does.
func (p *Painter) Evaluate(views []*View, cfg *Config) (*Quality, error) {
	q, err := evaluate(p.engine.loss, p.draw, views, cfg)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return q, nil
}

// Drawing is how a device and the processor drew the same view.
type Drawing struct {
	Device, Processor time.Duration // the second time each
	Apart             float64       // root mean square of the difference of colours, which are 0 to 1
}

// mostApart is far above what approximate units and pairs at the edge of visibility make of a picture (1e-5), and far below a
// mistake.
const mostApart = 1e-4

// Agrees says whether the device drew what the processor did. A value that is not a number does not.
func (d Drawing) Agrees() bool { return d.Apart <= mostApart }

// Use has a device draw from now on, which the caller closes after the painter's last use, and compares it with the processor through a
// camera.
func (p *Painter) Use(d gpu.Device, cam *raster.Camera, clock func() time.Duration) (Drawing, error) {
	own := p.draw
	e, model := gpu.NewEngine(d), &gpu.Model{}
	if err := e.Show(model, p.params); err != nil {
		return Drawing{}, fmt.Errorf("draw on %s: %w", d.Name(), err)
	}
	var seen raster.Frame
	p.draw = func(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
		return drawOn(e, model, cam, background, &seen)
	}
	timed := func(draw painter) (f *raster.Frame, took time.Duration, err error) {
		for range 2 { // the first makes room
			started := clock()
			if f, err = draw(cam, p.background); err != nil {
				return nil, 0, fmt.Errorf("draw on %s: %w", d.Name(), err)
			}
			took = clock() - started
		}
		return f, took, nil
	}
	var result Drawing
	wanted, took, err := timed(own)
	if err != nil {
		return result, err
	}
	result.Processor = took
	got, took, err := timed(p.draw)
	if err != nil {
		return result, err
	}
	result.Device = took
	squares := 0.0
	for channel, plane := range wanted.Color {
		for i, v := range plane {
			off := float64(got.Color[channel][i]) - float64(v)
			squares += off * off
		}
	}
	result.Apart = math.Sqrt(squares / float64(3*cam.Width*cam.Height))
	return result, nil
}

// Release has the processor draw again.
func (p *Painter) Release() { p.draw = p.engine.paint(p.params) }
