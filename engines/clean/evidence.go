package clean

import (
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// mostPixels of all training images together are compared at half their size; more at a quarter of it, which takes a quarter of the
// time and sees all but the smallest Gaussians as well.
const mostPixels = 2_000_000

// levelOf is the level of the images' pyramid at which evidence is gathered.
func levelOf(data *trainer.Dataset) int {
	pixels := 0
	for _, v := range data.Train {
		pixels += len(v.Levels[1].Pix[0])
	}
	if pixels > mostPixels {
		return 2
	}
	return 1
}

// filled is the least weight, in pixels of the level, with which a Gaussian counts as seen by an image.
const filled = 0.5

// evidence is what all training images together say about each Gaussian.
type evidence struct {
	raster.Evidence
	views int // images that see it
}

// gather draws the cloud at every training view and compares. About as long as a pass of training over the images.
// each is called before each of them and ends it with its error.
func gather(c *splat.Cloud, data *trainer.Dataset, cfg *trainer.Config, each func() error) ([]evidence, error) {
	params := raster.Pack(c)
	renderer := raster.NewRenderer(cfg.Threads, simd.Best().Kernels())
	level := levelOf(data)
	all, one := make([]evidence, c.Len()), make([]raster.Evidence, c.Len())
	for _, v := range data.Train {
		if err := each(); err != nil {
			return nil, err
		}
		pic := &v.Levels[level]
		f := renderer.Forward(params, &pic.Camera, raster.Options{Degree: c.Degree, Background: cfg.Background})
		clear(one)
		renderer.Evidence(imageOf(pic, f, cfg.Exposure), pic.Mask, one)
		for i, e := range one {
			all[i].Add(e)
			if e.Weight >= filled {
				all[i].views++
			}
		}
	}
	return all, nil
}

// imageOf is a picture in the frame's scale. Where exposure was compensated in training, its channels are brought to the means
// of the frame's, as training does.
func imageOf(pic *trainer.Picture, f *raster.Frame, exposure bool) *[3][]float32 {
	var image [3][]float32
	for channel, plane := range pic.Pix {
		image[channel] = make([]float32, len(plane))
		drawn, is := 0.0, 0.0
		for i, v := range plane {
			drawn += float64(f.Color[channel][i])
			is += float64(v) / 255
		}
		gain := float32(1)
		if exposure && drawn > 0 && is > 0 {
			gain = float32(drawn / is)
		}
		for i, v := range plane {
			image[channel][i] = gain * float32(v) / 255
		}
	}
	return &image
}

// space is what was captured, in world units.
type space struct {
	low, high [3]float64 // a box around the cameras and nearly all sparse points
	extent    float64    // typical depth of the scene
	eyes      [][3]float64
	near      []float64 // for each eye, the depth before which hardly any point that it matched lies
}

// margin of the box, in its sides.
const margin = 0.1

func spaceOf(data *trainer.Dataset) *space {
	s := &space{extent: data.Extent}
	var axes [3][]float64
	for _, p := range data.Points {
		for k := range 3 {
			axes[k] = append(axes[k], p.XYZ[k])
		}
	}
	for k := range 3 {
		slices.Sort(axes[k])
		n := len(axes[k])
		s.low[k], s.high[k] = math.Inf(1), math.Inf(-1)
		if n > 0 { // all but a hundredth at either end: the most inaccurate points are the farthest
			s.low[k], s.high[k] = axes[k][n/100], axes[k][n-1-n/100]
		}
	}
	for _, v := range data.Train {
		eye := v.Levels[0].Camera.Center()
		var depths []float64
		for _, at := range v.Matched {
			depths = append(depths, distance(eye, data.Points[at].XYZ))
		}
		near := 0.1 * data.Extent
		if slices.Sort(depths); len(depths) > 0 {
			near = depths[len(depths)/50] / 2
		}
		s.eyes, s.near = append(s.eyes, eye), append(s.near, near)
		for k := range 3 {
			s.low[k], s.high[k] = min(s.low[k], eye[k]), max(s.high[k], eye[k])
		}
	}
	for k := range 3 {
		pad := margin * (s.high[k] - s.low[k])
		s.low[k], s.high[k] = s.low[k]-pad, s.high[k]+pad
	}
	return s
}

// outside is true beyond the box.
func (s *space) outside(p [3]float64) bool {
	for k := range 3 {
		if !(p[k] >= s.low[k] && p[k] <= s.high[k]) {
			return true
		}
	}
	return false
}

// beforeCamera is true nearer to a camera than anything that was matched from there.
func (s *space) beforeCamera(p [3]float64) bool {
	for i, eye := range s.eyes {
		if distance(eye, p) < s.near[i] {
			return true
		}
	}
	return false
}

func distance(a, b [3]float64) float64 {
	return math.Hypot(a[0]-b[0], math.Hypot(a[1]-b[1], a[2]-b[2]))
}
