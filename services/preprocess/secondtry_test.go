package preprocess

import (
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/pipeline"
)

func TestWhenASecondTryIsWorthIt(t *testing.T) {
	placed := func(n, of int) attempt {
		return attempt{result: colmap.Result{Images: of, Quality: scene.Quality{RegisteredImages: n}}}
	}
	for name, test := range map[string]struct {
		attempt attempt
		err     error
		want    bool
	}{
		"all placed":     {placed(50, 50), nil, false},
		"most placed":    {placed(40, 50), nil, false},
		"many missing":   {placed(39, 50), nil, true},
		"no model":       {attempt{}, &colmap.Failure{Code: colmap.NoSparseModel}, true},
		"few registered": {placed(9, 50), &colmap.Failure{Code: colmap.TooFewRegistered}, true},
		"no texture":     {attempt{}, &colmap.Failure{Code: colmap.NoFeatures}, false},
		"turned only":    {placed(50, 50), &colmap.Failure{Code: colmap.DegenerateBaseline}, false},
		"out of memory":  {attempt{}, &colmap.Failure{Code: colmap.Killed}, false},
		"another error":  {attempt{}, errors.New("disk"), false},
	} {
		if got := test.attempt.wantsMore(test.err); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Where filter had warned that the camera hardly moves, that is the advice when no poses are found.
func TestAdviceOfACaptureThatHardlyMoves(t *testing.T) {
	moved := frames.Warning{Code: "little_motion", Message: "The camera hardly changes its place.", Advice: "Walk."}
	dark := frames.Warning{Code: "too_dark", Message: "Dark.", Advice: "Light."}
	bad := &colmap.Failure{Code: colmap.NoSparseModel, Message: "no overlap", Advice: "Overlap."}
	for name, test := range map[string]struct {
		err      error
		warnings []frames.Warning
		advice   string
	}{
		"still":         {bad, []frames.Warning{dark, moved}, "Walk."},
		"dark only":     {bad, []frames.Warning{dark}, "Overlap."},
		"out of room":   {&colmap.Failure{Code: colmap.Killed, Message: "killed", Advice: "Memory."}, []frames.Warning{moved}, "Memory."},
		"not a verdict": {errors.New("disk"), []frames.Warning{moved}, ""},
	} {
		err := advised(failure(test.err), test.warnings)
		var f *pipeline.Failure
		if !errors.As(err, &f) {
			f = &pipeline.Failure{}
		}
		if f.Advice != test.advice || test.advice == "Walk." && (f.Code != colmap.NoSparseModel || !strings.Contains(f.Message, moved.Message)) {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

func TestASecondTryNeedsMoreFrames(t *testing.T) {
	selected := func(n, thinned, blurred int) frames.Selection {
		return frames.Selection{Frames: make([]frames.Frame, n), Thinned: thinned, Blurred: blurred}
	}
	for name, test := range map[string]struct {
		selection frames.Selection
		views     int
		limit     int
		wanted    int
		ok        bool
	}{
		"many left":            {selected(100, 500, 0), 1, 0, 200, true},
		"none left":            {selected(100, 0, 0), 1, 0, 200, false},
		"hardly any left":      {selected(100, 20, 4), 1, 0, 200, false},
		"blurred ones are too": {selected(100, 0, 25), 1, 0, 200, true},
		"the client's limit":   {selected(100, 500, 0), 1, 110, 110, false},
		"below the limit":      {selected(100, 500, 0), 1, 150, 150, true},
		"our own limit":        {selected(400, 5000, 0), 1, 0, 600, true},
		"six views of each":    {selected(50, 400, 0), 6, 0, 100, true},
		"their limit":          {selected(50, 400, 0), 6, 300, 50, false},
	} {
		if wanted, ok := twice(test.selection, test.views, test.limit); wanted != test.wanted || ok != test.ok {
			t.Errorf("%s: %d, %v", name, wanted, ok)
		}
	}
}

// A plan that was made smaller after COLMAP was killed does not make a good capture bad.
func TestASmallerPlanIsNotHeldAgainstTheCapture(t *testing.T) {
	killed := &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: colmap.Killed, Message: "COLMAP's mapper was killed.", Advice: "Use fewer images."}
	few := failure(&colmap.Failure{Code: colmap.TooFewRegistered, Message: "only 3 of 20"})
	var f *pipeline.Failure
	if err := afterSmaller(killed, true, few); !errors.As(err, &f) || f.Kind != pipeline.ExhaustedResources || f.Code != colmap.Killed ||
		f.Message != "COLMAP's mapper was killed. A smaller plan did not do either: Only 3 of 20." || f.Advice != killed.Advice {
		t.Errorf("%+v", f)
	}
	// Where nothing was smaller, and what is not about the capture, stays as it is.
	disk := errors.New("disk")
	for _, err := range []error{afterSmaller(nil, false, few), afterSmaller(&pipeline.Failure{Kind: pipeline.Internal}, false, few)} {
		if err != few {
			t.Errorf("%v", err)
		}
	}
	if err := afterSmaller(killed, true, disk); err != disk {
		t.Errorf("%v", err)
	}
}
