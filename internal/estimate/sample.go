package estimate

import (
	"slices"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Sample is what one finished request took. The zero Sample took what the rules say.
type Sample struct {
	Capture Capture
	Options pipeline.Options
	WallS   map[pipeline.Stage]float64 // of the attempt that succeeded
	USDPerS map[pipeline.Stage]float64 // of the stage's machine; none where it has no price
	// BetweenS is the time between the end of a stage and the start of the next, of all stages together.
	BetweenS float64
}

// CaptureOf is the capture of a request whose filter stage has finished.
func CaptureOf(m *artifacts.Manifest) (c Capture, ok bool) {
	report, err := artifacts.NewReport(m.Request, m.History)
	if err != nil || report.Images == nil || report.Images.Used < 1 {
		return c, false
	}
	return Capture{Images: report.Images.Used, Frames: report.Images.Input, DurationS: report.Images.DurationS}, true
}

// SampleOf reads a sample from a final manifest. ok is false for one that says too little: of an older version, or continued from
// another request, whose early stages it did not take.
func SampleOf(m *artifacts.Manifest) (s Sample, ok bool) {
	capture, ok := CaptureOf(m)
	if !ok || len(m.History) != len(pipeline.Stages()) {
		return s, false
	}
	s = Sample{Capture: capture, Options: m.Request.Options, WallS: map[pipeline.Stage]float64{}, USDPerS: map[pipeline.Stage]float64{}}
	for i, r := range m.History {
		if !(r.WallS >= 0) || r.StartedAt.Before(m.Request.CreatedAt) {
			return Sample{}, false
		}
		s.WallS[r.Stage] = r.WallS
		if r.CostUSD > 0 && r.WallS > 0 {
			s.USDPerS[r.Stage] = r.CostUSD / r.WallS
		}
		if i > 0 {
			s.BetweenS += max(0, r.StartedAt.Sub(m.History[i-1].FinishedAt).Seconds())
		}
	}
	return s, true
}

// vote is what s says about a request: each stage takes so much more or less than expected as it did for s.
func (s Sample) vote(c Capture, o pipeline.Options, prices map[pipeline.Stage]float64, betweenS float64) vote {
	images := float64(used(c, o))
	if c.Images == 0 && s.Capture.Images > 0 && s.Capture.video() {
		seen := s.Capture
		seen.Images = 0
		most := float64(o.WithDefaults().MaxImages)
		images = max(pipeline.MinImages, min(most, images*float64(s.Capture.Images)/float64(used(seen, s.Options))))
	}
	v := vote{images: images, seconds: map[pipeline.Stage]float64{}, total: betweenS}
	for _, stage := range pipeline.Stages() {
		took := expected(stage, images, c.video(), o)
		if wall, known := s.WallS[stage]; known {
			if own := expected(stage, float64(s.Capture.Images), s.Capture.video(), s.Options); own > 0 {
				took *= wall / own
			}
		}
		v.seconds[stage] = took
		v.total += took
		v.usd += took * prices[stage]
	}
	return v
}

// pricesOf is what a second of each stage costs: as the last of the finished requests that knows it says.
func pricesOf(finished []Sample) map[pipeline.Stage]float64 {
	prices := map[pipeline.Stage]float64{}
	for _, s := range finished {
		for stage, usd := range s.USDPerS {
			prices[stage] = usd
		}
	}
	return prices
}

// betweenOf is the time between stages where workers are free: that of the fastest quarter, since others waited in the queue.
func betweenOf(finished []Sample) float64 {
	if len(finished) == 0 {
		return 0
	}
	all := make([]float64, len(finished))
	for i, s := range finished {
		all[i] = s.BetweenS
	}
	slices.Sort(all)
	return quantile(all, 0.25)
}
