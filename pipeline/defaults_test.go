package pipeline_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

func TestSharesAreKept(t *testing.T) {
	shares := pipeline.Shares{"a": 70, "b": 20, "c": 10}
	got := map[string]int{}
	const n = 20000
	for i := range n {
		id := fmt.Sprintf("06ebef9p01necy1z9y%08d", i)
		name := shares.Choose(id)
		if again := shares.Choose(id); again != name {
			t.Fatalf("%s: %s, then %s", id, name, again)
		}
		got[name]++
	}
	for name, percent := range shares {
		p := percent / 100
		// Four standard deviations of a binomial distribution: the ids are fixed, so it passes always or never.
		if off := math.Abs(float64(got[name]) - n*p); !(off <= 4*math.Sqrt(n*p*(1-p))) {
			t.Errorf("%s got %d of %d", name, got[name], n)
		}
	}
	if name := (pipeline.Shares{"a": 100}).Choose("x"); name != "a" {
		t.Errorf("the only one: %q", name)
	}
	if name := pipeline.Shares(nil).Choose("x"); name != "" {
		t.Errorf("without shares: %q", name)
	}
}

func TestSharesThatMakeNoSense(t *testing.T) {
	for want, shares := range map[string]pipeline.Shares{
		"add up to 110":     {"a": 80, "b": 30},
		"add up to 99":      {"a": 99},
		"above 0":           {"a": 100, "b": 0},
		"not -5":            {"b": 105, "a": -5},
		"not NaN":           {"a": math.NaN()},
		"name a model":      {"off": 100},
		"not the name of a": {"a b": 100},
	} {
		if err := shares.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", shares, err, want)
		}
	}
	for _, shares := range []pipeline.Shares{nil, {"a": 100}, {"a": 33.333333, "b": 33.333333, "c": 33.333334}} {
		if err := shares.Check(); err != nil {
			t.Errorf("%v: %v", shares, err)
		}
	}
}

func TestDefaultsFillWhatIsOpen(t *testing.T) {
	d := pipeline.Defaults{Presets: map[pipeline.Preset]pipeline.Effort{"standard": {TrainBudgetS: 90, MaxImages: 150}, "high": {LongEdgePx: 1200, MaxGaussians: 5000}},
		Depth: pipeline.Shares{"b": 100}}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ asked, want pipeline.Options }{
		{pipeline.Options{}, pipeline.Options{TrainBudgetS: 90, MaxImages: 150, Depth: "b"}},
		{pipeline.Options{Depth: "auto", MaxImages: 20}, pipeline.Options{TrainBudgetS: 90, MaxImages: 20, Depth: "b"}},
		{pipeline.Options{Preset: "high", Depth: "off"}, pipeline.Options{Preset: "high", LongEdgePx: 1200, MaxGaussians: 5000, Depth: "off"}},
		{pipeline.Options{Preset: "preview", Depth: "a"}, pipeline.Options{Preset: "preview", Depth: "a"}},
	} {
		if got := d.Fill("id", c.asked); got.Hash() != c.want.Hash() {
			t.Errorf("%+v became %+v", c.asked, got)
		}
		if got := (pipeline.Defaults{}).Fill("id", c.asked); got.Hash() != c.asked.Hash() {
			t.Errorf("without defaults %+v became %+v", c.asked, got)
		}
	}
	for _, bad := range []pipeline.Defaults{
		{Presets: map[pipeline.Preset]pipeline.Effort{"fast": {}}}, {Presets: map[pipeline.Preset]pipeline.Effort{"high": {MaxImages: 1}}},
		{Presets: map[pipeline.Preset]pipeline.Effort{"high": {TrainBudgetS: math.NaN()}}}, {Depth: pipeline.Shares{"a": 110}},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
