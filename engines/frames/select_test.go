package frames

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
	"pgregory.net/rapid"
)

// walk is a made-up capture: n good frames, each a step further than the last.
func walk(n int, step float64) []Frame {
	frames := make([]Frame, n)
	for i := range frames {
		frames[i] = Frame{Index: i, TimeS: float64(i) / 30, Sharpness: 0.6, Brightness: 0.5, Contrast: 0.2, Matched: 1, Texture: 1, Difference: 0.1, Motion: step}
	}
	frames[0].Motion, frames[0].Difference = 0, 0
	return along(frames)
}

// along sets the travel to what the motions add up to, those of a tripod left out.
func along(frames []Frame) []Frame {
	sum := 0.0
	for i := range frames {
		if frames[i].Motion >= 0.0004 {
			sum += frames[i].Motion
		}
		frames[i].Travel = sum
	}
	return frames
}

func indices(s Selection) []int {
	var out []int
	for _, f := range s.Frames {
		out = append(out, f.Index)
	}
	return out
}

func TestFewFramesAreAllKept(t *testing.T) {
	for _, step := range []float64{0.004, 0.03, 0.14} {
		if s := Select(walk(50, step), SelectOptions{}); len(s.Frames) != 50 {
			t.Errorf("step %v: %d of 50 kept", step, len(s.Frames))
		}
	}
}

func TestManyFramesAreThinnedEvenly(t *testing.T) {
	s := Select(walk(3000, 0.004), SelectOptions{MaxImages: 200})
	got := indices(s)
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
	s := Select(walk(1800, 0.0008), SelectOptions{})
	if n := len(s.Frames); n < 110 || n > 160 {
		t.Errorf("%d selected", n)
	}
}

func TestStandingStillGivesOneImage(t *testing.T) {
	frames := walk(60, 0.02)
	for i := 20; i < 45; i++ {
		frames[i].Motion, frames[i].Difference = 0.0002, 0.001
	}
	frames[33].Sharpness = 0.7
	s := Select(along(frames), SelectOptions{})
	var inside []int
	for _, i := range indices(s) {
		if i >= 19 && i < 45 {
			inside = append(inside, i)
		}
	}
	if !slices.Equal(inside, []int{33}) || s.Duplicates != 25 {
		t.Errorf("kept %v of the standstill, %d duplicates", inside, s.Duplicates)
	}
}

func TestSharpestOfEachWindow(t *testing.T) {
	frames := walk(1200, 0.005)
	for i := range frames {
		if i%4 == 2 {
			frames[i].Sharpness = 0.66
		}
	}
	s := Select(frames, SelectOptions{MaxImages: 300})
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
	frames := walk(60, 0.03)
	for _, i := range []int{10, 20, 21, 40} {
		frames[i].Sharpness = 0.4
	}
	frames[40].Motion, frames[41].Motion = 0.12, 0.12
	s := Select(along(frames), SelectOptions{})
	got := indices(s)
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
	frames := walk(40, 0.11)
	for _, i := range []int{0, 1, 2, 3, 39} {
		frames[i].Sharpness = 0.4
	}
	s := Select(frames, SelectOptions{})
	if got := indices(s); s.Blurred != 5 || got[0] != 4 || got[len(got)-1] != 38 {
		t.Errorf("%d blurred, from %d to %d", s.Blurred, got[0], got[len(got)-1])
	}
}

// Three in ten frames are blurred: what is chosen of four times as many stays even and has few of them, those of long runs.
func TestSpreadAvoidsBlur(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	frames := walk(1200, 0.01)
	for i := range frames {
		if r.Float64() < 0.3 {
			frames[i].Sharpness = 0.54
		}
	}
	s := Select(frames, SelectOptions{MaxImages: 300})
	got := indices(s)
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
	frames := walk(900, 0.005)
	for i := 300; i < 600; i++ {
		frames[i].Motion = 0.025
	}
	part := map[int]int{}
	for _, i := range indices(Select(along(frames), SelectOptions{MaxImages: 90})) {
		part[i/300]++
	}
	// By travel alone 13, 64 and 13.
	if !(part[0] >= 25 && part[1] <= 40 && part[2] >= 25) {
		t.Errorf("chosen of each third: %v", part)
	}
	// Where nothing else keeps overlap, travel does: an even number would leave gaps of 0.3.
	frames = walk(1000, 0.003)
	for i := 900; i < 1000; i++ {
		frames[i].Motion = 0.06
	}
	along(frames)
	got := Select(frames, SelectOptions{MaxImages: 200}).Frames
	for k := 1; k < len(got); k++ {
		if gap := got[k].Travel - got[k-1].Travel; !(gap <= largestHole) {
			t.Errorf("a hole of %.3f before frame %d", gap, got[k].Index)
		}
	}
}

