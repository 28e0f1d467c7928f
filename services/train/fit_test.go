package train

import (
	"context"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
)

type sized struct {
	gpu.Device
	bytes int64
}

func (s sized) Memory() int64 { return s.bytes }

// What is asked for is what is trained, on a fast card as far as it has room.
func TestFitAsAsked(t *testing.T) {
	for memory, want := range map[int64]int{24 << 30: 2_000_000, 1 << 30: trainer.MostOnCard(1 << 30)} {
		cfg, err := trainer.Defaults(trainer.Standard)
		if err != nil {
			t.Fatal(err)
		}
		on := device{card: sized{bytes: memory}, fast: true}
		on.fit(&cfg, pipeline.Request{Options: pipeline.Options{MaxGaussians: 2_000_000, LongEdgePx: 720}}, false)
		if cfg.MaxGaussians != want || cfg.MaxSide != 720 {
			t.Errorf("%d bytes: %d Gaussians, images of %d pixels", memory, cfg.MaxGaussians, cfg.MaxSide)
		}
	}
}

// Only a fast card is given more than the processor, and after a full one half of it, in half of its memory.
func TestFit(t *testing.T) {
	const bytes = 24 << 30
	preset, err := trainer.Defaults(trainer.High)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		on      device
		smaller bool
		most    int
		memory  int64 // that is used of the card
	}{
		"processor":           {device{}, false, preset.MaxGaussians, 0},
		"after a failed card": {device{tookOver: true}, false, preset.MaxGaussians, 0},
		"slow card":           {device{card: sized{bytes: bytes}}, false, preset.MaxGaussians, bytes},
		"fast card":           {device{card: sized{bytes: bytes}, fast: true}, false, 3_000_000, bytes},
		"after a full card":   {device{card: sized{bytes: bytes}, fast: true}, true, 1_500_000, bytes / 2},
		"slow, after it":      {device{card: sized{bytes: bytes}}, true, preset.MaxGaussians, bytes / 2},
		"small, after a full": {device{card: sized{bytes: 1 << 30}, fast: true}, true, trainer.MostOnCard(1<<30) / 2, 1 << 29},
	} {
		cfg := preset
		test.on.fit(&cfg, pipeline.Request{Options: pipeline.Options{Preset: pipeline.High}}, test.smaller)
		if cfg.MaxGaussians != test.most {
			t.Errorf("%s: at most %d Gaussians, want %d", name, cfg.MaxGaussians, test.most)
		}
		if side := map[bool]int{false: preset.MaxSide, true: 1600}[test.on.fast]; cfg.MaxSide != side {
			t.Errorf("%s: images of %d pixels, want %d", name, cfg.MaxSide, side)
		}
		if test.on.card == nil {
			continue
		}
		if got := test.on.card.Memory(); got != test.memory || trainer.MostOnCard(got) < cfg.MaxGaussians {
			t.Errorf("%s: %d bytes of the card, want %d", name, got, test.memory)
		}
	}
}

// Who asks for more Gaussians than there is room for learns how many there are, and nobody else does.
func TestFewerGaussiansThanAskedFor(t *testing.T) {
	for asked, warned := range map[int]bool{0: false, 1500: false, 3_000_000: true} {
		cfg, err := trainer.Defaults(trainer.Preview)
		if err != nil {
			t.Fatal(err)
		}
		if asked > 0 {
			cfg.Ask(asked)
		}
		var w *stagetest.World
		w = stagetest.New(t, pipeline.Options{MaxGaussians: asked}, stage.Definition{Stage: pipeline.Train, Run: func(_ context.Context, job *stage.Job) error {
			Config{}.warn(job, device{}, &cfg)
			return nil
		}})
		w.GiveAll(nil)
		w.Work()
		history := w.Manifest().History
		said := history[len(history)-1].Warnings
		if len(said) > 0 != warned || warned && !strings.Contains(said[0].Message, "has room for 6") {
			t.Errorf("%d asked for: %+v", asked, said)
		}
	}
}
