package gpu_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// idle is a device that does nothing at once. A reader of two words learns that four Gaussians in ten are seen, four times each.
type idle struct {
	gpu.Device
	launches int
	packed   []byte
}

type idleBuffer struct{}

func (idleBuffer) Write(int, []byte) error          { return nil }
func (idleBuffer) WriteAhead(parts ...[]byte) error { return nil }
func (idleBuffer) Free()                            {}

func (idleBuffer) Read(_ int, data []byte) error {
	if len(data) == 8 {
		binary.LittleEndian.PutUint32(data, 4*idleGaussians/10)
		binary.LittleEndian.PutUint32(data[4:], 16*idleGaussians/10)
	}
	return nil
}

const idleGaussians = 100_000

func (d *idle) Alloc(int) (gpu.Buffer, error) { return idleBuffer{}, nil }

func (d *idle) Launch(_ gpu.Kernel, groups int, args ...any) (err error) {
	if groups > 0 {
		d.launches++
		d.packed, err = gpu.Pack(d.packed, args, func(gpu.Buffer) (uint64, error) { return 0, nil })
	}
	return err
}

// idleIteration returns an iteration on a megapixel that costs the host alone: what it works out and packs for each launch.
func idleIteration(tb testing.TB, d *idle) func() {
	e := gpu.NewEngine(d)
	p := raster.NewParams(idleGaussians, splat.MaxDegree, splat.Mip)
	stats := gpu.Statistics{Pulls: make([]float32, p.Len()), Views: make([]uint32, p.Len()), Extents: make([]float32, p.Len())}
	cam := raster.Camera{R: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, Fx: 1000, Fy: 1000, Cx: 672, Cy: 378, Width: 1344, Height: 756, Near: 0.5}
	var model gpu.Model
	var img gpu.Image
	plane := make([]uint8, cam.Width*cam.Height)
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(e.Put(&model, p, p, p, &stats))
	check(e.Upload(&img, &[3][]uint8{plane, plane, plane}, nil, nil, cam.Width, cam.Height))
	rates := make([]float32, p.Rows())
	return func() {
		_, err := e.Forward(&model, &cam, gpu.Options{Degree: splat.MaxDegree})
		check(err)
		check(e.Compare(&img, [3]float32{1, 1, 1}, 0.2))
		check(e.Update(&model, rates))
		_, err = e.Losses()
		check(err)
	}
}

// An iteration is so few launches that a graph of them would save little: docs/gpu.md has the reckoning.
func TestLaunchesOfAnIteration(t *testing.T) {
	d := &idle{}
	idleIteration(t, d)()
	if d.launches < 40 || d.launches > 60 {
		t.Errorf("%d launches: write the new number into docs/gpu.md, and what it says of graphs", d.launches)
	}
	t.Logf("%d launches", d.launches)
}

// What the host takes for an iteration's launches, the driver's part left out.
func BenchmarkHost(b *testing.B) {
	d := &idle{}
	iterate := idleIteration(b, d)
	iterate()
	d.launches = 0
	start := time.Now()
	rounds := 0
	for b.Loop() {
		iterate()
		rounds++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(rounds), "us/iteration")
	b.ReportMetric(float64(d.launches)/float64(rounds), "launches")
}
