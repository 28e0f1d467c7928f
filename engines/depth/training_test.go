package depth_test

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// sparseCapture is what a careless photographer brings home: eight pictures with 23 degrees between them, and eight more
// in the gaps that only judge. Its sparse points are as inaccurate as half a pixel makes them, one in thirty is wrong.
type sparseCapture struct {
	*sample.Capture
	frames []int // of the capture, by image; even ones are held out
	model  *scene.Reconstruction
}

const (
	sparseWidth, sparseHeight = 320, 180
	sparseImages              = 16
)

func newSparseCapture(t *testing.T) *sparseCapture {
	t.Helper()
	c, err := sample.New(sample.Options{Seed: 4, Frames: 60, Width: sparseWidth, Height: sparseHeight})
	if err != nil {
		t.Fatal(err)
	}
	s := &sparseCapture{Capture: c}
	for i := range sparseImages {
		s.frames = append(s.frames, 2*i)
	}
	s.model = s.reconstruction()
	return s
}

// reconstruction is the truth of the chosen frames as structure from motion over the training images would find it.
func (s *sparseCapture) reconstruction() *scene.Reconstruction {
	full := s.Reconstruction()
	r := &scene.Reconstruction{Cameras: full.Cameras}
	for i, frame := range s.frames {
		im := full.Images[frame]
		im.ImageID, im.Points2D = uint32(i+1), nil
		r.Images = append(r.Images, im)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for _, p := range full.Points3D {
		if p.Point3DID%4 != 0 {
			continue
		}
		p.Point3DID = uint64(len(r.Points3D) + 1)
		var seen []scene.TrackElement
		for _, e := range p.Track {
			if i := slices.Index(s.frames, int(e.ImageID)-1); i >= 0 && i%2 == 1 {
				seen = append(seen, scene.TrackElement{ImageID: uint32(i + 1), Point2DIdx: e.Point2DIdx})
			}
		}
		if len(seen) < 2 {
			continue
		}
		p.Track = nil
		for _, e := range seen {
			im := &r.Images[e.ImageID-1]
			at := full.Images[s.frames[e.ImageID-1]].Points2D[e.Point2DIdx]
			p.Track = append(p.Track, scene.TrackElement{ImageID: e.ImageID, Point2DIdx: uint32(len(im.Points2D))})
			im.Points2D = append(im.Points2D, scene.Point2D{X: at.X + 0.3*rng.NormFloat64(), Y: at.Y + 0.3*rng.NormFloat64(), Point3DID: p.Point3DID})
		}
		p.Error = 0.3 + 0.3*rng.Float64()
		noise := 0.01
		if rng.IntN(30) == 0 {
			noise, p.Error = 0.5, 1+rng.Float64()
		}
		for k := range 3 {
			p.XYZ[k] += noise * rng.NormFloat64()
		}
		r.Points3D = append(r.Points3D, p)
	}
	return r
}

// picture of an image in its own colours: what training sees.
func (s *sparseCapture) picture(i int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, sparseWidth, sparseHeight))
	for at, rgb := range slices.Collect(slices.Chunk(s.Frame(s.frames[i]), 3)) {
		img.SetNRGBA(at%sparseWidth, at/sparseWidth, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
	}
	return img
}

// exact is what a perfect model makes of an image: its inverse depth up to a scale and a shift of the image's own, with
// no more detail than 8 bits of a colour channel carry.
func (s *sparseCapture) exact(i int) *depth.Map {
	m := &depth.Map{Width: sparseWidth, Height: sparseHeight}
	for _, d := range s.InverseDepth(s.frames[i]) {
		m.Values = append(m.Values, float32(5+i)*float32(math.Round(min(1, float64(d))*255)/255)+float32(i))
	}
	return m
}

