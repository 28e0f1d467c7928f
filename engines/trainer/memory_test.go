package trainer

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"
)

// An iteration reuses what the ones before it used: a training's memory is what it holds, not what it has thrown away.
func TestIterationsMakeNoGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short: what is allocated does not depend on the kernels")
	}
	run := benchmarkTraining(t, 3000, 3, 640, 2)
	run.cfg.Exposure, run.exposure = true, newExposures(run.data)
	run.step(0.5)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const steps = 20
	for range steps {
		run.step(0.5)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / steps; !(each < 32<<10) {
		t.Errorf("an iteration allocates %d bytes, want less than 32 KiB", each)
	}
}

// What a training holds stays within what the plan counts for images, moments, model and frame.
func TestTrainingHoldsWhatThePlanCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short: what is allocated does not depend on the kernels")
	}
	cfg := testConfig(60)
	cfg.MaxGaussians = 20_000
	var held runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&held)
	start := held.HeapAlloc
	d := synthetic(24, 320, 240)
	for i := range d.Points[:200] { // enough to grow from
		for range 40 {
			p := d.Points[i]
			p.XYZ[0] += 1e-3 * float64(len(d.Points)%97)
			d.Points = append(d.Points, p)
		}
	}
	images, frame := d.bytes()
	images += d.hidden(&cfg)
	plan := images + bytesPerFramePixel*frame + int64(cfg.MaxGaussians)*bytesPerGaussian
	moments := int64(0)
	for _, v := range d.Train {
		moments += 3 * bytesPerMoment * int64(len(v.Levels[0].Pix[0]))
	}
	for _, room := range []int64{moments, moments / 4} {
		cfg.MemoryBytes = max(64<<20, (plan+room)*8/7+8)
		run := newTraining(cfg, d, Hooks{Clock: ticking(time.Millisecond)})
		run.start()
		if err := run.begin(); err != nil {
			t.Fatal(err)
		}
		kept := &run.machine.(*processor).moments
		run.schedule.QuarterUntil, run.schedule.HalfUntil, run.schedule.DensifyUntil = -1, -1, 0.3
		for run.iteration < cfg.Iterations {
			err := run.step(run.fraction())
			if run.iteration++; run.iteration%10 == 0 {
				err = errors.Join(err, run.refine(run.fraction()))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if run.params.Len() < cfg.MaxGaussians*9/10 {
			t.Fatalf("%d Gaussians of %d: the measurement says nothing", run.params.Len(), cfg.MaxGaussians)
		}
		if kept.used > kept.room {
			t.Errorf("%d bytes of moments, room for %d", kept.used, kept.room)
		}
		cells := make([][]bool, len(d.Train)) // of every image, which is the most that can be hidden
		for i := range cells {
			w, h := cellsOf(&d.Train[i].Levels[lookLevel].Camera)
			cells[i] = make([]bool, w*h)
		}
		whole, _ := run.data.bytes()
		run.hide(cells)
		if masked, _ := run.data.bytes(); masked-whole != d.hidden(&cfg) || masked == whole {
			t.Errorf("masks of hidden cells take %d bytes, planned %d", masked-whole, d.hidden(&cfg))
		}
		tight := *run // with room for a third of the masks
		tight.data = &Dataset{Train: slices.Clone(d.Train), Test: d.Test}
		tight.cfg.MemoryBytes -= (roomForMasks(&cfg, d) - d.hidden(&cfg)/3) * 8 / 7
		tight.hide(slices.Clone(cells))
		if masked, _ := tight.data.bytes(); !(masked-whole <= d.hidden(&cfg)/3) || !(masked-whole >= d.hidden(&cfg)/4) || tight.transients.hidden[len(cells)-1] != nil {
			t.Errorf("masks of %d bytes, with room for %d", masked-whole, d.hidden(&cfg)/3)
		}
		runtime.GC()
		runtime.ReadMemStats(&held)
		if got, most := int64(held.HeapAlloc-start), plan+kept.used; !(got <= most) || !(got >= most/2) {
			t.Errorf("the training holds %.1f MiB, planned %.1f MiB", float64(got)/(1<<20), float64(most)/(1<<20))
		}
		runtime.KeepAlive(run)
	}
}

// Images whose moments there is no room for are trained on anyway, to the same bytes.
func TestMomentsWithoutRoom(t *testing.T) {
	var want []byte
	for _, room := range []int64{1 << 30, 3 * 4 * 48 * 40 * 5, 0} {
		cfg := testConfig(100)
		run := newTraining(cfg, synthetic(16, 48, 40), Hooks{Clock: ticking(time.Millisecond)})
		run.machine.(*processor).moments.room = room
		run.start()
		res, err := run.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := plyOf(t, res.Cloud)
		if want == nil {
			want = got
		}
		if string(got) != string(want) {
			t.Errorf("with room for %d bytes of moments another PLY is written", room)
		}
	}
}
