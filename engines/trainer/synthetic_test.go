package trainer

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// syntheticCloud is a ball of soft coloured Gaussians.
func syntheticCloud() *splat.Cloud {
	rng := rand.New(rand.NewPCG(42, 1))
	const n = 250
	truth := splat.New(n, 0, splat.Mip)
	for i := range n {
		for k := range 3 {
			truth.Means[3*i+k] = float32(0.45 * rng.NormFloat64())
			truth.LogScales[3*i+k] = float32(math.Log(0.12) + 0.3*rng.NormFloat64())
			truth.DC[3*i+k] = float32(rng.NormFloat64())
		}
		for k := range 4 {
			truth.Quats[4*i+k] = float32(rng.NormFloat64())
		}
		truth.Opacities[i] = 2
	}
	return truth
}

// synthetic is a capture of syntheticCloud from cameras on a ring, with its means, blurred, as sparse points.
func synthetic(views, width, height int) *Dataset {
	rng := rand.New(rand.NewPCG(42, 2))
	truth := syntheticCloud()
	d := &Dataset{Extent: 3}
	for i := range truth.Len() {
		var p Point
		for k := range 3 {
			p.XYZ[k] = float64(truth.Means[3*i+k]) + 0.03*rng.NormFloat64()
			p.RGB[k] = toByte(0.5 + splat.C0*truth.DC[3*i+k])
		}
		d.Points = append(d.Points, p)
	}
	painter := NewPainter(truth, &Config{Threads: 1})
	for i := range views {
		cam := ringCamera(2*math.Pi*float64(i)/float64(views), width, height)
		img := painter.Paint(&cam)
		pix, _, _ := simd.Planes(img)
		v := newView(fmt.Sprintf("view_%03d.png", i), Picture{Camera: cam, Pix: pix})
		v.Matched = unhidden(truth, d.Points, &cam)
		if i%8 == 0 && views > 2 {
			d.Test = append(d.Test, v)
		} else {
			d.Train = append(d.Train, v)
		}
	}
	return d
}

// trainSeed is that of every test which trains: what they claim must hold for any.
var trainSeed = flag.Uint64("train-seed", 1, "seed of the tests that train")

// ringCamera looks at the origin from a circle of radius 3 in the plane y = 0.
func ringCamera(angle float64, width, height int) raster.Camera {
	s, c := math.Sincos(angle)
	return raster.Camera{
		R:  [3][3]float64{{c, 0, s}, {0, 1, 0}, {-s, 0, c}},
		T:  [3]float64{0, 0, 3},
		Fx: float64(width), Fy: float64(width), Cx: float64(width) / 2, Cy: float64(height) / 2,
		Width: width, Height: height, Near: 0.5,
	}
}

func testConfig(iterations int) Config {
	cfg, err := Defaults(Standard)
	if err != nil {
		panic(err)
	}
	cfg.Iterations, cfg.MaxGaussians, cfg.CheckpointEvery, cfg.Threads = iterations, 600, 0, 2
	cfg.Seed = *trainSeed
	return cfg
}

// ticking is a clock that advances at every look.
func ticking(step time.Duration) func() time.Duration {
	now := time.Duration(0)
	return func() time.Duration { now += step; return now }
}

func plyOf(t testing.TB, c *splat.Cloud) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.WritePLY(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unhidden lists the points that a camera sees, as matching would find them: most of the light along the way from the
// point to the camera passes the Gaussians before it, which count as round here.
func unhidden(truth *splat.Cloud, points []Point, cam *raster.Camera) (seen []int32) {
	eye := cam.Center()
	for i, p := range points {
		way := minus(p.XYZ, eye)
		far := math.Sqrt(dot3(way, way))
		passes := 1.0
		for j := range truth.Len() {
			g := minus([3]float64{float64(truth.Means[3*j]), float64(truth.Means[3*j+1]), float64(truth.Means[3*j+2])}, eye)
			along := dot3(g, way) / far
			if j == i || along > far {
				continue
			}
			logScale := float64(truth.LogScales[3*j]+truth.LogScales[3*j+1]+truth.LogScales[3*j+2]) / 3
			across := (dot3(g, g) - along*along) / math.Exp(2*logScale)
			passes *= 1 - sigmoid(truth.Opacities[j])*math.Exp(-across/2)
		}
		if passes > 0.8 {
			seen = append(seen, int32(i))
		}
	}
	return seen
}
