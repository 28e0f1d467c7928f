package choose_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
)

func TestFewFramesAreAllKept(t *testing.T) {
	for _, step := range []float64{0.004, 0.03, 0.14} {
		if s := choose.Frames(choosetest.Walk(50, step), choose.Options{}); len(s.Frames) != 50 {
			t.Errorf("step %v: %d of 50 kept", step, len(s.Frames))
		}
	}
}

func TestManyFramesAreThinnedEvenly(t *testing.T) {
	s := choose.Frames(choosetest.Walk(3000, 0.004), choose.Options{MaxImages: 200})
	got := choosetest.Indices(s)
	if len(got) < 190 || len(got) > 200 {
		t.Fatalf("%d selected", len(got))
	}
	for i := 1; i < len(got); i++ {
		if gap := got[i] - got[i-1]; gap > 30 {
			t.Errorf("a gap of %d frames after %d", gap, got[i-1])
		}
	}
}

func TestSlowVideoDoesNotFillTheMaximum(t *testing.T) {
	// 1800 frames over 1.4 picture edges: 140 images see everything.
	s := choose.Frames(choosetest.Walk(1800, 0.0008), choose.Options{})
	if n := len(s.Frames); n < 110 || n > 160 {
		t.Errorf("%d selected", n)
	}
}

func TestStandingStillGivesOneImage(t *testing.T) {
	frames := choosetest.Walk(60, 0.02)
	for i := 20; i < 45; i++ {
		frames[i].Motion, frames[i].Difference = 0.0002, 0.001
	}
	frames[33].Sharpness = 0.7
	s := choose.Frames(choosetest.Along(frames), choose.Options{})
	var inside []int
	for _, i := range choosetest.Indices(s) {
		if i >= 19 && i < 45 {
			inside = append(inside, i)
		}
	}
	if !slices.Equal(inside, []int{33}) || s.Duplicates != 25 {
		t.Errorf("kept %v of the standstill, %d duplicates", inside, s.Duplicates)
	}
}

func TestSharpestOfEachWindow(t *testing.T) {
	frames := choosetest.Walk(1200, 0.005)
	for i := range frames {
		if i%4 == 2 {
			frames[i].Sharpness = 0.66
		}
	}
	s := choose.Frames(frames, choose.Options{MaxImages: 300})
	sharp := 0
	for _, f := range s.Frames {
		if f.Sharpness > 0.65 {
			sharp++
		}
	}
	if sharp < 280 {
		t.Errorf("only %d of %d are the sharpest of their four", sharp, len(s.Frames))
	}
}

func TestBlurredFramesGoUnlessAHoleOpens(t *testing.T) {
	frames := choosetest.Walk(60, 0.03)
	for _, i := range []int{10, 20, 21, 40} {
		frames[i].Sharpness = 0.4
	}
	frames[40].Motion, frames[41].Motion = 0.12, 0.12
	s := choose.Frames(choosetest.Along(frames), choose.Options{})
	got := choosetest.Indices(s)
	for _, i := range []int{10, 20, 21} {
		if slices.Contains(got, i) {
			t.Errorf("the blurred frame %d was kept", i)
		}
	}
	if !slices.Contains(got, 40) {
		t.Error("frame 40 is blurred, but without it there is a hole")
	}
	if s.Blurred != 3 {
		t.Errorf("%d counted as blurred", s.Blurred)
	}
}

// A run of blurred frames at an end goes, however far apart they are.
func TestBlurredEndsGo(t *testing.T) {
	frames := choosetest.Walk(40, 0.11)
	for _, i := range []int{0, 1, 2, 3, 39} {
		frames[i].Sharpness = 0.4
	}
	s := choose.Frames(frames, choose.Options{})
	if got := choosetest.Indices(s); s.Blurred != 5 || got[0] != 4 || got[len(got)-1] != 38 {
		t.Errorf("%d blurred, from %d to %d", s.Blurred, got[0], got[len(got)-1])
	}
}

