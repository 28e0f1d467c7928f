package trainer

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// Every preset is larger on a card, up to 3 million Gaussians, as far as the card has room; and what it takes of the host fits into
// the plan.
func TestPresetsOnACard(t *testing.T) {
	for preset, want := range map[Preset]int{Preview: 300_000, Standard: 960_000, High: 3_000_000} {
		for _, memory := range []int64{80 << 30, 24 << 30, 4 << 30, 1 << 30} {
			processor, err := Defaults(preset)
			if err != nil {
				t.Fatal(err)
			}
			c := processor
			c.OnCard(memory, 0)
			if c.MaxGaussians != min(want, MostOnCard(memory)) || c.Budget != processor.Budget {
				t.Errorf("%s with %d GiB: %d Gaussians in %v", preset, memory>>30, c.MaxGaussians, c.Budget)
			}
			if c.MaxGaussians > c.mostGaussians() || c.MemoryBytes < processor.MemoryBytes || c.MemoryBytes > 12<<30 {
				t.Errorf("%s with %d GiB: %d Gaussians in %d bytes of the host", preset, memory>>30, c.MaxGaussians, c.MemoryBytes)
			}
			takeover := processor
			if takeover.Takeover(); takeover.mostGaussians() < c.MaxGaussians || takeover.MaxGaussians != processor.MaxGaussians {
				t.Errorf("%s: %d Gaussians may be taken over", preset, takeover.mostGaussians())
			}
		}
	}
	// 7 500 iterations of the standard preset in 1280x960, which is what its count is for.
	if its := float64(75*time.Second) / float64(StepOnCard(GaussiansOnCard(75*time.Second), 1280*960)); !(its > 6000 && its < 9000) {
		t.Errorf("%.0f iterations in 75 s", its)
	}
	for budget := time.Second; budget < time.Hour; budget *= 2 {
		if !(GaussiansOnCard(budget) >= GaussiansFor(budget) && GaussiansOnCard(2*budget) >= GaussiansOnCard(budget)) {
			t.Errorf("%v: %d on a card, %d on the processor", budget, GaussiansOnCard(budget), GaussiansFor(budget))
		}
	}
}

// A run that is resumed under a lower cap is refused, or keeps what it has and adds nothing; under one that fits it continues.
func TestResumeUnderAnotherCap(t *testing.T) {
	cfg, d := testConfig(120), synthetic(9, 32, 24)
	var s saver
	stop := make(chan struct{})
	had := 0
	_, err := Train(t.Context(), cfg, d, nil, Hooks{Clock: ticking(time.Second), Save: s.save, Stop: stop, Events: func(e Event) {
		if p, ok := e.(Progress); ok && p.Iteration == 60 {
			had = p.Gaussians
			close(stop)
		}
	}})
	if !errors.Is(err, ErrStopped) || had < 200 {
		t.Fatalf("%v with %d Gaussians", err, had)
	}
	resume := func(most int, keep bool) (int, error) {
		other := cfg
		other.MaxGaussians = most
		grown := 0
		_, err := Train(t.Context(), other, d, bytes.NewReader(s.data), Hooks{Clock: ticking(time.Second), KeepGaussians: keep, Events: func(e Event) {
			if p, ok := e.(Progress); ok {
				grown = max(grown, p.Gaussians)
			}
		}})
		return grown, err
	}
	if _, err := resume(had/2, false); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("half of what there is: %v", err)
	}
	if n, err := resume(had/2, true); err != nil || n != had {
		t.Errorf("%d Gaussians of %d are kept, %v", n, had, err)
	}
	if n, err := resume(cfg.MaxGaussians+100, false); err != nil || n <= had {
		t.Errorf("%d Gaussians of %d, %v", n, had, err)
	}
}

// A run continues with images of another size: those of the processor where the card that had time for larger ones is gone.
func TestResumeAtAnotherSize(t *testing.T) {
	cfg, d := testConfig(60), synthetic(9, 64, 48)
	checkpoint, _ := trainUntil(t, cfg, d, nil, nil, 40)
	small := cfg
	small.MaxSide = 32
	_, res := trainUntil(t, small, synthetic(9, 32, 24), nil, checkpoint, -1)
	_, alone := trainUntil(t, cfg, d, nil, nil, -1)
	if res.Iterations != cfg.Iterations || res.Held.Width != 32 || !(res.Held.PSNR > alone.Held.PSNR-3) {
		t.Errorf("%d iterations, %d pixels wide, %.2f dB; at one size %.2f dB", res.Iterations, res.Held.Width, res.Held.PSNR, alone.Held.PSNR)
	}
}
