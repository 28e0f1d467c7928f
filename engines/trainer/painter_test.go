package trainer

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/splat"
)

// A device draws and measures a finished splat as the processor does; one that draws something else is found out.
func TestPainterOnADevice(t *testing.T) {
	cfg, d := testConfig(1), laden(t, wavy(9))
	cloud := scatter()
	processor, card := NewPainter(cloud, &cfg), NewPainter(cloud, &cfg)
	cam := &d.Test[0].Levels[0].Camera
	looks := time.Duration(0)
	clock := func() time.Duration { looks++; return looks * looks }
	drawn, err := card.Use(interpreted(t), cam, clock)
	if err != nil || !drawn.Agrees() || !(drawn.Apart < 1e-5) || drawn.Processor != 7 || drawn.Device != 15 {
		t.Errorf("%+v, %v", drawn, err)
	}
	for _, v := range append(d.Train, d.Test...) {
		want, got := processor.Paint(&v.Levels[0].Camera), card.Paint(&v.Levels[0].Camera)
		for i, b := range want.Pix {
			if off := int(got.Pix[i]) - int(b); off < -1 || off > 1 {
				t.Fatalf("%s: byte %d is %d, the processor's %d", v.Name, i, got.Pix[i], b)
			}
		}
	}
	want, err := Evaluate(cloud, d.Test, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := card.Evaluate(d.Test, &cfg); err != nil || !(math.Abs(got.PSNR-want.PSNR) <= 0.01) || !(math.Abs(got.SSIM-want.SSIM) <= 1e-4) {
		t.Errorf("%+v, the processor measures %+v; %v", got, want, err)
	}
	if err := card.Err(); err != nil {
		t.Error(err)
	}

	wrong := NewPainter(cloud, &cfg)
	if drawn, err := wrong.Use(&brighter{interpreted(t)}, cam, clock); err != nil || drawn.Agrees() {
		t.Errorf("a card that is off by a thousandth: %+v, %v", drawn, err)
	}
	if wrong.Release(); wrong.Paint(cam).Pix[0] != processor.Paint(cam).Pix[0] {
		t.Error("after Release something else than the processor draws")
	}
	if (Drawing{Apart: math.NaN()}).Agrees() {
		t.Error("what is not a number agrees")
	}
}

// A card that fails in the midst of a film is an error, whatever the pictures show.
func TestPainterOnAFailingDevice(t *testing.T) {
	cfg, d := testConfig(1), wavy(9)
	p, cam := NewPainter(scatter(), &cfg), &d.Test[0].Levels[0].Camera
	card := &failing{interpreted(t), 1000}
	if _, err := p.Use(card, cam, func() time.Duration { return 0 }); err != nil {
		t.Fatal(err)
	}
	card.left = 5
	if img := p.Paint(cam); img.Rect.Dx() != cam.Width || !errors.Is(p.Err(), gpu.ErrFailed) {
		t.Errorf("%v, %v", img.Rect, p.Err())
	}
	if _, err := p.Evaluate(d.Test, &cfg); !errors.Is(err, gpu.ErrFailed) {
		t.Error(err)
	}
}

// scatter is a cloud before the cameras of wavy, with colours that change with the direction.
func scatter() *splat.Cloud {
	run := newTraining(testConfig(1), wavy(9), Hooks{Clock: ticking(1)})
	run.start()
	cloud := run.params.Cloud()
	for i := range cloud.Rest {
		cloud.Rest[i] = 0.1 * float32(math.Sin(float64(i)))
	}
	return cloud
}

// brighter draws backgrounds that are off by a thousandth.
type brighter struct{ gpu.Device }

func (b *brighter) Launch(k gpu.Kernel, groups int, args ...any) error {
	if k.Name == "blend_forward" {
		for i, arg := range args {
			if v, ok := arg.(float32); ok {
				args[i] = v + 0.001
			}
		}
	}
	return b.Device.Launch(k, groups, args...)
}