// Three in ten frames are blurred: what is chosen of four times as many stays even and has few of them, those of long runs.
func TestSpreadAvoidsBlur(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	frames := choosetest.Walk(1200, 0.01)
	for i := range frames {
		if r.Float64() < 0.3 {
			frames[i].Sharpness = 0.54
		}
	}
	s := choose.Frames(frames, choose.Options{MaxImages: 300})
	got := choosetest.Indices(s)
	blurred := 0
	for k, i := range got {
		if frames[i].Sharpness < 0.6 {
			blurred++
		}
		if k > 0 && i-got[k-1] > 7 {
			t.Errorf("%d follows %d", i, got[k-1])
		}
	}
	if len(got) != 300 || blurred > 9 || got[0] > 2 || got[299] < 1197 {
		t.Errorf("%d selected, %d blurred, from %d to %d", len(got), blurred, got[0], got[len(got)-1])
	}
}

// Where the picture moves five times as much because the camera turns, not because it walks faster, there are not many more
// frames; where it hardly moves, not many fewer.
func TestSpreadFollowsTheWayAndTheFrames(t *testing.T) {
	frames := choosetest.Walk(900, 0.005)
	for i := 300; i < 600; i++ {
		frames[i].Motion = 0.025
	}
	part := map[int]int{}
	for _, i := range choosetest.Indices(choose.Frames(choosetest.Along(frames), choose.Options{MaxImages: 90})) {
		part[i/300]++
	}
	// By travel alone 13, 64 and 13.
	if !(part[0] >= 25 && part[1] <= 40 && part[2] >= 25) {
		t.Errorf("chosen of each third: %v", part)
	}
	// Where nothing else keeps overlap, travel does: an even number would leave gaps of 0.3.
	frames = choosetest.Walk(1000, 0.003)
	for i := 900; i < 1000; i++ {
		frames[i].Motion = 0.06
	}
	choosetest.Along(frames)
	got := choose.Frames(frames, choose.Options{MaxImages: 200}).Frames
	for k := 1; k < len(got); k++ {
		if gap := got[k].Travel - got[k-1].Travel; !(gap <= choose.LargestHole) {
			t.Errorf("a hole of %.3f before frame %d", gap, got[k].Index)
		}
	}
}

// What is found window by window is the best of all choices.
func TestSpreadIsTheBestChoice(t *testing.T) {
	square := func(x float64) float64 { return x * x }
	rapid.Check(t, func(t *rapid.T) {
		views := make([]int, rapid.IntRange(5, 14).Draw(t, "views"))
		frames := choosetest.Walk(len(views), 0)
		clarity := make([]float64, len(views))
		for i := range views {
			views[i], clarity[i] = i, rapid.Float64Range(0.7, 1.1).Draw(t, "clarity")
			frames[i].Motion = rapid.Float64Range(0.002, 0.1).Draw(t, "motion")
		}
		choosetest.Along(frames)
		n := rapid.IntRange(1, 4).Draw(t, "n")
		end := float64(n - 1)
		travel := func(i int) float64 { return frames[i].Travel - frames[0].Travel }
		place := func(i int) float64 {
			last := len(views) - 1
			return end * (choose.TravelShare*travel(i)/travel(last) + (1-choose.TravelShare)*float64(i)/float64(last))
		}
		cost := func(chosen []int) float64 {
			sum := square(place(chosen[0])) + square(end-place(chosen[len(chosen)-1]))
			for k, i := range chosen {
				sum += square(max(0, (1-clarity[i])/(1-choose.BlurredRatio)))
				if k > 0 {
					sum += square(max(place(i)-place(chosen[k-1]), 2*(travel(i)-travel(chosen[k-1]))/choose.LargestHole) - 1)
				}
			}
			return sum
		}
		windows := map[float64][]int{}
		var order []float64
		for i := range views {
			w := math.Round(place(i))
			if windows[w] == nil {
				order = append(order, w)
			}
			windows[w] = append(windows[w], i)
		}
		least := math.Inf(1)
		var extend func(chosen []int)
		extend = func(chosen []int) {
			if len(chosen) == len(order) {
				least = min(least, cost(chosen))
				return
			}
			for _, i := range windows[order[len(chosen)]] {
				extend(append(slices.Clone(chosen), i))
			}
		}
		extend(nil)
		got := new(choose.Selection).Spread(views, frames, clarity, n)
		if len(got) != len(order) || !(cost(got) < least+1e-9) {
			t.Fatalf("%v of %d windows costs %v, the best %v", got, len(order), cost(got), least)
		}
	})
}

