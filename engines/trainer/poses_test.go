package trainer

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
)

// Cameras that structure from motion left a pixel off are brought back: the held-out images, whose poses are right, are
// drawn better, and the changes take away most of what was wrong.
func TestPoseRefinementHelps(t *testing.T) { poseRefinementHelps(t, nil) }

func poseRefinementHelps(t *testing.T, device gpu.Device) {
	psnr := map[bool]float64{}
	for _, on := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(7, 7))
		d := synthetic(24, 64, 48)
		wrong := newPoses(len(d.Train))
		for i := range d.Train {
			for k := range 6 {
				wrong.of(i)[k] = 0.012 * rng.NormFloat64()
			}
		}
		wrong.fixGauge(d)
		var truth []raster.Camera
		for i, v := range d.Train {
			truth = append(truth, v.Levels[0].Camera)
			for level := range v.Levels {
				v.Levels[level].Camera = wrong.apply(&v.Levels[level].Camera, i, d.Extent)
			}
		}
		cfg := testConfig(800)
		cfg.RefinePoses = on
		run := newTraining(cfg, d, Hooks{Clock: ticking(time.Millisecond), Device: device})
		run.PoseRate = 2e-3 // few visits to each image, and far to go
		run.start()
		res, err := run.run(t.Context())
		run.machine.close()
		if err != nil {
			t.Fatal(err)
		}
		psnr[on] = res.Held.PSNR
		if on != (len(res.Poses) == len(d.Train)) {
			t.Errorf("%d changes of %d cameras", len(res.Poses), len(d.Train))
		}
		if !on {
			continue
		}
		// A small turn and a small shift look alike from afar: what counts is where the scene is seen.
		before, after := 0.0, 0.0
		for i, v := range d.Train {
			refined := run.poses.apply(&v.Levels[0].Camera, i, d.Extent)
			before += seenApart(&truth[i], &v.Levels[0].Camera, d.Points) / float64(len(truth))
			after += seenApart(&truth[i], &refined, d.Points) / float64(len(truth))
		}
		if !(after < before/3) {
			t.Errorf("points are seen %.3f px off, %.3f before refinement", after, before)
		}
	}
	if !(psnr[true] > psnr[false]+1) {
		t.Errorf("%.2f dB with refined poses, %.2f without: want 1 dB more", psnr[true], psnr[false])
	}
	t.Logf("%.2f dB without, %.2f with", psnr[false], psnr[true])
}

// seenApart is the mean distance in pixels between where two cameras see the points.
func seenApart(a, b *raster.Camera, points []Point) (mean float64) {
	see := func(cam *raster.Camera, p [3]float64) (u, v float64) {
		z := dot3(cam.R[2], p) + cam.T[2]
		return cam.Fx * (dot3(cam.R[0], p) + cam.T[0]) / z, cam.Fy * (dot3(cam.R[1], p) + cam.T[1]) / z
	}
	for _, p := range points {
		au, av := see(a, p.XYZ)
		bu, bv := see(b, p.XYZ)
		mean += math.Hypot(au-bu, av-bv) / float64(len(points))
	}
	return mean
}

func TestRotationVector(t *testing.T) {
	for _, w := range [][3]float64{{}, {1e-8, 0, 0}, {0.3, -0.2, 0.5}, {0, math.Pi, 0}} {
		r := rotationVector(w)
		for i := range 3 {
			for j := range 3 {
				want := 0.0
				if i == j {
					want = 1
				}
				if !(math.Abs(dot3(r[i], r[j])-want) < 1e-12) {
					t.Errorf("exp(%v) is no rotation: %v", w, r)
				}
			}
			if !(math.Abs(dot3(r[i], w)-w[i]) < 1e-12) {
				t.Errorf("exp(%v) turns its own axis", w)
			}
		}
	}
	if r := rotationVector([3]float64{0, 0, math.Pi / 2}); !(math.Abs(r[1][0]-1) < 1e-12) {
		t.Errorf("a quarter turn about z takes x to %v, want y", [3]float64{r[0][0], r[1][0], r[2][0]})
	}
}
