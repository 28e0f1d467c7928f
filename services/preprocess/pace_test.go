package preprocess

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
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
		p := pace{at: span{10, 70}, planS: 60, tell: func(p pipeline.Progress) {
			if !(p.Percent >= last && p.Percent <= 70) || p.Step != "matching features" {
				t.Fatalf("%s: %+v after %v", name, p, last)
			}
			moved, last = moved || p.Percent > last, p.Percent
		}}
		p.looking(pipeline.Progress{Step: "matching features"}, 0, 60)
		for second := 1; second <= 240; second++ {
			moved = false
			p.tick(1)
			if fraction, ok := says(second); ok {
				p.looking(pipeline.Progress{Step: "matching features"}, fraction, 60)
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

// Half of the poses, when they are as fast as planned, shows as half of what follows extraction, of those half as fast as a quarter.
func TestProgressKeepsToThePlan(t *testing.T) {
	shown := func(each float64) float64 {
		last := 0.0
		p := pace{at: span{0, 100}, tell: func(p pipeline.Progress) { last = p.Percent }}
		for second := 1; second <= 50; second++ {
			p.looking(pipeline.Progress{Step: "x"}, each*float64(second), 100)
			p.tick(1)
		}
		return last
	}
	if got := shown(0.01); !(got > 54 && got < 58) {
		t.Errorf("as planned: %v", got)
	}
	if got := shown(0.005); !(got > 32 && got < 37) {
		t.Errorf("half as fast: %v", got)
	}
}

// said is what a command said of a real run, at a second of it.
type said struct {
	S         float64 `json:"s"`
	Step      string  `json:"step"`
	Fraction  float64 `json:"fraction"`
	ExpectedS float64 `json:"expected_s"`
}

// recorded are the reports of COLMAP's commands on real captures with the preview preset, on two cores that had other work: the plan
// is wrong by factors there, and of banana's matching nothing was heard for eight minutes.
func recorded(t *testing.T) map[string][]said {
	t.Helper()
	files, err := filepath.Glob("testdata/progress/*.jsonl")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	all := map[string][]said{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var s said
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Fatal(name, err)
			}
			all[filepath.Base(name)] = append(all[filepath.Base(name)], s)
		}
		f.Close()
	}
	return all
}

// TestRecordedProgress replays real runs: progress moves every second, and the time left is raised by a fifth at most and not again
// within five seconds. From a quarter of the run on it is mostly right within a factor of three.
func TestRecordedProgress(t *testing.T) {
	for name, reports := range recorded(t) {
		percent, left, raised, rises, good, seconds := -1.0, -1.0, -100.0, 0, 0, 0
		now, whole := 0.0, reports[len(reports)-1].S
		p := pace{at: span{0, 100}, planS: reports[0].ExpectedS, tell: func(p pipeline.Progress) {
			l := p.Metrics[LeftMetric]
			if !(p.Percent >= percent) {
				t.Errorf("%s: %v %% after %v", name, p.Percent, percent)
			}
			if left >= 0 && l > left {
				if rises++; !(l <= left*(1+mostRise)+2) || !(now-raised >= riseEveryS-1) {
					t.Errorf("%s: at %v s the time left was raised from %v to %v, before at %v", name, now, left, l, raised)
				}
				raised = now
			}
			percent, left = p.Percent, l
		}}
		for len(reports) > 0 {
			before := percent
			for len(reports) > 0 && reports[0].S <= now {
				p.looking(pipeline.Progress{Step: reports[0].Step}, reports[0].Fraction, reports[0].ExpectedS)
				reports = reports[1:]
			}
			if now++; len(reports) > 0 {
				if p.tick(1); before >= 0 && !(percent > before) {
					t.Errorf("%s: it stays at %v %% at %v s", name, percent, now)
				}
			}
			if actual := whole - now; now > whole/4 && actual > 10 {
				if seconds++; left > actual/3 && left < 3*actual {
					good++
				}
			}
		}
		t.Logf("%s: %.0f s, %d rises, right within a factor of three for %d of %d seconds", name, whole, rises, good, seconds)
		if !(percent > 99.9) || !(float64(good) > 0.6*float64(seconds)) {
			t.Errorf("%s: it ends at %v %%, %d of %d seconds are right", name, percent, good, seconds)
		}
	}
}

// TestTimeLeftKeepsToTheClock: where the plan is right, the time left falls as the clock does.
func TestTimeLeftKeepsToTheClock(t *testing.T) {
	left := 0.0
	p := pace{at: span{0, 100}, planS: 60, tell: func(p pipeline.Progress) { left = p.Metrics[LeftMetric] }}
	for second := range 60 {
		if p.looking(pipeline.Progress{Step: "x"}, float64(second)/60, 60); !(left >= 60-float64(second)-1 && left <= 60-float64(second)+1) {
			t.Errorf("at %d s %v s are left", second, left)
		}
		p.tick(1)
	}
}
