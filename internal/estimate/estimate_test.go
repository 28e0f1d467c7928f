package estimate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/pipeline"
)

// machine is a deployment whose stages take so much more or less than the rules say, with some noise.
type machine struct {
	factor map[pipeline.Stage]float64
	kept   float64 // share of the frames of a video that are used, of those that the rules expect
	noise  float64 // standard deviation of the logarithm
	random *rand.Rand
}

func newMachine(seed uint64) machine {
	return machine{kept: 0.7, noise: 0.08, random: rand.New(rand.NewPCG(seed, 1)), factor: map[pipeline.Stage]float64{
		pipeline.Filter: 3, pipeline.Preprocess: 0.4, pipeline.Depth: 0, pipeline.Train: 1.05, pipeline.Export: 1.7}}
}

// runs is what a request takes there.
func (m machine) runs(c Capture, o pipeline.Options) Sample {
	s := Sample{Capture: c, Options: o, BetweenS: 4, WallS: map[pipeline.Stage]float64{}, USDPerS: map[pipeline.Stage]float64{pipeline.Train: 0.0002}}
	s.Capture.Images = used(c, o)
	if c.Images == 0 {
		s.Capture.Images = max(3, int(m.kept*float64(s.Capture.Images)))
	}
	for _, stage := range pipeline.Stages() {
		s.WallS[stage] = m.factor[stage] * expected(stage, float64(s.Capture.Images), c.video(), o) * math.Exp(m.noise*m.random.NormFloat64())
	}
	return s
}

func (s Sample) totalS() float64 {
	total := s.BetweenS
	for _, wall := range s.WallS {
		total += wall
	}
	return total
}

var preview, standard = pipeline.Options{Preset: pipeline.Preview}, pipeline.Options{}

// TestHistoryTeachesTheEstimate: after some requests of other sizes, the estimates of a machine that is nothing like the rules are
// right, and four of five outcomes lie in the interval.
func TestHistoryTeachesTheEstimate(t *testing.T) {
	for _, ask := range []struct {
		name    string
		capture Capture
		options pipeline.Options
	}{
		{"video, preview", Capture{DurationS: 3}, preview},
		{"video, standard", Capture{DurationS: 20}, standard},
		{"photos, standard", Capture{Images: 55}, standard},
		{"photos, an hour's training", Capture{Images: 55}, pipeline.Options{TrainBudgetS: 3600}},
		{"fewer images than there are", Capture{Images: 500}, pipeline.Options{MaxImages: 40}},
	} {
		m := newMachine(7)
		var finished []Sample
		for i := range 20 {
			finished = append(finished, m.runs(Capture{DurationS: 1 + float64(i)}, preview), m.runs(Capture{DurationS: 2 + float64(i)}, standard),
				m.runs(Capture{Images: 10 + 5*i}, standard))
		}
		e := Of(ask.capture, ask.options, finished)
		within, inside, trials := 0, 0, 200
		for range trials {
			took := m.runs(ask.capture, ask.options).totalS()
			if math.Abs(took/e.Seconds.Likely-1) < 0.25 {
				within++
			}
			if took >= e.Seconds.Low && took <= e.Seconds.High {
				inside++
			}
		}
		if within < trials*8/10 || inside < trials*7/10 {
			t.Errorf("%s: %d of %d within 25 %% of %.0f s, %d between %.0f and %.0f", ask.name, within, trials, e.Seconds.Likely, inside, e.Seconds.Low, e.Seconds.High)
		}
		if want := e.Stages[3].Seconds.Likely * 0.0002; math.Abs(e.USD.Likely/want-1) > 0.01 {
			t.Errorf("%s: %v USD, want %v", ask.name, e.USD.Likely, want)
		}
		if e.Basis.Requests != 60 || e.Basis.Alike != 20 && ask.options.Preset == pipeline.Preview {
			t.Errorf("%s: based on %+v", ask.name, e.Basis)
		}
	}
}

// TestFirstRequest: without any history the rules answer, with a wide interval and no cost.
func TestFirstRequest(t *testing.T) {
	e := Of(Capture{DurationS: 10}, pipeline.Options{Depth: pipeline.DepthOff}, nil)
	if e.Basis.Requests != 0 || e.USD != (Interval{}) || !(e.Seconds.Low*2 < e.Seconds.Likely && e.Seconds.Likely*2 < e.Seconds.High) {
		t.Errorf("%+v", e)
	}
	if e.Images.Likely != 120 {
		t.Errorf("%v images", e.Images)
	}
	if depth := e.Stages[2]; depth.Stage != pipeline.Depth || depth.Seconds != (Interval{}) {
		t.Errorf("depth is off: %+v", depth)
	}
}

