package train

import (
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/trainer"
)

type sized struct {
	gpu.Device
	bytes int64
}

func (s sized) Memory() int64 { return s.bytes }

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
		test.on.fit(&cfg, test.smaller)
		if cfg.MaxGaussians != test.most {
			t.Errorf("%s: at most %d Gaussians, want %d", name, cfg.MaxGaussians, test.most)
		}
		if test.on.card == nil {
			continue
		}
		if got := test.on.card.Memory(); got != test.memory || trainer.MostOnCard(got) < cfg.MaxGaussians {
			t.Errorf("%s: %d bytes of the card, want %d", name, got, test.memory)
		}
	}
}
