package trainer

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

var (
	reachPSNR = flag.Float64("reach", 0, "held-out PSNR in dB that TestReachesOnACard asks for; 0: it is skipped")
	reachWall = flag.Duration("wall", 6*time.Second, "how long it trains, by the clock on the wall")
	reachMade = flag.Int("made", 0, "Gaussians of a made scene for it, in place of -scene")
)

// TestReachesOnACard trains on a card for a time by the clock on the wall, as a request would, and asks for a quality of the held-out images:
//
//	go test -tags gpu ./engines/trainer -run TestReaches -v -device cuda -scene DIR -wall 6s -reach 32
//	go test -tags gpu ./engines/trainer -run TestReaches -v -device cuda -made 1000000 -side 1344 -wall 60s -reach 30
func TestReachesOnACard(t *testing.T) {
	if *reachPSNR == 0 {
		t.Skip("give a held-out PSNR with -reach, a scene with -scene or -made, and -device opencl or cuda")
	}
	_, card := opened(t)
	cfg := sceneConfig(t)
	cfg.Iterations, cfg.Budget, cfg.EvaluateEvery, cfg.CheckpointEvery = 0, *reachWall, 0.1, 0
	cfg.OnCard(card.Memory(), max(*sceneCap, *reachMade))
	var data *Dataset
	var err error
	if *reachMade > 0 {
		cfg.HideTransients = false
		data, err = madeScene(card, *reachMade, cfg.MaxSide)
	} else {
		data, err = Load(*sceneDir, &cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	run := newTraining(cfg, data, Hooks{Clock: func() time.Duration { return time.Since(began) }, Device: card, Events: func(e Event) {
		if e, ok := e.(Evaluated); ok {
			t.Logf("%6.2f s: %.2f dB, SSIM %.4f, iteration %d, %d Gaussians", e.Elapsed.Seconds(), e.PSNR, e.SSIM, e.Iteration, e.Gaussians)
		}
	}})
	defer run.machine.close()
	run.start()
	res, err := run.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := run.machine.(*device)
	t.Logf("%s: %.2f dB after %.2f s and %d iterations, %.1f a second; %d Gaussians on %d images of %dx%d; %.0f MB of the card beside the images", card.Name(), res.Held.PSNR,
		res.Elapsed.Seconds(), res.Iterations, float64(res.Iterations)/res.Elapsed.Seconds(), res.Cloud.Len(), len(data.Train), res.Held.Width, res.Held.Height, float64(d.engine.Bytes(&d.model))/1e6)
	if !(res.Held.PSNR >= *reachPSNR) {
		t.Errorf("%.2f dB after %v, asked for %.2f", res.Held.PSNR, *reachWall, *reachPSNR)
	}
}

// madeScene is a capture of a ball of n Gaussians with a fine pattern, which a card draws: 48 images from a ring around it, of width × 9/16 width
// pixels, every eighth held out. Every second Gaussian is a point of the start, a third of its size off.
func madeScene(card gpu.Device, n, width int) (*Dataset, error) {
	const views = 48
	rng := rand.New(rand.NewPCG(42, uint64(n)))
	truth, data := splat.New(n, 0, splat.Mip), &Dataset{Extent: 3}
	size := 0.7 * math.Sqrt(4*math.Pi/float64(n))
	for i := range n {
		v := [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		norm := math.Sqrt(dot3(v, v))
		var p Point
		for k := range 3 {
			v[k] /= norm
			truth.Means[3*i+k] = float32(v[k])
			truth.LogScales[3*i+k] = float32(math.Log(size) + 0.3*rng.NormFloat64())
			p.XYZ[k] = v[k] + size/3*rng.NormFloat64()
		}
		for k := range 4 {
			truth.Quats[4*i+k] = float32(rng.NormFloat64())
		}
		for k := range 3 {
			pattern := math.Sin(9*v[k]+float64(k)) + math.Sin(31*v[(k+1)%3]) + 0.5*math.Sin(83*v[(k+2)%3])
			truth.DC[3*i+k] = float32(pattern / 2.5 / 2 / splat.C0)
			p.RGB[k] = toByte(0.5 + splat.C0*truth.DC[3*i+k])
		}
		truth.Opacities[i] = 3
		if i%2 == 0 {
			data.Points = append(data.Points, p)
		}
	}
	e := gpu.NewEngine(card)
	var m gpu.Model
	defer e.Free(&m)
	if err := e.Show(&m, raster.Pack(truth)); err != nil {
		return nil, err
	}
	var f raster.Frame
	for i := range views {
		pic := Picture{Camera: ringCamera(2*math.Pi*float64(i)/views, width, width*9/16)}
		if _, err := drawOn(e, &m, &pic.Camera, [3]float32{}, &f); err != nil {
			return nil, err
		}
		for channel, plane := range f.Color {
			pic.Pix[channel] = make([]uint8, len(plane))
			for at, v := range plane {
				pic.Pix[channel][at] = toByte(v)
			}
		}
		v := newView(fmt.Sprintf("view_%03d.png", i), pic)
		if i%8 == 0 {
			data.Test = append(data.Test, v)
		} else {
			data.Train = append(data.Train, v)
		}
	}
	return data, nil
}