func TestLooseEndsGo(t *testing.T) {
	frames := choosetest.Walk(60, 0.03)
	for _, i := range []int{1, 2, 4, 57} {
		frames[i].Matched, frames[i].Motion = 0.2, 0.15
	}
	s := choose.Frames(choosetest.Along(frames), choose.Options{})
	if got := choosetest.Indices(s); s.Loose != 7 || got[0] != 4 || got[len(got)-1] != 56 {
		t.Errorf("%d loose, from %d to %d", s.Loose, got[0], got[len(got)-1])
	}
	frames[30].Matched = 0.2 // a cut in the middle is not counted
	if s := choose.Frames(frames, choose.Options{}); s.Loose != 7 {
		t.Errorf("%d loose", s.Loose)
	}
	for i := range frames {
		frames[i].Matched = 0.4
	}
	if s := choose.Frames(frames, choose.Options{}); s.Loose != 0 {
		t.Errorf("%d loose of frames that all jump", s.Loose)
	}
}

func TestUnusableFramesNeverAreSelected(t *testing.T) {
	frames := choosetest.Walk(40, 0.03)
	frames[3].Dark, frames[9].Bright, frames[12].Contrast, frames[20].Sharpness = 1, 1, 0, 0
	s := choose.Frames(frames, choose.Options{})
	if s.Unusable != 4 || len(s.Frames) != 36 {
		t.Errorf("%d unusable, %d selected", s.Unusable, len(s.Frames))
	}
	if s := choose.Frames(nil, choose.Options{}); len(s.Frames) != 0 {
		t.Error("something was selected from nothing")
	}
}

// Whatever the frames: the selection is a subset in order, no larger than asked for, every frame is accounted for, and
// no hole opens that is not in the video already.
func TestSelectionHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(t, "n")
		frames := choosetest.Walk(n, 0)
		biggest := 0.0
		for i := range frames {
			frames[i].Sharpness = rapid.Float64Range(0, 0.9).Draw(t, "sharpness")
			if i > 0 {
				frames[i].Motion = rapid.SampledFrom([]float64{0, 0.0002, 0.001, 0.01, 0.03, 0.15}).Draw(t, "motion")
			}
			biggest = max(biggest, frames[i].Motion)
		}
		choosetest.Along(frames)
		o := choose.Options{MaxImages: rapid.IntRange(1, 400).Draw(t, "max")}
		s := choose.Frames(frames, o)
		if len(s.Frames) > o.MaxImages {
			t.Fatalf("%d selected of at most %d", len(s.Frames), o.MaxImages)
		}
		if sum := len(s.Frames) + s.Unusable + s.Duplicates + s.Blurred + s.Loose + s.Thinned; sum != n {
			t.Fatalf("%d of %d frames accounted for", sum, n)
		}
		window := frames[n-1].Travel / float64(min(o.MaxImages, 120))
		usable := -1
		hole := 0.0 // the largest between usable frames, which no selection can help
		for i, f := range frames {
			if !f.Usable() {
				continue
			}
			if usable >= 0 {
				hole = max(hole, f.Travel-frames[usable].Travel)
			}
			usable = i
		}
		for i := 1; i < len(s.Frames); i++ {
			a, b := s.Frames[i-1].Index, s.Frames[i].Index
			if a >= b {
				t.Fatalf("frame %d comes before %d", a, b)
			}
			if gap := frames[b].Travel - frames[a].Travel; !(gap <= choose.LargestHole+2*window+2*hole+2*choose.NewView+1e-9) {
				t.Fatalf("a hole of %.3f between %d and %d (window %.3f, steps up to %.3f)", gap, a, b, window, biggest)
			}
		}
	})
}
