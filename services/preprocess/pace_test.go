package preprocess

import (
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

// Whatever a command says or does not say, progress moves every second, never falls, and reaches the end only when that is
// reported.
func TestProgressNeverStandsStill(t *testing.T) {
	for name, says := range map[string]func(second int) (fraction float64, ok bool){
		"nothing":           func(int) (float64, bool) { return 0, false },
		"now and then":      func(s int) (float64, bool) { return float64(s) / 240, s%40 == 0 },
		"slower than plans": func(s int) (float64, bool) { return float64(s) / 1200, s%15 == 0 },
		"faster":            func(s int) (float64, bool) { return min(float64(s)/30, 1), s <= 30 },
	} {
		last, moved := -1.0, true
		p := pace{at: span{10, 70}, wholeS: 60, tell: func(p pipeline.Progress) {
			if !(p.Percent >= last && p.Percent <= 70) || p.Step != "matching features" {
				t.Fatalf("%s: %+v after %v", name, p, last)
			}
			moved, last = moved || p.Percent > last, p.Percent
		}}
		p.report(pipeline.Progress{Step: "matching features"}, 0)
		for second := 1; second <= 240; second++ {
			moved = false
			p.tick(1)
			if fraction, ok := says(second); ok {
				p.report(pipeline.Progress{Step: "matching features"}, fraction)
			}
			if !moved && last < 70 {
				t.Fatalf("%s: it stays at %v after %d s", name, last, second)
			}
		}
		if end := last == 70; end != (name == "now and then" || name == "faster") {
			t.Errorf("%s: it ends at %v", name, last)
		}
	}
}

// Half of a try that is as fast as planned shows as about half, of one that is half as fast as a quarter.
func TestProgressKeepsToThePlan(t *testing.T) {
	shown := func(each float64) float64 {
		last := 0.0
		p := pace{at: span{0, 100}, wholeS: 100, tell: func(p pipeline.Progress) { last = p.Percent }}
		for second := 1; second <= 50; second++ {
			p.report(pipeline.Progress{Step: "x"}, each*float64(second))
			p.tick(1)
		}
		return last
	}
	if got := shown(0.01); !(got > 49 && got < 53) {
		t.Errorf("as planned: %v", got)
	}
	if got := shown(0.005); !(got > 24 && got < 33) {
		t.Errorf("half as fast: %v", got)
	}
}

// The time left falls with the clock and rises at most where the plan turns out wrong, once and not second by second.
func TestTimeLeftDoesNotCountUp(t *testing.T) {
	var lefts []float64
	p := pace{at: span{0, 100}, wholeS: 20, tell: func(p pipeline.Progress) { lefts = append(lefts, p.Metrics[LeftMetric]) }}
	p.report(pipeline.Progress{Step: "x"}, 0)
	for second := 1; second <= 60; second++ { // three times as slow as planned, reported every ten seconds
		if p.tick(1); second%10 == 0 {
			p.report(pipeline.Progress{Step: "x"}, float64(second)/60)
		}
	}
	rises := 0
	for i := 1; i < len(lefts); i++ {
		if lefts[i] > lefts[i-1]+1 {
			rises++
		}
	}
	if !(lefts[0] == 20) || rises > 2 || !(lefts[len(lefts)-1] <= 1) {
		t.Errorf("%d rises: %v", rises, lefts)
	}
}
