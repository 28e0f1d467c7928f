package simulate

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// only makes every stage but one take no time and have slots enough, so that theory speaks about that one.
func only(stage pipeline.Stage, s Stage) map[pipeline.Stage]Stage {
	all := map[pipeline.Stage]Stage{}
	for _, name := range pipeline.Stages() {
		all[name] = Stage{Time: StageTime{Median: time.Millisecond}, Slots: 1000}
	}
	all[stage] = s
	return all
}

// One slot, Poisson arrivals, work of one length: the mean wait of an M/D/1 queue is rho / (2 (1 - rho)) times the work
// (Pollaczek 1930, Khinchin 1932).
func TestWaitOfOneSlotIsPollaczekKhinchin(t *testing.T) {
	work := time.Minute
	for _, rho := range []float64{0.3, 0.6, 0.8} {
		// Starts are instant, or the theory would be another.
		r, err := Run(t.Context(), Config{PerHour: rho * 60, Requests: 20_000, Seed: 7, Stages: only(pipeline.Train, Stage{Time: StageTime{Median: work}, Slots: 1})})
		if err != nil {
			t.Fatal(err)
		}
		train := r.Stages[3]
		want := rho / (2 * (1 - rho)) * work.Seconds()
		// Waits of a queue depend on each other: at rho 0.8 the mean of 20,000 strays by some 5 %.
		if got := train.Wait.Mean.Seconds(); !(math.Abs(got-want) <= 0.15*want) {
			t.Errorf("rho %v: mean wait %.1f s, theory %.1f s", rho, got, want)
		}
		if !(math.Abs(train.Utilisation-rho) <= 0.03) {
			t.Errorf("rho %v: utilisation %v", rho, train.Utilisation)
		}
		if r.Completed != r.Requests || r.Failed != 0 {
			t.Errorf("completed %d of %d", r.Completed, r.Requests)
		}
	}
}

func TestUrgentRequestsWaitLess(t *testing.T) {
	r, err := Run(t.Context(), Config{PerHour: 54, Requests: 5_000, Seed: 1, Urgent: 0.1,
		Stages: only(pipeline.Train, Stage{Time: StageTime{Median: time.Minute}, Slots: 1})})
	if err != nil {
		t.Fatal(err)
	}
	if urgent, other := r.LatencyByPriority[1], r.LatencyByPriority[0]; !(urgent.P90 < other.P50) {
		t.Errorf("p90 of the urgent %v, p50 of the others %v", urgent.P90, other.P50)
	}
}

func TestFailuresAreRetriedAndCounted(t *testing.T) {
	stages := only(pipeline.Train, Stage{Time: StageTime{Median: time.Minute}, Slots: 100, FailEvery: 4})
	r, err := Run(t.Context(), Config{PerHour: 60, Requests: 20_000, Seed: 3, Stages: stages})
	if err != nil {
		t.Fatal(err)
	}
	// Three attempts of which one in four fails.
	if share := float64(r.Failed) / float64(r.Requests); !(math.Abs(share-1./64) <= 0.004) || r.Failed+r.Completed != r.Requests {
		t.Errorf("%d failed, %d completed of %d", r.Failed, r.Completed, r.Requests)
	}
	if attempts := float64(r.Stages[3].Attempts) / float64(r.Requests); !(math.Abs(attempts-(1+1./4+1./16)) <= 0.02) {
		t.Errorf("%v attempts a task", attempts)
	}
}

// A stage behind a bottleneck hears only of what that lets through.
func TestOnlyTheBottleneckCannotKeepUp(t *testing.T) {
	for _, test := range []struct {
		train time.Duration
		want  []pipeline.Stage
	}{{50 * time.Second, []pipeline.Stage{pipeline.Preprocess}}, {2 * time.Minute, []pipeline.Stage{pipeline.Preprocess, pipeline.Train}}} {
		stages := only(pipeline.Train, Stage{Time: StageTime{Median: test.train}, Slots: 1})
		stages[pipeline.Preprocess] = Stage{Time: StageTime{Median: time.Minute}, Slots: 1}
		r, err := Run(t.Context(), Config{PerHour: 100, Requests: 1_000, Seed: 5, Stages: stages})
		if err != nil {
			t.Fatal(err)
		}
		var grew []pipeline.Stage
		for _, s := range r.Stages {
			if s.PeakReady > 100 {
				grew = append(grew, s.Stage)
			}
		}
		if got := r.Overloaded(); !slices.Equal(got, test.want) || !slices.Equal(grew, test.want) {
			t.Errorf("training takes %v: %v are named, %v let many wait, want %v", test.train, got, grew, test.want)
		}
		var text strings.Builder
		if err := r.Print(&text); err != nil {
			t.Fatal(err)
		}
		if strings.Count(text.String(), "cannot keep up") != len(test.want) || !strings.Contains(text.String(), "preprocess cannot keep up: its wait grows for as long as requests arrive, and it lets 1440 a day through\n") {
			t.Error(text.String())
		}
	}
}

