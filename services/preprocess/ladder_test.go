package preprocess

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

func placed(n, of int) attempt {
	return attempt{rung: rung{edgePx: 500}, result: colmap.Result{Images: of, Quality: scene.Quality{RegisteredImages: n, MeanReprojectionErrorPx: 0.5}}}
}

func TestWhenAFurtherTryIsWorthIt(t *testing.T) {
	doubtful := placed(50, 50)
	doubtful.result.Doubtful = true
	for name, test := range map[string]struct {
		attempt attempt
		err     error
		want    bool
	}{
		"all placed":      {placed(50, 50), nil, false},
		"most placed":     {placed(45, 50), nil, false},
		"many missing":    {placed(44, 50), nil, true},
		"one of few":      {placed(18, 19), nil, true},
		"mappers differ":  {doubtful, nil, true},
		"no model":        {attempt{}, &fault.Failure{Kind: fault.Input, Code: colmap.NoSparseModel}, true},
		"few registered":  {placed(9, 50), &fault.Failure{Kind: fault.Input, Code: colmap.TooFewRegistered}, true},
		"hardly textured": {attempt{}, &fault.Failure{Kind: fault.Input, Code: colmap.NoFeatures}, true},
		"no such lens":    {attempt{}, &fault.Failure{Kind: fault.Input, Code: colmap.ImplausibleCameras}, true},
		"turned only":     {placed(50, 50), &fault.Failure{Kind: fault.Input, Code: colmap.DegenerateBaseline}, false},
		"out of memory":   {attempt{}, &fault.Failure{Kind: fault.Exhausted, Code: colmap.Killed}, false},
		"another error":   {attempt{}, errors.New("disk"), false},
		"not measured":    {attempt{result: colmap.Result{Images: 0}}, nil, true},
	} {
		if got := test.attempt.wantsMore(test.err); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// More images count first, then how well they fit; what two mappers place differently counts less.
func TestWhichTryIsKept(t *testing.T) {
	with := func(a attempt, change func(*attempt)) attempt { change(&a); return a }
	all := placed(50, 50)
	for name, test := range map[string]struct {
		a, b attempt
		want bool
	}{
		"more images":          {placed(48, 50), placed(47, 50), true},
		"fewer images":         {placed(46, 50), placed(47, 50), false},
		"a larger part":        {placed(90, 100), placed(44, 50), true},
		"the same":             {all, all, false},
		"half the error":       {with(all, func(a *attempt) { a.result.Quality.MeanReprojectionErrorPx = 0.25 }), all, true},
		"the same on larger":   {with(all, func(a *attempt) { a.rung.edgePx = 1000 }), all, true},
		"in proportion":        {with(all, func(a *attempt) { a.rung.edgePx, a.result.Quality.MeanReprojectionErrorPx = 1000, 1 }), all, false},
		"doubtful":             {with(all, func(a *attempt) { a.result.Doubtful = true }), placed(45, 50), false},
		"nearer to GPS":        {with(all, func(a *attempt) { a.result.World.UnitErrorPct, a.result.Quality.MeanReprojectionErrorPx = 1, 2 }), with(all, func(a *attempt) { a.result.World.UnitErrorPct = 3 }), true},
		"farther from GPS":     {with(all, func(a *attempt) { a.result.World.UnitErrorPct, a.result.Quality.MeanReprojectionErrorPx = 3, 0.1 }), with(all, func(a *attempt) { a.result.World.UnitErrorPct = 1 }), false},
		"an error that is NaN": {with(all, func(a *attempt) { a.result.Quality.MeanReprojectionErrorPx = math.NaN() }), all, false},
	} {
		if got := test.a.betterThan(test.b); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Every rung costs more than the one before, looks at no more pixels than there are, and a preview ends no lower than standard
// begins.
func TestTheLadderGrows(t *testing.T) {
	photos := frames.Report{Width: 4000, Height: 3000}
	standard := decide(t, Config{Threads: 2}, pipeline.Options{}, false, photos, 25).first()
	for _, preset := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
		w := decide(t, Config{Threads: 2}, pipeline.Options{Preset: preset}, false, photos, 25)
		last, beyond := w.first(), false
		for _, r := range w.ladder(false) {
			if r.denser || r.edgePx > photos.Width || r.edgePx < last.edgePx || r.features < last.features || r.search < last.search || r == last {
				t.Errorf("%s: %+v after %+v", preset, r, last)
			}
			size := w.size(25, r.edgePx)
			before := w.size(25, last.edgePx)
			if now, then := r.plan(25).Estimate(size, 2), last.plan(25).Estimate(before, 2); !(now.CPUS > then.CPUS) {
				t.Errorf("%s: %s takes %.0f s, the rung before %.0f s", preset, r.what, now.CPUS, then.CPUS)
			}
			last = r
			beyond = beyond || r.edgePx >= standard.edgePx && r.features >= standard.features
		}
		if !beyond {
			t.Errorf("%s never looks as hard as standard's first try", preset)
		}
	}
	// Small pictures are not made larger, and frames of videos come first: they are the cheapest.
	small := decide(t, Config{Threads: 2}, pipeline.Options{}, false, frames.Report{DurationS: 9, Width: 640, Height: 360}, 40)
	rungs := small.ladder(true)
	if !rungs[0].denser {
		t.Errorf("a video's second try is %+v", rungs[0])
	}
	for _, r := range rungs {
		if r.edgePx > small.first().edgePx {
			t.Errorf("%+v of 640 pixels", r)
		}
	}
	// After memory ran out nothing takes more of it.
	w := decide(t, Config{Threads: 2}, pipeline.Options{}, true, photos, 25)
	for _, r := range w.ladder(false) {
		if r.edgePx > w.first().edgePx || r.features > w.first().features {
			t.Errorf("after memory ran out: %+v", r)
		}
	}
}

// What does not fit the time or the memory that is left is made smaller, or left out.
func TestRungsFitWhatIsLeft(t *testing.T) {
	photos := frames.Report{Width: 4000, Height: 3000}
	c := Config{Threads: 2}
	w := decide(t, c, pipeline.Options{Preset: pipeline.Preview}, false, photos, 25)
	rungs := w.ladder(false)
	top := rungs[len(rungs)-1]
	whole, ok := c.affordable(w, top, 25, 1e6)
	if !ok || whole != top {
		t.Errorf("with all the time there is: %+v, %v", whole, ok)
	}
	size := w.size(25, top.edgePx)
	less, ok := c.affordable(w, top, 25, 0.8*top.plan(25).Estimate(size, 2).WallS)
	if !ok || less.edgePx >= top.edgePx || less.edgePx < w.first().edgePx {
		t.Errorf("with less: %+v, %v", less, ok)
	}
	c.MemoryBytes = 700 << 20
	if tight, ok := c.affordable(w, top, 25, 1e6); ok && tight.edgePx >= top.edgePx {
		t.Errorf("in 700 MiB: %+v", tight)
	}
	if r, ok := c.affordable(w, top, 25, 0); ok {
		t.Errorf("with no time left: %+v", r)
	}
}

// Tries continue while the best of them leaves images out, the best is kept, and each is reported.
func TestClimbing(t *testing.T) {
	w := work{posesBudgetS: 100, threads: 2}
	w.plan.Smaller = false
	rungs := []rung{{what: "second"}, {what: "third"}, {what: "fourth"}}
	none := &fault.Failure{Kind: fault.Input, Code: colmap.NoSparseModel}
	type result struct {
		a   attempt
		ok  bool
		err error
	}
	costly := placed(30, 50)
	costly.result.Runs = []colmap.Run{{CPUS: 120}}
	for name, test := range map[string]struct {
		results []result // of the tries in this order
		tries   int
		chosen  int // from 0; -1: none
		placed  int
		lefts   []float64 // seconds that further tries are given
	}{
		"enough at once":        {[]result{{placed(50, 50), true, nil}}, 1, 0, 50, nil},
		"at the second":         {[]result{{placed(30, 50), true, nil}, {placed(46, 50), true, nil}}, 2, 1, 46, []float64{100}},
		"the best of all":       {[]result{{placed(30, 50), true, nil}, {placed(44, 50), true, nil}, {placed(40, 50), true, nil}, {attempt{}, true, none}}, 4, 1, 44, []float64{100, 50, 50}},
		"after nothing at all":  {[]result{{attempt{}, true, none}, {attempt{}, true, none}, {placed(50, 50), true, nil}}, 3, 2, 50, []float64{200, 200}},
		"nothing ever":          {[]result{{attempt{}, true, none}, {attempt{}, true, none}, {attempt{}, true, none}, {attempt{}, true, none}}, 4, -1, 0, []float64{200, 200, 200}},
		"one that is not to be": {[]result{{placed(30, 50), true, nil}, {}, {placed(50, 50), true, nil}}, 2, 1, 50, []float64{100, 100}},
		"time is counted":       {[]result{{placed(30, 50), true, nil}, {costly, true, nil}, {placed(50, 50), true, nil}}, 3, 2, 50, []float64{100, 40}},
		"a crash on the way":    {[]result{{placed(30, 50), true, nil}, {attempt{}, true, &fault.Failure{Code: colmap.Crashed}}, {placed(50, 50), true, nil}}, 3, 2, 50, []float64{100, 100}},
		"out of memory":         {[]result{{placed(30, 50), true, nil}, {attempt{}, true, &fault.Failure{Kind: fault.Exhausted, Code: colmap.Killed}}}, 2, 0, 30, []float64{100}},
		"out of room":           {[]result{{placed(30, 50), true, nil}, {attempt{}, true, errors.New("disk")}}, 2, 0, 30, []float64{100}},
	} {
		var lefts []float64
		n, settled := 0, 0
		o, err := climb(t.Context(), w, rungs, func(_ context.Context, r rung, number int, at span, leftS float64) (attempt, bool, error) {
			if number > 1 {
				lefts = append(lefts, leftS)
			}
			result := test.results[n]
			n++
			return result.a, result.ok, result.err
		}, func(keep, drop attempt) error {
			if keep.result.Quality.RegisteredImages < drop.result.Quality.RegisteredImages {
				t.Errorf("%s: %+v was dropped for %+v", name, drop, keep)
			}
			settled++
			return nil
		})
		if err != nil || len(o.tries) != test.tries || n != len(test.results) || !slices.Equal(lefts, test.lefts) {
			t.Errorf("%s: %d tries, given %v (%v)", name, len(o.tries), lefts, err)
			continue
		}
		for i, try := range o.tries {
			if try.Chosen != (i == test.chosen) {
				t.Errorf("%s: try %d is %+v", name, i, try)
			}
		}
		if (o.err != nil) != (test.chosen < 0) || o.attempt.result.Quality.RegisteredImages != test.placed || settled != test.tries-1 {
			t.Errorf("%s: %+v, %v, settled %d times", name, o.attempt.result.Quality, o.err, settled)
		}
	}
	// What is not about the images ends it.
	disk := errors.New("disk")
	if _, err := climb(t.Context(), w, rungs, func(context.Context, rung, int, span, float64) (attempt, bool, error) { return attempt{}, true, disk }, nil); err != disk {
		t.Errorf("got %v", err)
	}
	first := true
	if _, err := climb(t.Context(), w, rungs, func(context.Context, rung, int, span, float64) (attempt, bool, error) {
		if first {
			first = false
			return attempt{}, true, none
		}
		return attempt{}, true, disk
	}, func(_, _ attempt) error { return nil }); err != disk {
		t.Errorf("on the way: %v", err)
	}
	// A failure says what was tried in vain.
	o := outcome{err: none, tries: []artifacts.PosesTry{{}, {LongEdgePx: 1008, Registered: 4}, {LongEdgePx: 1600}}}
	var f *pipeline.Failure
	if err := o.afterTries(stage.FromEngine(&fault.Failure{Kind: fault.Input, Code: colmap.NoSparseModel, Message: "No poses."})); !errors.As(err, &f) || f.Message != "No poses. 2 further tries, with up to 1600 pixels, did not do better than 4 images." {
		t.Errorf("%v", err)
	}
}

// A further try that takes far longer than was left for it is stopped, nothing after it is tried, and what the first found is kept.
func TestTryThatOverrunsIsStopped(t *testing.T) {
	tries, first := 0, placed(30, 50)
	o, err := climb(t.Context(), work{posesBudgetS: 0.02, threads: 2}, []rung{{what: "second"}, {what: "third"}}, func(ctx context.Context, _ rung, number int, _ span, _ float64) (attempt, bool, error) {
		if tries++; number == 1 {
			return first, true, ctx.Err()
		}
		<-ctx.Done()
		return attempt{}, true, fmt.Errorf("match features: %w", ctx.Err())
	}, func(keep, drop attempt) error {
		if keep.result.Quality.RegisteredImages != 30 {
			t.Errorf("kept %+v", keep)
		}
		return nil
	})
	if err != nil || o.err != nil || tries != 2 || len(o.tries) != 2 || !o.tries[0].Chosen || o.tries[1].Failure != "out_of_time" {
		t.Errorf("%d tries: %+v, %v", tries, o, err)
	}

	// Where the first found nothing, its failure remains the request's.
	none := &fault.Failure{Kind: fault.Input, Code: colmap.NoSparseModel}
	o, err = climb(t.Context(), work{posesBudgetS: 0.02, threads: 2}, []rung{{what: "second"}}, func(ctx context.Context, _ rung, number int, _ span, _ float64) (attempt, bool, error) {
		if number == 1 {
			return attempt{}, true, none
		}
		<-ctx.Done()
		return attempt{}, true, ctx.Err()
	}, func(_, _ attempt) error { return nil })
	if err != nil || o.err != none {
		t.Errorf("after nothing: %v, %v", o.err, err)
	}
}

// The tries share what is left of the stage, and never go back.
func TestSpansOfTries(t *testing.T) {
	s := span{percentExtract, percentFurther}
	for range 5 {
		n := s.next()
		if !(n.from == s.to && n.to > n.from && n.to < percentLast && s.at(1) == n.at(0)) {
			t.Errorf("%+v after %+v", n, s)
		}
		s = n
	}
}

// Images that the trainer gets are never less than half the size of those that the poses were found in, nor than it asks for.
func TestUndistortedSize(t *testing.T) {
	for _, test := range []struct{ training, poses, want int }{{480, 504, 480}, {480, 1008, 480}, {480, 1600, 761}, {640, 1344, 640}} {
		if got := undistortedSize(test.training, test.poses); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

// Where filter had warned that the camera hardly moves, that is the advice when no poses are found.
func TestAdviceOfACaptureThatHardlyMoves(t *testing.T) {
	moved := fault.Warning{Code: "little_motion", Message: "The camera hardly changes its place.", Advice: "Walk."}
	dark := fault.Warning{Code: "too_dark", Message: "Dark.", Advice: "Light."}
	bad := &fault.Failure{Kind: fault.Input, Code: colmap.NoSparseModel, Message: "No overlap.", Advice: "Overlap."}
	for name, test := range map[string]struct {
		err      error
		warnings []fault.Warning
		advice   string
	}{
		"still":         {bad, []fault.Warning{dark, moved}, "Walk."},
		"dark only":     {bad, []fault.Warning{dark}, "Overlap."},
		"out of room":   {&fault.Failure{Kind: fault.Exhausted, Code: colmap.Killed, Message: "Killed.", Advice: "Memory."}, []fault.Warning{moved}, "Memory."},
		"not a verdict": {errors.New("disk"), []fault.Warning{moved}, ""},
	} {
		err := advised(stage.FromEngine(test.err), test.warnings)
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
	selected := func(n, thinned, blurred int) choose.Selection {
		return choose.Selection{Frames: make([]choose.Frame, n), Thinned: thinned, Blurred: blurred}
	}
	for name, test := range map[string]struct {
		selection choose.Selection
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
	few := stage.FromEngine(&fault.Failure{Kind: fault.Input, Code: colmap.TooFewRegistered, Message: "Only 3 of 20."})
	var f *pipeline.Failure
	if err := afterSmaller(killed, true, few); !errors.As(err, &f) || f.Kind != pipeline.ExhaustedResources || f.Code != colmap.Killed ||
		f.Message != "COLMAP's mapper was killed. A smaller plan failed, too: Only 3 of 20." || f.Advice != killed.Advice {
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