// TestEstimatesAreFiniteAndOrdered for whatever a capture is and whatever requests took.
func TestEstimatesAreFiniteAndOrdered(t *testing.T) {
	m := newMachine(3)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var finished []Sample
		for range random.IntN(12) {
			s := m.runs(Capture{Images: random.IntN(3) * 40, DurationS: 0.1 + 50*random.Float64()}, []pipeline.Options{preview, standard, {Preset: pipeline.High, Depth: "off"}}[random.IntN(3)])
			if random.IntN(4) == 0 {
				s.WallS = nil
			}
			finished = append(finished, s)
		}
		c := Capture{Images: random.IntN(2) * (3 + random.IntN(5000)), DurationS: random.Float64() * 3000}
		if err := c.Check(); err != nil {
			t.Fatal(c, err)
		}
		e := Of(c, preview, finished)
		intervals := []Interval{e.Images, e.Seconds, e.USD}
		for _, line := range e.Stages {
			intervals = append(intervals, line.Seconds, line.USD)
		}
		for _, i := range intervals {
			if !(i.Low >= 0 && i.Low <= i.Likely && i.Likely <= i.High && i.High < 1e9) {
				t.Fatalf("%+v: %+v of %d", c, i, len(finished))
			}
		}
	}
}

// TestMoreWorkTakesLonger by the rules, in every direction that a client can ask for.
func TestMoreWorkTakesLonger(t *testing.T) {
	likely := func(c Capture, o pipeline.Options) float64 { return Of(c, o, nil).Seconds.Likely }
	base := likely(Capture{Images: 40}, preview)
	for name, more := range map[string]float64{
		"images": likely(Capture{Images: 80}, preview), "preset": likely(Capture{Images: 40}, standard),
		"training": likely(Capture{Images: 40}, pipeline.Options{Preset: pipeline.Preview, TrainBudgetS: 60}),
		"outputs":  likely(Capture{Images: 40}, pipeline.Options{Preset: pipeline.Preview, Outputs: append(pipeline.DefaultOutputs(), "glb")}),
	} {
		if !(more > base) {
			t.Errorf("%s: %v is no longer than %v", name, more, base)
		}
	}
	if o := (pipeline.Options{Preset: pipeline.Preview, MaxImages: 40}); likely(Capture{Images: 300}, o) != base {
		t.Error("images beyond max_images count")
	}
}

func TestCapturesThatAreNone(t *testing.T) {
	for _, c := range []Capture{{}, {Images: 2}, {Images: -1}, {Images: maxPhotos + 1}, {DurationS: -1}, {DurationS: math.NaN()}, {DurationS: MaxDurationS + 1}, {DurationS: math.Inf(1)}} {
		if c.Check() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// finish writes the final manifest of a request that was made at a time.
func finish(t *testing.T, store artifacts.Store, at time.Time, salt byte, trainS float64) string {
	t.Helper()
	id, err := pipeline.NewRequestID(at, strings.NewReader(strings.Repeat(string('a'+salt), 16)))
	if err != nil {
		t.Fatal(err)
	}
	m := &artifacts.Manifest{Version: artifacts.ManifestVersion, Request: pipeline.Request{ID: id, CreatedAt: at, Options: preview}, Stage: pipeline.Last()}
	clock := at
	for _, stage := range pipeline.Stages() {
		r := artifacts.StageRecord{Stage: stage, StartedAt: clock.Add(time.Second), WallS: 10, CostUSD: 0.01}
		if stage == pipeline.Train {
			r.WallS = trainS
		}
		if stage == pipeline.Filter {
			r.Report = []byte(`{"images":{"input":90,"used":60,"duration_s":3}}`)
		}
		clock = r.StartedAt.Add(time.Duration(r.WallS * float64(time.Second)))
		r.FinishedAt = clock
		m.History = append(m.History, r)
	}
	if _, err := artifacts.WriteManifest(t.Context(), store, buckets, m); err != nil {
		t.Fatal(err)
	}
	return id
}

var buckets = artifacts.Buckets{Artifacts: "artifacts"}

// counted is a store that counts what is read, and can fail.
type counted struct {
	artifacts.Store
	opened atomic.Int64 // manifests are read at the same time
	err    error
}

func (c *counted) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	c.opened.Add(1)
	return c.Store.Open(ctx, o)
}

func (c *counted) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	if c.err != nil {
		return func(yield func(pipeline.Object, error) bool) { yield(pipeline.Object{}, c.err) }
	}
	return c.Store.List(ctx, bucket, prefix)
}

