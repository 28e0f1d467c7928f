package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func train(t *testing.T, cfg Config, d *Dataset) *Result {
	t.Helper()
	res, err := Train(context.Background(), cfg, d, nil, Hooks{Clock: ticking(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Cloud.Validate(); err != nil {
		t.Fatal(err)
	}
	return res
}

// The start, one Gaussian at each noisy point, is at 16 dB on the held-out views of this capture.
func TestTrainLearnsTheScene(t *testing.T) {
	cfg := testConfig(600)
	cfg.EvaluateEvery = 0.3
	res := train(t, cfg, synthetic(32, 64, 48))
	if !(res.Held.PSNR >= 30) || !(res.Held.SSIM >= 0.95) {
		t.Errorf("held-out quality %.2f dB, SSIM %.3f, want at least 30 dB and 0.95", res.Held.PSNR, res.Held.SSIM)
	}
	if res.Iterations != cfg.Iterations {
		t.Errorf("%d iterations, want %d", res.Iterations, cfg.Iterations)
	}
	if n := res.Cloud.Len(); n > cfg.MaxGaussians || n < cfg.MaxGaussians/2 {
		t.Errorf("%d Gaussians under a cap of %d", n, cfg.MaxGaussians)
	}
	if len(res.Curve) != 4 || !(res.Curve[0].PSNR < res.Held.PSNR) {
		t.Errorf("the curve is %+v: want three points on the way and the end, rising", res.Curve)
	}
	if res.Held.Worst() == res.Held.Best() {
		t.Error("the best and the worst of four views are the same")
	}
}

func TestTrainDoesNotDependOnThreads(t *testing.T) {
	var want []byte
	for _, threads := range []int{1, 2, 5} {
		cfg := testConfig(240)
		cfg.Threads, cfg.Exposure, cfg.RefinePoses = threads, true, true
		got := plyOf(t, train(t, cfg, synthetic(16, 48, 40)).Cloud)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d threads write another PLY than 1", threads)
		}
	}
}

// saver keeps the last checkpoint, as a caller with a file and a rename would.
type saver struct{ data []byte }

func (s *saver) save(write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s.data = b.Bytes()
	return nil
}

// A run that is stopped at a quarter, half and three quarters, and continues with another number of threads each time,
// ends with the bytes of the run that was left alone.
func TestResumeIsExact(t *testing.T) {
	cfg := testConfig(240)
	cfg.Exposure, cfg.RefinePoses = true, true
	want := train(t, cfg, synthetic(16, 48, 40))

	var s saver
	var resume io.Reader
	for _, quarter := range []int{1, 2, 3} {
		stop := make(chan struct{})
		seen := 0
		hooks := Hooks{Clock: ticking(time.Second), Save: s.save, Stop: stop, Events: func(e Event) {
			if p, ok := e.(Progress); ok && p.Iteration >= quarter*cfg.Iterations/4 && seen == 0 {
				seen = p.Iteration
				close(stop)
			}
		}}
		cfg.Threads = quarter
		_, err := Train(context.Background(), cfg, synthetic(16, 48, 40), resume, hooks)
		if !errors.Is(err, ErrStopped) {
			t.Fatalf("quarter %d: %v, want ErrStopped", quarter, err)
		}
		if seen != quarter*cfg.Iterations/4 {
			t.Fatalf("stopped at iteration %d", seen)
		}
		resume = bytes.NewReader(s.data)
	}
	got, err := Train(context.Background(), cfg, synthetic(16, 48, 40), resume, Hooks{Clock: ticking(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plyOf(t, got.Cloud), plyOf(t, want.Cloud)) {
		t.Errorf("the resumed run differs: %.3f dB, uninterrupted %.3f dB", got.Held.PSNR, want.Held.PSNR)
	}
	if got.Iterations != want.Iterations {
		t.Errorf("%d iterations in all, want %d", got.Iterations, want.Iterations)
	}
}

// With a time budget the schedule continues where it stopped: the spent part is not given again.
func TestResumeKeepsTheTimeSpent(t *testing.T) {
	cfg := testConfig(0)
	cfg.Budget, cfg.CheckpointEvery = 2*time.Second, 300*time.Millisecond
	d := synthetic(9, 32, 24)
	var s saver
	ctx, cancel := context.WithCancel(context.Background())
	var at Checkpointed
	_, err := Train(ctx, cfg, d, nil, Hooks{Clock: ticking(5 * time.Millisecond), Save: s.save, Events: func(e Event) {
		if c, ok := e.(Checkpointed); ok {
			at = c
			if c.Fraction > 0.5 {
				cancel()
			}
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want the context's error", err)
	}
	first := 0.0
	res, err := Train(context.Background(), cfg, d, bytes.NewReader(s.data), Hooks{Clock: ticking(5 * time.Millisecond), Events: func(e Event) {
		if p, ok := e.(Progress); ok && first == 0 {
			first = p.Fraction
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !(first >= at.Fraction) || res.Elapsed < cfg.Budget {
		t.Errorf("continued at %.2f after a checkpoint at %.2f, %v spent of %v", first, at.Fraction, res.Elapsed, cfg.Budget)
	}
}

func TestResumeRefuses(t *testing.T) {
	cfg := testConfig(100)
	d := synthetic(9, 32, 24)
	var s saver
	stop := make(chan struct{})
	close(stop)
	if _, err := Train(context.Background(), cfg, d, nil, Hooks{Clock: ticking(time.Second), Save: s.save, Stop: stop}); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	flipped := bytes.Clone(s.data)
	flipped[len(flipped)/2] ^= 4
	long := bytes.Clone(s.data)
	long[15] = 0xff
	other := cfg
	other.Seed++
	for name, test := range map[string]struct {
		data []byte
		cfg  Config
		set  *Dataset
		want string
	}{
		"empty":         {nil, cfg, d, "early"},
		"half":          {s.data[:len(s.data)/2], cfg, d, "early"},
		"one byte less": {s.data[:len(s.data)-1], cfg, d, "early"},
		"one bit":       {flipped, cfg, d, "checksum"},
		"other file":    {[]byte(strings.Repeat("x", 100)), cfg, d, "begin with"},
		"long header":   {long, cfg, d, "too long"},
		"other seed":    {s.data, other, d, "configuration"},
		"other data":    {s.data, cfg, synthetic(10, 32, 24), "other images"},
	} {
		_, err := Train(context.Background(), test.cfg, test.set, bytes.NewReader(test.data), Hooks{Clock: ticking(time.Second)})
		if !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want ErrCheckpoint with %q", name, err, test.want)
		}
	}
	broken := errors.New("bucket gone")
	_, err := Train(context.Background(), cfg, d, nil, Hooks{Clock: ticking(time.Second), Stop: stop, Save: func(func(io.Writer) error) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("a failed save came back as %v", err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	cfg := testConfig(100)
	cfg.MaxGaussians = 100
	d := synthetic(3, 8, 8)
	var s saver
	stop := make(chan struct{})
	close(stop)
	if _, err := Train(context.Background(), cfg, d, nil, Hooks{Clock: ticking(time.Second), Save: s.save, Stop: stop}); !errors.Is(err, ErrStopped) {
		f.Fatal(err)
	}
	f.Add(s.data[:1000])
	f.Add([]byte(checkpointMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Train(context.Background(), cfg, d, bytes.NewReader(data), Hooks{Clock: ticking(time.Second), Stop: stop})
		if !errors.Is(err, ErrCheckpoint) && !errors.Is(err, ErrStopped) {
			t.Fatalf("%v", err)
		}
	})
}

// Captures at the edge of what can be trained end with a valid cloud or an error that says why; never with a crash, a
// NaN or an endless loop.
func TestTrainAtTheEdge(t *testing.T) {
	black := synthetic(9, 32, 24)
	for _, v := range append(black.Train, black.Test...) {
		for level := range v.Levels {
			for channel := range v.Levels[level].Pix {
				clear(v.Levels[level].Pix[channel])
			}
		}
	}
	noPoints := synthetic(9, 32, 24)
	noPoints.Points = nil
	onePoint := synthetic(9, 32, 24)
	onePoint.Points = onePoint.Points[:1]
	samePoint := synthetic(9, 32, 24)
	for i := range samePoint.Points {
		samePoint.Points[i] = samePoint.Points[0]
	}
	behind := synthetic(9, 32, 24)
	for i := range behind.Points {
		behind.Points[i].XYZ[1] += 1e6
	}
	mixed := synthetic(9, 32, 24)
	mixed.Train = append(mixed.Train, synthetic(9, 17, 31).Train...)
	oneImage := synthetic(1, 32, 24)
	huge := synthetic(9, 32, 24)
	huge.Extent = 1e12
	for name, d := range map[string]*Dataset{
		"three cameras": synthetic(3, 32, 24), "one image": oneImage, "black": black, "one pixel": synthetic(9, 1, 1),
		"a row": synthetic(9, 40, 1), "no points": noPoints, "one point": onePoint, "one place": samePoint,
		"points nobody sees": behind, "mixed sizes": mixed, "extent": huge,
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Train(context.Background(), testConfig(150), d, nil, Hooks{Clock: ticking(time.Millisecond)})
			if err != nil {
				t.Log(err)
				return
			}
			if err := res.Cloud.Validate(); err != nil {
				t.Error(err)
			}
			if res.Cloud.Len() > 600 {
				t.Errorf("%d Gaussians exceed the cap", res.Cloud.Len())
			}
			t.Logf("%d Gaussians, %d lost", res.Cloud.Len(), res.NonFinite)
		})
	}
	if _, err := Train(context.Background(), testConfig(10), &Dataset{}, nil, Hooks{Clock: ticking(1)}); err == nil {
		t.Error("no images: want an error")
	}
}

// A parameter that turns NaN must not spread: the Gaussian goes, is counted and said.
func TestTrainLosesOnlyTheNaN(t *testing.T) {
	cfg := testConfig(200)
	d := synthetic(16, 48, 40)
	d.Points[3].XYZ[1] = nan()
	d.Points[9].XYZ[0] = nan()
	said := ""
	res, err := Train(context.Background(), cfg, d, nil, Hooks{Clock: ticking(time.Millisecond), Events: func(e Event) {
		if w, ok := e.(Warned); ok {
			said += w.Message
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	// On the training images: after so few iterations a stray Gaussian before a held-out camera can still hide the scene.
	shown, err := Evaluate(res.Cloud, d.Train, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.NonFinite != 2 || !strings.Contains(said, "NaN") || !(shown.PSNR > 24) {
		t.Errorf("%d lost, warning %q, %.1f dB; want 2, a warning, and a picture", res.NonFinite, said, shown.PSNR)
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

// Images that were taken brighter or darker are worth a better splat with exposure compensation than without, and it finds
// out how much brighter or darker, whatever the order in which it visits them.
func TestExposureCompensationHelps(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		psnr := map[bool]float64{}
		for _, on := range []bool{false, true} {
			d := synthetic(24, 48, 40)
			for i, v := range d.Train {
				brighten(v, 1+0.25*float32(i%3-1))
			}
			cfg := testConfig(400)
			cfg.Exposure, cfg.Seed = on, cfg.Seed+seed
			res := train(t, cfg, d)
			held := res.Held
			psnr[on] = held.PSNR
			if on != (len(res.Exposures) == len(d.Train)) {
				t.Errorf("%d exposures of %d images", len(res.Exposures), len(d.Train))
			}
			for i, x := range res.Exposures {
				if want := []float64{math.Log2(0.75), 0, math.Log2(1.25)}[i%3]; !(math.Abs(x.Stops[1]-want) < 0.2) {
					t.Errorf("seed %d: %s was taken %.2f stops brighter, want %.2f", cfg.Seed, x.Name, x.Stops, want)
				}
			}
			if !(held.ColorFitPSNR >= held.PSNR) {
				t.Errorf("%.2f dB after a colour fit, %.2f before", held.ColorFitPSNR, held.PSNR)
			}
		}
		if !(psnr[true] > psnr[false]+1) {
			t.Errorf("seed %d: %.2f dB with compensation, %.2f without: want 1 dB more", *trainSeed+seed, psnr[true], psnr[false])
		}
	}
}

// brighten takes a view as a camera with another exposure would.
func brighten(v *View, gain float32) {
	for level := range v.Levels {
		for channel := range v.Levels[level].Pix {
			pix := bytes.Clone(v.Levels[level].Pix[channel])
			for k := range pix {
				pix[k] = uint8(min(255, gain*float32(pix[k])))
			}
			v.Levels[level].Pix[channel] = pix
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for _, p := range []Preset{Preview, Standard, High} {
		cfg, err := Defaults(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := Defaults("fast"); err == nil || !strings.Contains(err.Error(), "preview, standard or high") {
		t.Errorf("an unknown preset: %v", err)
	}
	for want, spoil := range map[string]func(*Config){
		"budget":          func(c *Config) { c.Budget, c.Iterations = 0, 0 },
		"iterations":      func(c *Config) { c.Iterations = -1 },
		"max_gaussians":   func(c *Config) { c.MaxGaussians = 0 },
		"memory_bytes":    func(c *Config) { c.MemoryBytes = 1000 },
		"max_side":        func(c *Config) { c.MaxSide = 0 },
		"sh_degree":       func(c *Config) { c.Degree = 4 },
		"render_mode":     func(c *Config) { c.Mode = 7 },
		"hold_out":        func(c *Config) { c.HoldOut = 1 },
		"threads":         func(c *Config) { c.Threads = -1 },
		"background_mode": func(c *Config) { c.BackgroundMode = "checked" },
		"sky":             func(c *Config) { c.Sky = "blue" },
		"background":      func(c *Config) { c.Background[1] = float32(nan()) },
		"evaluate_every":  func(c *Config) { c.EvaluateEvery = nan() },
	} {
		cfg := testConfig(10)
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestProgressAddsUp(t *testing.T) {
	cfg := testConfig(0)
	cfg.Budget = 4 * time.Second
	last := -1.0
	events := 0
	_, err := Train(context.Background(), cfg, synthetic(9, 16, 16), nil, Hooks{Clock: ticking(10 * time.Millisecond), Events: func(e Event) {
		p, ok := e.(Progress)
		if !ok {
			return
		}
		events++
		if !(p.Fraction > last && p.Fraction <= 1) || p.Remaining < 0 || p.TotalIterations < p.Iteration || !(p.IterationsPerSec > 0) {
			t.Errorf("progress %s", fmt.Sprintf("%+v after %.3f", p, last))
		}
		last = p.Fraction
	}})
	if err != nil {
		t.Fatal(err)
	}
	if events < 5 {
		t.Errorf("%d progress events in 4 s", events)
	}
}
