package mesh

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// A tenth of the faces is left of closed solids and of two walls, on the surface, of the same kind, none turned over; the walls keep
// their borders, and what cannot become smaller stays as it is.
func TestDecimationKeepsTheSurface(t *testing.T) {
	const size = 0.06
	for name, c := range map[string]struct {
		f      shape
		within float64 // voxels
		euler  int
	}{"sphere": {sphere, 0.3, 2}, "box": {crate, 0.7, 2}, "ring": {ring, 0.6, 0}, "two walls": {walls, 0.6, 1}} {
		m := sampled(c.f, size, 1.4).extract(2)
		few := m.decimated(len(m.Faces) / 10)
		s := few.Shape()
		if s.Faces > len(m.Faces)/10 || s.Faces < len(m.Faces)/10-1 || s.Euler != c.euler || s.Crossed > 0 || s.Degenerate > 0 || s.Unused > 0 ||
			s.Watertight != m.Shape().Watertight {
			t.Errorf("%s: of %+v is left %+v", name, m.Shape(), s)
		}
		checkSurface(t, name, few, c.f, c.within*size)
		low, high := m.bounds()
		fewLow, fewHigh := few.bounds()
		if !(length(sub(low, fewLow))+length(sub(high, fewHigh)) <= size) {
			t.Errorf("%s: %v to %v becomes %v to %v", name, low, high, fewLow, fewHigh)
		}
		least := few.decimated(0).Shape()
		if least.Faces < 2 || least.Euler != c.euler || least.Crossed > 0 {
			t.Errorf("%s: what is left at the end is %+v", name, least)
		}
	}
}

// A hole that is small enough is closed on the surface, and a larger one stays.
func TestHolesAreClosedUpToASize(t *testing.T) {
	const size = 0.06
	whole := sampled(sphere, size, 1.4).extract(1)
	for radius, closed := range map[float64]bool{0.1: true, 0.3: true, 0.8: false} {
		m := whole.kept(func(f int) bool {
			p := whole.Vertices[whole.Faces[f][0]]
			return math.Hypot(p[0], p[1]) > radius || p[2] < 0
		})
		m.untouched()
		m = m.trimmed().large(0.5)
		if s := m.Shape(); s.Watertight {
			t.Fatalf("radius %g: nothing was cut out", radius)
		}
		n := m.closeHoles(2 * math.Pi * 0.65)
		s := m.Shape()
		if (n == 1) != closed || s.Watertight != closed || s.Crossed > 0 {
			t.Errorf("radius %g: %d closed, %+v", radius, n, s)
		}
		checkSurface(t, fmt.Sprint("a hole of ", radius), m, sphere, max(0.1*size, 1-math.Sqrt(1-radius*radius)+size))
	}
}

// Two pieces that touch at a vertex are taken apart, and the small one goes.
func TestPiecesThatTouchAreTwo(t *testing.T) {
	ball := sampled(sphere, 0.1, 1.4).extract(1)
	tip := ball.Vertices[0]
	touching := &Mesh{Vertices: ball.Vertices, Faces: append([][3]int32{}, ball.Faces...)}
	n := int32(len(touching.Vertices))
	touching.Vertices = append(touching.Vertices, add(tip, vec{0.1, 0, 3}), add(tip, vec{-0.1, 0.1, 3}), add(tip, vec{0, -0.1, 3}))
	for _, f := range [][3]int32{{0, n, n + 1}, {0, n + 1, n + 2}, {0, n + 2, n}, {n, n + 2, n + 1}} {
		touching.Faces = append(touching.Faces, f)
	}
	touching.untouched()
	if _, areas := touching.pieces(); len(areas) != 2 || len(touching.Vertices) != int(n)+4 {
		t.Fatalf("%d pieces, %d vertices of %d", len(areas), len(touching.Vertices), n+4)
	}
	if s := touching.large(0.5).Shape(); s != ball.Shape() {
		t.Errorf("%+v is left, not %+v", s, ball.Shape())
	}
}

// A face that lies on its neighbour goes, and what is left stays a mesh; a hole whose only patch would lie on the faces around it stays open.
func TestNothingIsFoldedOver(t *testing.T) {
	m := sampled(sphere, 0.1, 1.4).extract(1)
	f := m.Faces[len(m.Faces)/2]
	m.Vertices[f[0]] = add(scaled(sub(m.Vertices[f[1]], m.Vertices[f[0]]), 3), m.Vertices[f[0]]) // far beyond the next vertex
	if m.folded() == 0 {
		t.Fatal("nothing is folded over")
	}
	flat := m.unfolded()
	if n, s := flat.folded(), flat.Shape(); n > 0 || s.Crossed > 0 || s.Faces < len(m.Faces)-12 {
		t.Errorf("%d edges are folded over, %+v", n, s)
	}
	fold := &Mesh{Vertices: []vec{{0, 0, 0}, {1, 0, 0}, {0.5, 1, 0}}, Faces: [][3]int32{{0, 1, 2}}}
	if n := fold.closeHoles(10); n != 0 {
		t.Error("a single face got a back")
	}
}