// TestHistory: the newest hundred are read, each once, old ones where there are no newer; what cannot be read has no vote, and a
// storage that fails leaves what is known.
func TestHistory(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	store := &counted{Store: memory.New()}
	h := &History{Store: store, Bucket: "artifacts", Now: func() time.Time { return now }}
	store.err = errors.New("connection refused")
	if _, err := h.Samples(t.Context()); err == nil {
		t.Error("no history, and no error")
	}
	store.err = nil
	finish(t, store, now.AddDate(-1, 0, 0), 0, 20)
	samples, err := h.Samples(t.Context())
	if err != nil || len(samples) != 1 {
		t.Fatalf("a year ago: %d %v", len(samples), err)
	}
	s := samples[0]
	if s.Capture != (Capture{Images: 60, Frames: 90, DurationS: 3}) || s.WallS[pipeline.Train] != 20 || s.BetweenS != 4 || math.Abs(s.USDPerS[pipeline.Train]-0.0005) > 1e-12 {
		t.Errorf("%+v", s)
	}
	for i := range 130 {
		finish(t, store, now.Add(-time.Duration(130-i)*time.Minute), byte(i%20), float64(100+i))
	}
	if samples, _ = h.Samples(t.Context()); len(samples) != 1 {
		t.Error("read again at once")
	}
	broken := artifacts.FinishedPrefix + strings.Repeat("0", 26) + "/export.manifest.json"
	if _, err := store.Put(t.Context(), "artifacts", broken, strings.NewReader("{"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(fresh)
	samples, err = h.Samples(t.Context())
	if err != nil || len(samples) != mostSamples || samples[0].WallS[pipeline.Train] != 130 || samples[99].WallS[pipeline.Train] != 229 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	read := store.opened.Load()
	finish(t, store, now, 3, 500)
	now = now.Add(fresh)
	if samples, err = h.Samples(t.Context()); err != nil || samples[99].WallS[pipeline.Train] != 500 || store.opened.Load() != read+1 {
		t.Errorf("%v, %d manifests read for one that is new", err, store.opened.Load()-read)
	}
	now = now.Add(fresh)
	store.err = errors.New("connection refused")
	if again, err := h.Samples(t.Context()); err != nil || len(again) != mostSamples {
		t.Errorf("what is known is forgotten: %d %v", len(again), err)
	}
}

// TestRequestsThatSayNothing have no vote.
func TestRequestsThatSayNothing(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	whole := func() *artifacts.Manifest {
		m := &artifacts.Manifest{Request: pipeline.Request{CreatedAt: at}}
		for _, stage := range pipeline.Stages() {
			m.History = append(m.History, artifacts.StageRecord{Stage: stage, StartedAt: at, FinishedAt: at, WallS: 1, Report: []byte(`{"images":{"used":5}}`)})
		}
		return m
	}
	if _, ok := SampleOf(whole()); !ok {
		t.Fatal("a whole request has no vote")
	}
	for name, spoil := range map[string]func(*artifacts.Manifest){
		"no count of images": func(m *artifacts.Manifest) {
			for i := range m.History {
				m.History[i].Report = nil
			}
		},
		"a stage is missing":     func(m *artifacts.Manifest) { m.History = m.History[1:] },
		"time is no number":      func(m *artifacts.Manifest) { m.History[2].WallS = math.NaN() },
		"continued from another": func(m *artifacts.Manifest) { m.History[0].StartedAt = at.Add(-time.Hour) },
		"report is damaged":      func(m *artifacts.Manifest) { m.History[1].Report = []byte(`{`) },
	} {
		m := whole()
		spoil(m)
		if s, ok := SampleOf(m); ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func ExampleOf() {
	e := Of(Capture{Images: 40}, pipeline.Options{Preset: pipeline.Preview, Depth: pipeline.DepthOff}, nil)
	fmt.Printf("%.0f images, about %.0f seconds\n", e.Images.Likely, e.Seconds.Likely)
	// Output: 40 images, about 137 seconds
}