// What is found window by window is the best of all choices.
func TestSpreadIsTheBestChoice(t *testing.T) {
	square := func(x float64) float64 { return x * x }
	rapid.Check(t, func(t *rapid.T) {
		views := make([]int, rapid.IntRange(5, 14).Draw(t, "views"))
		frames := walk(len(views), 0)
		clarity := make([]float64, len(views))
		for i := range views {
			views[i], clarity[i] = i, rapid.Float64Range(0.7, 1.1).Draw(t, "clarity")
			frames[i].Motion = rapid.Float64Range(0.002, 0.1).Draw(t, "motion")
		}
		along(frames)
		n := rapid.IntRange(1, 4).Draw(t, "n")
		end := float64(n - 1)
		travel := func(i int) float64 { return frames[i].Travel - frames[0].Travel }
		place := func(i int) float64 {
			last := len(views) - 1
			return end * (travelShare*travel(i)/travel(last) + (1-travelShare)*float64(i)/float64(last))
		}
		cost := func(chosen []int) float64 {
			sum := square(place(chosen[0])) + square(end-place(chosen[len(chosen)-1]))
			for k, i := range chosen {
				sum += square(max(0, (1-clarity[i])/(1-blurredRatio)))
				if k > 0 {
					sum += square(max(place(i)-place(chosen[k-1]), 2*(travel(i)-travel(chosen[k-1]))/largestHole) - 1)
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
		var choose func(chosen []int)
		choose = func(chosen []int) {
			if len(chosen) == len(order) {
				least = min(least, cost(chosen))
				return
			}
			for _, i := range windows[order[len(chosen)]] {
				choose(append(slices.Clone(chosen), i))
			}
		}
		choose(nil)
		got := new(Selection).spread(views, frames, clarity, n)
		if len(got) != len(order) || !(cost(got) < least+1e-9) {
			t.Fatalf("%v of %d windows costs %v, the best %v", got, len(order), cost(got), least)
		}
	})
}

func TestLooseEndsGo(t *testing.T) {
	frames := walk(60, 0.03)
	for _, i := range []int{1, 2, 4, 57} {
		frames[i].Matched, frames[i].Motion = 0.2, 0.15
	}
	s := Select(along(frames), SelectOptions{})
	if got := indices(s); s.Loose != 7 || got[0] != 4 || got[len(got)-1] != 56 {
		t.Errorf("%d loose, from %d to %d", s.Loose, got[0], got[len(got)-1])
	}
	frames[30].Matched = 0.2 // a cut in the middle is not counted
	if s := Select(frames, SelectOptions{}); s.Loose != 7 {
		t.Errorf("%d loose", s.Loose)
	}
	for i := range frames {
		frames[i].Matched = 0.4
	}
	if s := Select(frames, SelectOptions{}); s.Loose != 0 {
		t.Errorf("%d loose of frames that all jump", s.Loose)
	}
}

func TestUnusableFramesNeverAreSelected(t *testing.T) {
	frames := walk(40, 0.03)
	frames[3].Dark, frames[9].Bright, frames[12].Contrast, frames[20].Sharpness = 1, 1, 0, 0
	s := Select(frames, SelectOptions{})
	if s.Unusable != 4 || len(s.Frames) != 36 {
		t.Errorf("%d unusable, %d selected", s.Unusable, len(s.Frames))
	}
	if s := Select(nil, SelectOptions{}); len(s.Frames) != 0 {
		t.Error("something was selected from nothing")
	}
}

// Whatever the frames: the selection is a subset in order, no larger than asked for, every frame is accounted for, and
// no hole opens that is not in the video already.
func TestSelectionHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(t, "n")
		frames := walk(n, 0)
		biggest := 0.0
		for i := range frames {
			frames[i].Sharpness = rapid.Float64Range(0, 0.9).Draw(t, "sharpness")
			if i > 0 {
				frames[i].Motion = rapid.SampledFrom([]float64{0, 0.0002, 0.001, 0.01, 0.03, 0.15}).Draw(t, "motion")
			}
			biggest = max(biggest, frames[i].Motion)
		}
		along(frames)
		o := SelectOptions{MaxImages: rapid.IntRange(1, 400).Draw(t, "max")}
		s := Select(frames, o)
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
			if unusable(f) {
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
			if gap := frames[b].Travel - frames[a].Travel; !(gap <= largestHole+2*window+2*hole+2*newView+1e-9) {
				t.Fatalf("a hole of %.3f between %d and %d (window %.3f, steps up to %.3f)", gap, a, b, window, biggest)
			}
		}
	})
}