// The memory bounds the blocks: smaller voxels are refused, and Build takes larger ones.
func TestMemoryIsBounded(t *testing.T) {
	views := seen(sphere, 8)
	all, err := near(views, 0.05, 3, boxOf(nil), 1<<16, 2)
	if err != nil || len(all) < 100 {
		t.Fatalf("%d blocks, %v", len(all), err)
	}
	if _, err := near(views, 0.05, 3, boxOf(nil), len(all)-1, 2); !errors.Is(err, errTooFine) {
		t.Errorf("%d blocks where %d are allowed: %v", len(all), len(all)-1, err)
	}
	if few, err := near(views, 0.05, 3, &box{vec{-2, -2, 0}, vec{2, 2, 2}}, 1<<16, 2); err != nil || len(few) > len(all)*2/3 {
		t.Errorf("%d of %d blocks are in the upper half, %v", len(few), len(all), err)
	}
	cloud, data := ballOfDiscs(10)
	out, err := Build(cloud, data, Options{VoxelSize: 0.001, MemoryBytes: 1000 * blockBytes, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !(out.Report.VoxelSize > 0.02) {
		t.Errorf("voxels of %g in 1000 blocks", out.Report.VoxelSize)
	}
}

// paintOf is the colour of a place: stripes and a gradient, no two directions alike.
func paintOf(p vec) (c [3]float64) {
	return [3]float64{0.5 + 0.35*math.Sin(7*p[0]), 0.5 + 0.4*p[1], 0.5 + 0.3*math.Sin(5*p[2]+2*p[0])}
}

// ballOfDiscs is a sphere of radius 1 as opaque discs in the colours of paintOf, and pictures of it whose brightness differs.
func ballOfDiscs(views int) (*splat.Cloud, *trainer.Dataset) {
	const n = 6000
	cloud := splat.New(n, 0, splat.Classic)
	data := &trainer.Dataset{Extent: 3}
	for i := range n {
		z := 1 - 2*(float64(i)+0.5)/n
		turn := float64(i) * math.Pi * (3 - math.Sqrt(5))
		p := vec{math.Sqrt(1-z*z) * math.Cos(turn), math.Sqrt(1-z*z) * math.Sin(turn), z}
		quat := [4]float64{1 + p[2], -p[1], p[0], 0} // turns z to p
		c := paintOf(p)
		for k := range 3 {
			cloud.Means[3*i+k] = float32(p[k])
			cloud.LogScales[3*i+k] = float32(math.Log([3]float64{0.03, 0.03, 0.001}[k]))
			cloud.DC[3*i+k] = float32((c[k] - 0.5) / splat.C0)
		}
		for k := range 4 {
			cloud.Quats[4*i+k] = float32(quat[k])
		}
		cloud.Opacities[i] = 3
		if i%20 == 0 {
			data.Points = append(data.Points, trainer.Point{XYZ: p})
		}
	}
	r := raster.NewRenderer(1, simd.Best().Kernels())
	params := raster.Pack(cloud)
	for i, w := range seen(sphere, views) {
		cam := w.cam
		cam.Near = 0.1
		f := r.Forward(params, &cam, raster.Options{})
		v := &trainer.View{Name: fmt.Sprintf("%02d.png", i)}
		for level := range v.Levels {
			v.Levels[level].Camera = cam.Scaled(cam.Width>>level, cam.Height>>level)
		}
		gain := 1 + 0.15*math.Sin(float64(3*i))
		for channel := range 3 {
			v.Levels[0].Pix[channel] = make([]uint8, len(f.Color[0]))
			for at, x := range f.Color[channel] {
				v.Levels[0].Pix[channel][at] = uint8(min(255, max(0, 255*gain*float64(x))))
			}
		}
		for k, p := range data.Points {
			if dot(sub(cam.Center(), p.XYZ), p.XYZ) > 0.5 {
				v.Matched = append(v.Matched, int32(k))
			}
		}
		data.Train = append(data.Train, v)
	}
	return cloud, data
}

// From the splat to the textured mesh: closed, on the sphere, and painted like it from views in between, without the steps in
// brightness that the photos have; the same with any number of threads.
func TestBuildMakesATexturedMesh(t *testing.T) {
	cloud, data := ballOfDiscs(24)
	last := 0.0
	out, err := Build(cloud, data, Options{Faces: 2000, TexturePx: 1024, Threads: 2, Progress: func(step string, share float64) error {
		if !(share >= last && share <= 1) || step == "" {
			t.Errorf("progress %g after %g: %q", share, last, step)
		}
		last = share
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := out.Report
	if !r.Watertight || r.Euler != 2 || r.Faces > 2000 || r.Faces < 1990 || last != 1 || r.Collision != 500 || !out.Collision.Shape().Watertight ||
		!(math.Abs(r.Area/(4*math.Pi)-1) < 0.02) || !(r.Seen > 0.99) || r.Depth.Views != 24 || !(r.Depth.Points < 0.01) || !(r.Depth.Agree > 0.9) {
		t.Errorf("%+v", r)
	}
	checkSurface(t, "ball", out.Mesh, sphere, 0.02)

	cam := lookFrom(sphere, vec{1.5, -2, 1.6}, 128).cam
	img := out.paint(cam, false)
	w := &view{cam: cam}
	squares, n := 0.0, 0
	for y := range 128 {
		for x := range 128 {
			at, hit := sphereAt(w, x, y)
			if !hit {
				continue
			}
			want := paintOf(at)
			for channel := range 3 {
				d := float64(img.Pix[img.PixOffset(x, y)+channel])/255 - want[channel]
				squares += d * d
				n++
			}
		}
	}
	if psnr := -10 * math.Log10(squares/float64(n)); !(psnr > 22) || n < 3000 {
		t.Errorf("%d values of the painted mesh are %.1f dB off the sphere", n, psnr)
	}
	one, err := Build(cloud, data, Options{Faces: 2000, TexturePx: 1024, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(one.Faces, one.Vertices, one.UV) != fmt.Sprint(out.Faces, out.Vertices, out.UV) || string(one.Texture.Pix) != string(out.Texture.Pix) {
		t.Error("one thread makes another mesh than two")
	}
}

// sphereAt is where the ray of a pixel meets the unit sphere, but for its rim.
func sphereAt(w *view, x, y int) (p vec, hit bool) {
	eye := w.cam.Center()
	d := sub(w.world(x, y, 1), eye)
	d = scaled(d, 1/length(d))
	middle := -dot(eye, d)
	gap := 1 - (dot(eye, eye) - middle*middle)
	if gap < 0.1 {
		return p, false
	}
	return add(eye, scaled(d, middle-math.Sqrt(gap))), true
}

// What has no surface is an error, whatever is wrong with it; a canceled build ends with the cause.
func TestGarbageIsAnError(t *testing.T) {
	cloud, data := ballOfDiscs(6)
	fog := cloud.Clone()
	nan := cloud.Clone()
	for i := range fog.Opacities {
		fog.Opacities[i] = -6
		nan.Means[3*i], nan.LogScales[3*i] = float32(math.NaN()), float32(math.Inf(1))
	}
	moved := *data
	moved.Points = append([]trainer.Point{}, data.Points...)
	for i := range moved.Points {
		for k := range 3 {
			moved.Points[i].XYZ[k] *= 0.3
		}
	}
	for name, c := range map[string]struct {
		cloud *splat.Cloud
		data  *trainer.Dataset
	}{
		"fog": {fog, data}, "not a number": {nan, data}, "empty": {splat.New(0, 0, splat.Classic), data},
		"no views": {cloud, &trainer.Dataset{Extent: 1}}, "one view": {cloud, &trainer.Dataset{Extent: 3, Points: data.Points, Train: data.Train[:1]}},
		"points elsewhere": {cloud, &moved},
	} {
		if out, err := Build(c.cloud, c.data, Options{Threads: 2}); err == nil {
			t.Errorf("%s: %+v", name, out.Report)
		}
	}
	stop := errors.New("stop")
	if _, err := Build(cloud, data, Options{Progress: func(string, float64) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// Noise of half a voxel on a sphere becomes less than half of it, and the sphere keeps its size; a border stays where it is.
func TestSmoothingTakesTheNoise(t *testing.T) {
	const size = 0.05
	rng := rand.New(rand.NewPCG(5, 6))
	m := sampled(sphere, size, 1.4).extract(1)
	for i, p := range m.Vertices {
		m.Vertices[i] = scaled(p, 1+0.5*size*(rng.Float64()-0.5))
	}
	off := func() (mean, square float64) {
		for _, p := range m.Vertices {
			mean += sphere(p) / float64(len(m.Vertices))
			square += sphere(p) * sphere(p) / float64(len(m.Vertices))
		}
		return mean, math.Sqrt(square)
	}
	_, before := off()
	m.smooth(2)
	if mean, after := off(); !(after < before/2) || !(math.Abs(mean) < 0.02*size) {
		t.Errorf("%.4f voxels off before, %.4f after, %.4f on average", before/size, after/size, mean/size)
	}
	open := sampled(walls, size, 1).extract(1)
	was := slices.Clone(open.Vertices)
	open.smooth(1)
	still := 0
	for i, p := range open.Vertices {
		if p == was[i] {
			still++
		}
	}
	if still < open.Shape().Open {
		t.Errorf("%d vertices stay, the border has %d", still, open.Shape().Open)
	}
	checkSurface(t, "two smooth walls", open, walls, 0.8*size)
}
