package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Quality is a comparison with images at full resolution: renders clamped and rounded to 8 bits, PSNR over all channels
// of an image, SSIM over all its windows, means over images. Pixels that a mask hides count for neither, and images that
// are hidden whole are left out.
type Quality struct {
	PSNR float64 `json:"psnr_db"`
	// ColorFitPSNR allows each channel of each image a gain and an offset of its own: what remains when the camera's
	// exposure and white balance are forgiven.
	ColorFitPSNR float64       `json:"color_fit_psnr_db"`
	SSIM         float64       `json:"ssim"`
	Views        []ViewQuality `json:"views"`
	Width        int           `json:"width"` // of most of the images
	Height       int           `json:"height"`
}

// ViewQuality is one image's share.
type ViewQuality struct {
	Name         string  `json:"name"`
	PSNR         float64 `json:"psnr_db"`
	ColorFitPSNR float64 `json:"color_fit_psnr_db"`
	SSIM         float64 `json:"ssim"`
}

// maxPSNR stands for identical images, whose PSNR is infinite.
const maxPSNR = 99.0

// Evaluate compares a cloud with views that it was not trained on. It works for any cloud and any dataset.
func Evaluate(cloud *splat.Cloud, views []*View, cfg *Config) (*Quality, error) {
	return EvaluateWatched(cloud, views, cfg, func() error { return nil })
}

// EvaluateWatched is Evaluate, which calls watch before each view and ends with its error.
func EvaluateWatched(cloud *splat.Cloud, views []*View, cfg *Config, watch func() error) (*Quality, error) {
	e := newEngine(cfg)
	paint := e.paint(raster.Pack(cloud))
	return evaluate(e.loss, func(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
		if err := watch(); err != nil {
			return nil, err
		}
		return paint(cam, background)
	}, views, cfg)
}

// painter draws a model through a camera before a background. The frame lasts until its next call.
type painter func(cam *raster.Camera, background [3]float32) (*raster.Frame, error)

// paint draws with all that the parameters have.
func (e *engine) paint(p *raster.Params) painter {
	return func(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
		return e.renderer.Forward(p, cam, raster.Options{Degree: p.Degree, Background: background}), nil
	}
}

// Worst and Best name the extremes; -1 without views.
func (q *Quality) Worst() int { return q.extreme(func(a, b float64) bool { return a < b }) }
func (q *Quality) Best() int  { return q.extreme(func(a, b float64) bool { return a > b }) }

func (q *Quality) extreme(better func(a, b float64) bool) int {
	at := -1
	for i := range q.Views {
		if at < 0 || better(q.Views[i].PSNR, q.Views[at].PSNR) {
			at = i
		}
	}
	return at
}

// engine is what draws and compares.
type engine struct {
	renderer *raster.Renderer
	loss     *photometric
	kernels  *simd.Kernels
}

func newEngine(cfg *Config) *engine {
	kernels := simd.Best().Kernels()
	return &engine{raster.NewRenderer(workers(cfg), kernels), newPhotometric(kernels, workers(cfg)), kernels}
}

func evaluate(loss *photometric, draw painter, views []*View, cfg *Config) (*Quality, error) {
	q := &Quality{}
	var truth [3]simd.Truth
	for _, v := range views {
		pic := &v.Levels[0]
		if pic.hidden() {
			continue
		}
		f, err := draw(&pic.Camera, cfg.Background)
		if err != nil {
			return nil, err
		}
		squares, fitted, counted := 0.0, 0.0, 0
		for channel := range f.Color {
			plane := f.Color[channel]
			var fit lineFit
			for i, x := range plane {
				byteValue := toByte(x)
				plane[i] = float32(byteValue) / 255
				if pic.Mask != nil && pic.Mask[i] < maskHalf {
					continue
				}
				d := float64(byteValue) - float64(pic.Pix[channel][i])
				squares += d * d
				counted++
				fit.add(float64(byteValue), float64(pic.Pix[channel][i]))
			}
			fitted += fit.residual()
		}
		psnr, fit := psnrOf(squares, counted), psnrOf(fitted, counted)
		loss.truth(pic, &truth)
		cover(f, pic)
		_, ssim := loss.measure(f, &truth, 1)
		ssim = 1 - (1-ssim)*float64(3*len(f.Color[0]))/float64(counted) // hidden pixels agree, and count for nothing
		q.Views = append(q.Views, ViewQuality{v.Name, psnr, fit, ssim})
		q.PSNR += psnr
		q.ColorFitPSNR += fit
		q.SSIM += ssim
	}
	if len(views) > 0 {
		cam := usualCamera(views)
		q.Width, q.Height = cam.Width, cam.Height
	}
	if n := float64(len(q.Views)); n > 0 {
		q.PSNR, q.ColorFitPSNR, q.SSIM = q.PSNR/n, q.ColorFitPSNR/n, q.SSIM/n
	}
	return q, nil
}

// psnrOf turns a sum of squared differences of n 8-bit values into decibels.
func psnrOf(squares float64, n int) float64 {
	mse := squares / float64(max(1, n)) / (255 * 255)
	if mse <= 0 {
		return maxPSNR
	}
	return min(maxPSNR, -10*math.Log10(mse))
}

// lineFit is the least squares line through pairs.
type lineFit struct{ n, x, y, xx, xy, yy float64 }

func (f *lineFit) add(x, y float64) {
	f.n++
	f.x += x
	f.y += y
	f.xx += x * x
	f.xy += x * y
	f.yy += y * y
}

// residual is the sum of squared differences from the line.
func (f *lineFit) residual() float64 {
	if f.n == 0 {
		return 0
	}
	vx, vy, c := f.xx-f.x*f.x/f.n, f.yy-f.y*f.y/f.n, f.xy-f.x*f.y/f.n
	if vx <= 0 {
		return max(0, vy)
	}
	return max(0, vy-c*c/vx)
}

// toByte clamps and rounds; NaN becomes 0.
func toByte(x float32) uint8 {
	if !(x > 0) {
		return 0
	}
	return uint8(min(x*255+0.5, 255))
}
