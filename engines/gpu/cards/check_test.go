package cards_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// shifted draws backgrounds in colours that are a little off.
type shifted struct {
	gpu.Device
	by float32
}

func (s shifted) Launch(k gpu.Kernel, groups int, args ...any) error {
	if k.Name == "blend_forward" {
		for i, arg := range args {
			if v, ok := arg.(float32); ok {
				args[i] = v + s.by
			}
		}
	}
	return s.Device.Launch(k, groups, args...)
}

// A card that draws what the processor does agrees, one that is off by a thousandth does not, and one that fails says so.
func TestCheckCard(t *testing.T) {
	check := func(by float32) (cards.Check, error) {
		looks := 0
		return cards.CheckCard(func() (gpu.Device, error) {
			d, err := ptx.Open(kernels.PTX)
			return shifted{d, by}, err
		}, cards.Picture{Gaussians: 200, Width: 64, Height: 36}, func() time.Duration { looks++; return time.Duration(looks*looks) * time.Millisecond })
	}
	c, err := check(0)
	if err != nil || !c.Agrees() || c.Gaussians < 100 || !(c.ImageRMS < 1e-5) || c.Card == "" {
		t.Errorf("%+v, %v", c, err)
	}
	if c.OpenMS != 3 || c.FirstMS != 7 || c.CardMS != 11 || c.ProcessorMS != 15 {
		t.Errorf("times %+v", c)
	}
	if c, err := check(1e-3); err != nil || c.Agrees() {
		t.Errorf("off by a thousandth: %+v, %v", c, err)
	}
	if c.ImageRMS = math.NaN(); c.Agrees() {
		t.Error("what is not a number agrees")
	}
	if _, err := cards.CheckCard(func() (gpu.Device, error) { return nil, cards.ErrNone }, cards.Picture{}, func() time.Duration { return 0 }); !errors.Is(err, cards.ErrNone) {
		t.Error(err)
	}
}