func TestSelectFilter(t *testing.T) {
	var frames []Frame
	for _, i := range []int{0, 3, 4, 5, 9, 11} {
		frames = append(frames, Frame{Index: i})
	}
	want := `select=((eq(n\,0)+between(n\,3\,5))+(eq(n\,9)+eq(n\,11))),`
	if got := selectFilter(frames); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// judged is the report of a capture that is one video, as Capture.Choose makes it.
func judged(v Video, scores Scores, selection Selection) (Report, error) {
	r, err := judgeVideo(v, scores, selection)
	r.warnFew(false)
	return r, err
}

func code(err error) string {
	if f := fault.Of(err); f != nil && f.Kind == fault.Input {
		return f.Code
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return ""
}

func warned(r Report) string {
	var codes []string
	for _, w := range r.Warnings {
		if w.Message == "" || w.Advice == "" {
			codes = append(codes, "without words")
		}
		codes = append(codes, w.Code)
	}
	return strings.Join(codes, " ")
}

func TestJudge(t *testing.T) {
	good := Video{Width: 1920, Height: 1080, FPS: 30, DurationS: 2}
	change := func(f func(i int, f *Frame)) []Frame {
		frames := walk(60, 0.02)
		for i := range frames {
			f(i, &frames[i])
		}
		return along(frames)
	}
	for _, test := range []struct {
		name     string
		video    Video
		frames   []Frame
		damaged  int
		refused  string
		warnings string
	}{
		{"good", good, walk(60, 0.02), 0, "", ""},
		{"black", good, change(func(_ int, f *Frame) { f.Dark, f.Brightness, f.Contrast, f.Sharpness, f.Texture = 1, 0, 0, 0, 0 }), 0, AllBlack, "blurry too_dark few_images"},
		{"white wall", good, change(func(_ int, f *Frame) { f.Texture, f.Matched, f.Motion = 0, 0, 0 }), 0, NoDetail, "few_images"},
		{"noise", good, change(func(_ int, f *Frame) { f.Matched, f.Motion = 0, 0.15 }), 0, NotAScene, "fast_motion"},
		{"tripod", good, change(func(_ int, f *Frame) { f.Motion, f.Duplicate = 0.0002, true }), 0, NoMotion, "mostly_static few_images"},
		{"hurried", good, change(func(i int, f *Frame) {
			if i%3 == 0 {
				f.Matched, f.Motion = 0.4, 0.15
			}
		}), 0, "", "fast_motion"},
		{"cut", good, change(func(i int, f *Frame) {
			if i == 30 {
				f.Matched, f.Motion = 0.1, 0.15
			}
		}), 0, "", "scene_cut"},
		{"shaken", good, change(func(i int, f *Frame) {
			if i%4 == 0 {
				f.Sharpness = 0.4
			}
		}), 0, "", "motion_blur"},
		{"soft", good, change(func(_ int, f *Frame) { f.Sharpness = 0.2 }), 0, "", "blurry"},
		{"dim", good, change(func(_ int, f *Frame) { f.Brightness = 0.08 }), 0, "", "too_dark"},
		{"glaring", good, change(func(_ int, f *Frame) { f.Brightness = 0.93 }), 0, "", "too_bright"},
		{"automatic exposure", good, change(func(i int, f *Frame) { f.Brightness = 0.3 + 0.4*float64(i/30) }), 0, "", "exposure_changes"},
		{"a hand's breadth", good, walk(60, 0.004), 0, "", "little_motion"},
		{"short", good, walk(12, 0.05), 0, "", "few_images"},
		{"damaged", good, walk(60, 0.02), 3, "", "damaged_video"},
		{"old film", Video{Width: 480, Height: 360, Interlaced: true, HDR: true}, walk(60, 0.02), 0, "", "low_resolution hdr_video interlaced_video"},
	} {
		r, err := judged(test.video, Scores{Frames: test.frames, Damaged: test.damaged}, Select(test.frames, SelectOptions{}))
		if got := code(err); got != test.refused {
			t.Errorf("%s: refused with %q, want %q", test.name, got, test.refused)
		}
		if got := warned(r); got != test.warnings {
			t.Errorf("%s: warnings %q, want %q", test.name, got, test.warnings)
		}
	}
}
