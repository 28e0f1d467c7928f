package cards

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Picture is what a card is checked with.
type Picture struct{ Gaussians, Width, Height int }

// Check is how a card and the processor drew the same picture.
type Check struct {
	Card        string  `json:"card"`
	Gaussians   int     `json:"gaussians"` // in sight
	Width       int     `json:"width"`
	Height      int     `json:"height"`
	OpenMS      float64 `json:"open_ms"` // until the driver had compiled the kernels
	FirstMS     float64 `json:"first_ms"`
	CardMS      float64 `json:"card_ms"`
	ProcessorMS float64 `json:"processor_ms"`
	ImageRMS    float64 `json:"image_rms"` // of the difference of colours, which are 0 to 1
}

// mostRMS is far above what approximate units and pairs at the edge of visibility make of a picture (1e-5), and far below a
// mistake.
const mostRMS = 1e-4

// Agrees says whether the card drew what the processor did. A value that is not a number does not.
func (c Check) Agrees() bool { return c.Gaussians > 0 && c.ImageRMS <= mostRMS }

// CheckCard opens a card with open and has it draw a picture, as the processor does: projection, sorts and blending. clock is the
// time since any fixed instant.
func CheckCard(open func() (gpu.Device, error), p Picture, clock func() time.Duration) (c Check, err error) {
	started := clock()
	d, err := open()
	if err != nil {
		return c, err
	}
	defer func() {
		if closed := d.Close(); err == nil {
			err = closed
		}
	}()
	since := func(from time.Duration) float64 { return float64(clock()-from) / float64(time.Millisecond) }
	c = Check{Card: d.Name(), Width: p.Width, Height: p.Height, OpenMS: since(started)}
	cloud, camera := p.scene()
	background := [3]float32{0.2, 0.5, 1}

	engine, model := gpu.NewEngine(d), gpu.Model{}
	defer engine.Free(&model)
	if err := engine.Show(&model, cloud); err != nil {
		return c, fmt.Errorf("%s: %w", d.Name(), err)
	}
	var drawn raster.Frame
	for _, took := range []*float64{&c.FirstMS, &c.CardMS} {
		from := clock()
		seen, err := engine.Forward(&model, camera, gpu.Options{Degree: cloud.Degree, Background: background})
		if err == nil {
			err = engine.Read(&drawn)
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", d.Name(), err)
		}
		*took, c.Gaussians = since(from), seen.Visible
	}

	renderer := raster.NewRenderer(0, simd.Best().Kernels())
	renderer.Forward(cloud, camera, raster.Options{Degree: cloud.Degree, Background: background}) // its memory is new to it, too
	from := clock()
	wanted := renderer.Forward(cloud, camera, raster.Options{Degree: cloud.Degree, Background: background})
	c.ProcessorMS = since(from)
	c.ImageRMS = rms(&drawn.Color, &wanted.Color)
	return c, nil
}

// scene is a ball of Gaussians of about two pixels, with colours that change with the direction, before a camera at its edge.
func (p Picture) scene() (*raster.Params, *raster.Camera) {
	rng := rand.New(rand.NewPCG(1, 2))
	cloud := raster.NewParams(p.Gaussians, splat.MaxDegree, splat.Mip)
	for i := range p.Gaussians {
		for row := range cloud.Rows() {
			v := rng.NormFloat64()
			switch {
			case row < simd.RowScale:
				v *= 0.6
			case row < simd.RowRotation:
				v = math.Log(6/float64(p.Width)) + 0.5*v
			case row >= simd.RowDC:
				v *= 0.3
			}
			*cloud.At(i, row) = float32(v)
		}
	}
	focal := float64(p.Width)
	return cloud, &raster.Camera{
		R: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, T: [3]float64{0, 0, 3},
		Fx: focal, Fy: focal, Cx: focal / 2, Cy: float64(p.Height) / 2, Width: p.Width, Height: p.Height, Near: 0.5,
	}
}

// rms is the root of the mean square of the difference of two pictures of one size.
func rms(a, b *[3][]float32) float64 {
	sum, n := 0.0, 0
	for channel := range a {
		for i, v := range a[channel] {
			d := float64(v) - float64(b[channel][i])
			sum += d * d
		}
		n += len(a[channel])
	}
	return math.Sqrt(sum / float64(n))
}