// dataset is the training data with images on disk.
func (s *sparseCapture) dataset(t *testing.T, cfg *trainer.Config) *trainer.Dataset {
	t.Helper()
	dir := t.TempDir()
	for i := range s.frames {
		f, err := os.Create(filepath.Join(dir, s.model.Images[i].Name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, s.picture(i)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := trainer.FromModel(s.model, dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// depthErrors is the median and the mean, over the pixels of the held-out views, of |z/z_true − 1|, at most 1 each.
func (s *sparseCapture) depthErrors(cloud *splat.Cloud, views []*trainer.View) (middle, mean float64) {
	renderer := raster.NewRenderer(0, simd.Best().Kernels())
	params := raster.Pack(cloud)
	var off []float64
	for i, v := range views {
		f := renderer.Forward(params, &v.Levels[0].Camera, raster.Options{Depth: true, Transmittance: true})
		for at, truth := range s.InverseDepth(s.frames[2*i]) {
			drawn := f.InverseDepth[at] / max(1-f.Transmittance[at], 1e-3)
			e := 1.0
			if drawn > 0 && truth > 0 {
				e = min(1, math.Abs(float64(truth/drawn)-1))
			}
			off = append(off, e)
			mean += e
		}
	}
	slices.Sort(off)
	return off[len(off)/2], mean / float64(len(off))
}

// With exact maps: what the alignment leaves of the error, and what training makes of it, beside a training without that
// gets the same number of iterations.
func TestDepthIsWorthItsCost(t *testing.T) {
	if testing.Short() {
		t.Skip("two trainings")
	}
	s := newSparseCapture(t)
	cfg, err := trainer.Defaults(trainer.Standard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Iterations, cfg.MaxGaussians, cfg.HoldOut, cfg.CheckpointEvery = 1000, 15000, 2, 0
	var psnr, middle, mean [2]float64
	for with := range 2 {
		data := s.dataset(t, &cfg)
		if with == 1 {
			off := s.attach(t, data)
			t.Logf("%d sparse points; after alignment the median relative depth error is %.2f %%", len(s.model.Points3D), 100*off)
			if !(off < 0.01) {
				t.Errorf("after alignment the median relative depth error is %.2f %%, want under 1 %%", 100*off)
			}
		}
		began, clock := processorTime(t), time.Duration(0)
		res, err := trainer.Train(t.Context(), cfg, data, nil, trainer.Hooks{Clock: func() time.Duration { clock += time.Millisecond; return clock }})
		if err != nil {
			t.Fatal(err)
		}
		spent := processorTime(t) - began
		psnr[with] = res.Held.PSNR
		middle[with], mean[with] = s.depthErrors(res.Cloud, data.Test)
		t.Logf("%s: %d training views, held-out PSNR %.2f dB, SSIM %.3f, rendered depth off by %.1f %% median, %.1f %% mean; %d Gaussians, %.1f CPU s",
			[2]string{"without depth", "with depth   "}[with], len(data.Train), res.Held.PSNR, res.Held.SSIM, 100*middle[with], 100*mean[with], res.Cloud.Len(), spent.Seconds())
	}
	if !(psnr[1] >= psnr[0]+1) {
		t.Errorf("held-out PSNR %.2f dB with depth, %.2f dB without: want 1 dB more", psnr[1], psnr[0])
	}
	if !(middle[1] <= middle[0]/2) || !(mean[1] <= mean[0]/2) {
		t.Errorf("rendered depth off by %.3f median and %.3f mean with depth, %.3f and %.3f without: want half", middle[1], mean[1], middle[0], mean[0])
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// attach aligns the exact maps and gives them to the training, by way of the files that the depth stage writes. It
// returns the median relative depth error of all.
func (s *sparseCapture) attach(t *testing.T, data *trainer.Dataset) float64 {
	t.Helper()
	dir := t.TempDir()
	var off []float64
	for i := 1; i < sparseImages; i += 2 {
		m, im := s.exact(i), &s.model.Images[i]
		a := depth.Align(s.model, im, m, depth.InverseDepth)
		if !a.OK() {
			t.Fatalf("image %d: %+v", i, a)
		}
		aligned := a.Apply(m, depth.InverseDepth)
		params, err := depth.WriteMap(dir, im.Name, &aligned)
		if err != nil {
			t.Fatal(err)
		}
		back, err := depth.ReadMap(dir, im.Name, params)
		if err != nil {
			t.Fatal(err)
		}
		for at, truth := range s.InverseDepth(s.frames[i]) {
			if e := math.Abs(float64(truth/back.Values[at]) - 1); truth > 0 {
				if math.IsNaN(e) {
					e = 1 // nothing known
				}
				off = append(off, e)
			}
		}
		if err := data.AttachInverseDepth(im.Name, back.Width, back.Height, back.Values); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(off)
	return off[len(off)/2]
}
