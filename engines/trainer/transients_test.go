package trainer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// passedBy puts a coloured block into some of the training images, somewhere else in each, and returns how many cells of
// each image show it.
func passedBy(d *Dataset, in ...int) []int {
	counts := make([]int, len(d.Train))
	for k, i := range in {
		v := d.Train[i]
		full := v.Levels[0]
		w, h := full.Camera.Width, full.Camera.Height
		x0, y0 := w*(1+k)/8, h/4 // 16 pixels to a cell
		for y := y0; y < y0+h/2; y++ {
			for x := x0; x < x0+w/4; x++ {
				full.Pix[0][y*w+x], full.Pix[1][y*w+x], full.Pix[2][y*w+x] = 230, uint8(40*k), 20
			}
		}
		*v = *newView(v.Name, full)
		counts[i] = w / 4 * (h / 2) / (16 * 16)
	}
	return counts
}

// What passes through some images is found where it is, and leaves less of a ghost. Where nothing passes, nothing is hidden.
func TestTransientsAreHidden(t *testing.T) {
	if testing.Short() {
		t.Skip("three trainings")
	}
	cfg := testConfig(500)
	whole := synthetic(24, 192, 160)
	passed := []int{3, 4, 5, 6}
	run := func(hide bool, in []int) (*Result, []int, float64) {
		d := synthetic(24, 192, 160)
		blocks := passedBy(d, in...)
		cfg.HideTransients = hide
		r := train(t, cfg, d)
		q, err := Evaluate(r.Cloud, whole.Train[passed[0]:passed[len(passed)-1]+1], &cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r, blocks, q.PSNR
	}
	clean, _, _ := run(true, nil)
	for _, found := range clean.Transients {
		t.Errorf("nothing passes, but %.1f %% of %s is hidden", 100*found.Share, found.Name)
	}
	without, _, ghosts := run(false, passed)
	with, blocks, hidden := run(true, passed)
	if without.Transients != nil {
		t.Errorf("%+v, though nothing was to be hidden", without.Transients)
	}
	const all = 12 * 10 // cells
	passings, others := 0, 0.0
	for _, found := range with.Transients {
		i := slices.IndexFunc(whole.Train, func(v *View) bool { return v.Name == found.Name })
		n := found.Share * all
		if blocks[i] == 0 {
			others += n
			continue
		}
		passings++
		if !(n >= float64(blocks[i])*0.8 && n <= float64(blocks[i])*4) { // with those around
			t.Errorf("%.0f cells of image %d are hidden, %d show the block", n, i, blocks[i])
		}
	}
	if passings != len(passed) || !(others <= 0.02*all*float64(len(whole.Train))) { // a ghost is wrong from behind, too
		t.Errorf("transients in %+v, there are some in %v", with.Transients, passed)
	}
	t.Logf("views that something passed, as they are without it: %.2f dB, %.2f dB where it was hidden; held out %.2f and %.2f dB", ghosts, hidden, without.Held.PSNR, with.Held.PSNR)
	if !(hidden > ghosts+0.5) {
		t.Errorf("views that something passed, as they are without it: %.2f dB, %.2f dB where it was hidden", ghosts, hidden)
	}
}

// A run that was stopped while something is hidden continues to the same bytes; cells that are not of these images are refused.
func TestTransientsSurviveACheckpoint(t *testing.T) {
	cfg := testConfig(300)
	data := func() *Dataset {
		d := synthetic(24, 192, 160)
		passedBy(d, 3, 4, 5, 6)
		return d
	}
	want := train(t, cfg, data())
	if len(want.Transients) == 0 {
		t.Fatal("nothing was hidden")
	}
	var s saver
	stop := make(chan struct{})
	stopping := false
	hooks := Hooks{Clock: ticking(time.Second), Save: s.save, Stop: stop, Events: func(e Event) {
		if p, ok := e.(Progress); ok && p.Fraction > 0.5 && !stopping {
			stopping = true
			close(stop)
		}
	}}
	if _, err := Train(context.Background(), cfg, data(), nil, hooks); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	got, err := Train(context.Background(), cfg, data(), bytes.NewReader(s.data), Hooks{Clock: ticking(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plyOf(t, got.Cloud), plyOf(t, want.Cloud)) || !slices.Equal(got.Transients, want.Transients) {
		t.Errorf("continued: %.3f dB, %+v; uninterrupted: %.3f dB, %+v", got.Held.PSNR, got.Transients, want.Held.PSNR, want.Transients)
	}

	run := newTraining(cfg, data(), Hooks{})
	if cells, err := run.unpacked([][]byte{{1}}); err == nil {
		t.Errorf("cells of one image were accepted: %v", cells)
	}
	short := make([][]byte, len(run.data.Train))
	short[2] = []byte{1}
	if cells, err := run.unpacked(short); err == nil {
		t.Errorf("a byte of cells was accepted: %v", cells)
	}
}

// What is hidden of an image is hidden on a card, too, which has kept the image as it was.
func TestTransientsReachTheCard(t *testing.T) {
	cfg, d := testConfig(30), synthetic(9, 64, 48)
	cfg.MaxGaussians = 100
	card := &counting{Device: interpreted(t)}
	run := newTraining(cfg, d, Hooks{Clock: ticking(1), Device: card})
	defer run.machine.close()
	run.start()
	epoch := func() {
		for range d.Train {
			if err := run.step(0.5); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := run.begin(); err != nil {
		t.Fatal(err)
	}
	epoch()
	epoch()
	if card.copies != len(d.Train) {
		t.Fatalf("%d copies of %d images in two epochs", card.copies, len(d.Train))
	}
	w, h := cellsOf(&d.Train[2].Levels[lookLevel].Camera)
	hidden := make([][]bool, len(d.Train))
	hidden[2] = make([]bool, w*h)
	hidden[2][0] = true
	run.hide(hidden)
	epoch()
	if card.copies != 2*len(d.Train) || run.data.Train[2].Levels[0].Mask[0] != 0 || d.Train[2].Levels[0].Mask != nil {
		t.Errorf("%d copies after a cell was hidden", card.copies)
	}
}