func TestTheSameSeedTellsTheSame(t *testing.T) {
	run := func(seed uint64) string {
		r, err := Run(t.Context(), Config{PerHour: 40, Requests: 500, Seed: seed, Callers: 3, FairShare: true, Stages: Defaults()})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := r.Print(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if run(1) != run(1) {
		t.Error("two runs of one seed differ")
	}
	if run(1) == run(2) {
		t.Error("two seeds give the same report")
	}
}

func TestSweep(t *testing.T) {
	requests, days := 1_000, Days
	if testing.Short() {
		days = days[:4]
	}
	reports, err := Sweep(t.Context(), Config{Stages: Defaults(), Seed: 1}, days, requests)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if len(r.Overloaded()) > 0 || r.Completed+r.Failed != r.Requests {
			t.Errorf("%v/h: overloaded %v, %d of %d", r.PerHour, r.Overloaded(), r.Completed, r.Requests)
		}
		// Measured utilisation is what theory says: the share of the slots that is needed, also where requests come by the second.
		for _, s := range r.Stages {
			if want := s.Needed / float64(s.Slots); r.PerHour > 400 && !(math.Abs(s.Utilisation-want) <= 0.1*want) {
				t.Errorf("%v/h: %s is busy for %.2f of the time, theory says %.2f", r.PerHour, s.Stage, s.Utilisation, want)
			}
		}
	}
	if testing.Verbose() {
		if err := PrintSweep(os.Stdout, reports); err != nil {
			t.Fatal(err)
		}
		if err := reports[2].Print(os.Stdout); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]float64{"500/h": 500, "12/min": 720, "1/s": 3600, "240/day": 10} {
		if got, err := ParseRate(text); err != nil || !(math.Abs(got-want) <= 1e-9*want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "x/h", "-1/h", "NaN/h", "5/year"} {
		if _, err := ParseRate(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	stages := Defaults()
	if err := SetSlots(stages, "train=3, depth=2"); err != nil || stages[pipeline.Train].Slots != 3 || stages[pipeline.Depth].Slots != 2 {
		t.Errorf("slots %+v, %v", stages, err)
	}
	for _, text := range []string{"", "cook=1", "train", "train=0", "train=x"} {
		if SetSlots(stages, text) == nil {
			t.Errorf("%q was read", text)
		}
	}
	if _, err := Run(t.Context(), Config{PerHour: math.NaN(), Requests: 1, Stages: Defaults()}); err == nil {
		t.Error("NaN arrivals were played")
	}
}

func BenchmarkRun(b *testing.B) {
	for range b.N {
		if _, err := Run(b.Context(), Config{PerHour: 100, Requests: 2_000, Seed: 1, Stages: only(pipeline.Train, Stage{Time: StageTime{Median: time.Minute}, Slots: 2})}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2_000*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// TestContinuingSavesStarts: alone in the backend a request pays for three starts instead of five, and comes out earlier by the two that
// it saves.
func TestContinuingSavesStarts(t *testing.T) {
	cfg := Config{PerHour: 0.02, Requests: 200, Seed: 3, Stages: Defaults()} // none meets another
	together, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	Separate(cfg.Stages)
	separate, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !(together.StartsPerRequest == 3 && separate.StartsPerRequest == 5) {
		t.Errorf("%v and %v starts a request", together.StartsPerRequest, separate.StartsPerRequest)
	}
	starts := cfg.Stages[pipeline.Preprocess].Start + cfg.Stages[pipeline.Depth].Start
	saved := separate.Latency.Mean - together.Latency.Mean
	if !(math.Abs((saved - starts).Seconds()) < 0.01) {
		t.Errorf("%v saved, the starts take %v", saved, starts)
	}
	cents := starts.Hours() * cfg.Stages[pipeline.Preprocess].USDPerHour
	if got := separate.USDPerRequest - together.USDPerRequest; !(math.Abs(got-cents) < 1e-6) {
		t.Errorf("%v USD a request saved, the starts cost %v", got, cents)
	}
}

// TestContinuingIsFair: under load neither urgent requests nor a caller with few of them wait longer than with a machine for each stage.
func TestContinuingIsFair(t *testing.T) {
	cfg := Config{PerHour: 40, Requests: 2_000, Seed: 5, Urgent: 0.1, Callers: 4, FairShare: true, Stages: Defaults()}
	for name, s := range cfg.Stages {
		s.Slots = int(math.Ceil(1.1 * cfg.Needed(name)))
		cfg.Stages[name] = s
	}
	together, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	Separate(cfg.Stages)
	separate, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, priority := range []int{0, 1} {
		a, b := together.LatencyByPriority[priority], separate.LatencyByPriority[priority]
		if !(a.P90.Seconds() <= 1.1*b.P90.Seconds()) {
			t.Errorf("priority %d: p90 %v, with separate machines %v", priority, a.P90, b.P90)
		}
	}
	if !(together.StartsPerRequest < separate.StartsPerRequest) {
		t.Errorf("%v starts a request, with separate machines %v", together.StartsPerRequest, separate.StartsPerRequest)
	}
}
