package frames

import (
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
	"github.com/splatworks/splatworks/engines/fault"
)

func TestSelectFilter(t *testing.T) {
	var frames []choose.Frame
	for _, i := range []int{0, 3, 4, 5, 9, 11} {
		frames = append(frames, choose.Frame{Index: i})
	}
	want := `select=((eq(n\,0)+between(n\,3\,5))+(eq(n\,9)+eq(n\,11))),`
	if got := selectFilter(frames); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// judged is the report of a capture that is one video, as Capture.Choose makes it.
func judged(v Video, scores Scores, selection choose.Selection) (Report, error) {
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
	change := func(f func(i int, f *choose.Frame)) []choose.Frame {
		frames := choosetest.Walk(60, 0.02)
		for i := range frames {
			f(i, &frames[i])
		}
		return choosetest.Along(frames)
	}
	for _, test := range []struct {
		name     string
		video    Video
		frames   []choose.Frame
		damaged  int
		refused  string
		warnings string
	}{
		{"good", good, choosetest.Walk(60, 0.02), 0, "", ""},
		{"black", good, change(func(_ int, f *choose.Frame) { f.Dark, f.Brightness, f.Contrast, f.Sharpness, f.Texture = 1, 0, 0, 0, 0 }), 0, AllBlack, "blurry too_dark few_images"},
		{"white wall", good, change(func(_ int, f *choose.Frame) { f.Texture, f.Matched, f.Motion = 0, 0, 0 }), 0, NoDetail, "few_images"},
		{"noise", good, change(func(_ int, f *choose.Frame) { f.Matched, f.Motion = 0, 0.15 }), 0, NotAScene, "fast_motion"},
		{"tripod", good, change(func(_ int, f *choose.Frame) { f.Motion, f.Duplicate = 0.0002, true }), 0, NoMotion, "mostly_static few_images"},
		{"hurried", good, change(func(i int, f *choose.Frame) {
			if i%3 == 0 {
				f.Matched, f.Motion = 0.4, 0.15
			}
		}), 0, "", "fast_motion"},
		{"cut", good, change(func(i int, f *choose.Frame) {
			if i == 30 {
				f.Matched, f.Motion = 0.1, 0.15
			}
		}), 0, "", "scene_cut"},
		{"shaken", good, change(func(i int, f *choose.Frame) {
			if i%4 == 0 {
				f.Sharpness = 0.4
			}
		}), 0, "", "motion_blur"},
		{"soft", good, change(func(_ int, f *choose.Frame) { f.Sharpness = 0.2 }), 0, "", "blurry"},
		{"dim", good, change(func(_ int, f *choose.Frame) { f.Brightness = 0.08 }), 0, "", "too_dark"},
		{"glaring", good, change(func(_ int, f *choose.Frame) { f.Brightness = 0.93 }), 0, "", "too_bright"},
		{"automatic exposure", good, change(func(i int, f *choose.Frame) { f.Brightness = 0.3 + 0.4*float64(i/30) }), 0, "", "exposure_changes"},
		{"a hand's breadth", good, choosetest.Walk(60, 0.004), 0, "", "little_motion"},
		{"short", good, choosetest.Walk(12, 0.05), 0, "", "few_images"},
		{"damaged", good, choosetest.Walk(60, 0.02), 3, "", "damaged_video"},
		{"old film", Video{Width: 480, Height: 360, Interlaced: true, HDR: true}, choosetest.Walk(60, 0.02), 0, "", "low_resolution hdr_video interlaced_video"},
	} {
		r, err := judged(test.video, Scores{Frames: test.frames, Damaged: test.damaged}, choose.Frames(test.frames, choose.Options{}))
		if got := code(err); got != test.refused {
			t.Errorf("%s: refused with %q, want %q", test.name, got, test.refused)
		}
		if got := warned(r); got != test.warnings {
			t.Errorf("%s: warnings %q, want %q", test.name, got, test.warnings)
		}
	}
}
