package trainer

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
)

// The quality of a real capture is measured by hand, because it takes longer than a test may:
//
//	go test ./engines/trainer -run TestSceneQuality -v -scene DIR -cpu 40s
//
// DIR holds images/ and sparse/ as COLMAP's image_undistorter writes them.
var (
	sceneDir  = flag.String("scene", "", "undistorted scene for TestSceneQuality")
	sceneCPU  = flag.Duration("cpu", 40*time.Second, "CPU time (user and system) of the training")
	sceneIts  = flag.Int("its", 0, "iterations instead of -cpu")
	sceneCap  = flag.Int("gaussians", 0, "cap on Gaussians instead of the preset's")
	sceneSeed = flag.Uint64("seed", 1, "seed")
	sceneSet  = flag.String("set", "", "fields of the schedule to change, such as SSIM=0.1,RefineEvery=50")
	sceneExp  = flag.Bool("exposure", false, "exposure compensation")
	sceneView = flag.String("views", "", "write the renders of the held-out images to this folder")
	sceneSide = flag.Int("side", 0, "longest side of the images instead of the preset's")
	sceneRAM  = flag.Int64("memory", 0, "memory budget in MiB instead of the preset's")
	sceneHold = flag.Int("holdout", 8, "every how many images one is held out")
	sceneCard = flag.String("device", "cpu", "where to train: cpu, cuda or opencl, with the build tag gpu")
	sceneOut  = flag.String("ply", "", "write the cloud to this file")
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func peakMiB() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Maxrss) / 1024
}

// sceneConfig is what the flags ask for.
func sceneConfig(t *testing.T) Config {
	t.Helper()
	cfg, err := Defaults(Standard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Budget, cfg.Iterations, cfg.Seed = *sceneCPU, *sceneIts, *sceneSeed
	cfg.Exposure, cfg.HoldOut = *sceneExp, *sceneHold
	if *sceneSide > 0 {
		cfg.MaxSide = *sceneSide
	}
	if *sceneRAM > 0 {
		cfg.MemoryBytes = *sceneRAM << 20
	}
	if *sceneCap > 0 {
		cfg.MaxGaussians = *sceneCap
	}
	return cfg
}

func TestSceneQuality(t *testing.T) {
	if *sceneDir == "" {
		t.Skip("give an undistorted scene with -scene")
	}
	cfg := sceneConfig(t)
	debug.SetGCPercent(10) // as the worker has it
	data, err := Load(*sceneDir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded after %.1f s CPU: %d train, %d test, %d points, extent %.3g, at %dx%d pixels", cpuTime().Seconds(), len(data.Train), len(data.Test), len(data.Points), data.Extent,
		data.Train[0].Levels[0].Camera.Width, data.Train[0].Levels[0].Camera.Height)
	start, wall := cpuTime(), time.Now()
	for _, set := range strings.Split(*sceneSet, ",") {
		if name, value, ok := strings.Cut(set, "="); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			reflect.ValueOf(&defaultSchedule).Elem().FieldByName(name).SetFloat(v)
		}
	}
	var device gpu.Device
	if *sceneCard != "cpu" {
		if device, err = cards.Open(cards.Driver(*sceneCard)); err != nil {
			t.Fatal(err)
		}
		defer device.Close()
	}
	last := 0.0
	res, err := Train(context.Background(), cfg, data, nil, Hooks{Clock: cpuTime, Device: device, Events: func(e Event) {
		switch e := e.(type) {
		case Progress:
			if e.Fraction-last >= 0.1 {
				last = e.Fraction
				t.Logf("%3.0f %%  it %5d  n %6d  loss %.4f  1/%d", 100*e.Fraction, e.Iteration, e.Gaussians, e.Loss, e.Downscale)
			}
		case Warned:
			t.Log(e.Message)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("RESULT psnr %.3f fit %.3f ssim %.4f  n %d  its %d  cpu %.1f s  wall %.1f s  peak %.0f MiB", res.Held.PSNR, res.Held.ColorFitPSNR, res.Held.SSIM,
		res.Cloud.Len(), res.Iterations, (cpuTime() - start).Seconds(), time.Since(wall).Seconds(), peakMiB())
	for i, v := range data.Test {
		t.Logf("%s  %.2f dB, %.2f after a colour fit, SSIM %.4f", v.Name, res.Held.Views[i].PSNR, res.Held.Views[i].ColorFitPSNR, res.Held.Views[i].SSIM)
		if *sceneView != "" {
			writePNG(t, filepath.Join(*sceneView, filepath.Base(v.Name)+".png"), render(res.Cloud, &v.Levels[0].Camera, &cfg))
		}
	}
	if *sceneOut != "" {
		f, err := os.Create(filepath.Clean(*sceneOut))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := res.Cloud.WritePLY(f); err != nil {
			t.Fatal(err)
		}
	}
}
