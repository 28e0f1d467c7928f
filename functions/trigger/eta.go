package trigger

import (
	"context"
	"math"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/estimate"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// eta is how many seconds a request still takes, and how far that can be trusted: from what others took here, once it is known how
// many images the capture has; else from its own pace.
func (s *Service) eta(ctx context.Context, state queue.State, progress api.Progress, capture estimate.Capture, now time.Time) (*float64, string) {
	if state.Status != pipeline.Processing || state.StartedAt.IsZero() {
		return nil, ""
	}
	if capture.Images > 0 {
		if finished, err := s.history.Samples(ctx); err == nil && len(finished) > 0 {
			return learned(estimate.Of(capture, s.depthAsHere(state.Options), finished), state.Stage, progress)
		}
	}
	return extrapolated(state, progress, now)
}

// metricLeft is the seconds that are left of a stage, where it reports them.
const metricLeft = "left_s"

// learned is what is left of the current stage, by its own report if it makes one, and of those after it.
func learned(e estimate.Estimate, current pipeline.Stage, progress api.Progress) (*float64, string) {
	left, reached := 0.0, false
	for i, line := range e.Stages {
		switch own, reported := progress.Metrics[metricLeft]; {
		case line.Stage == current && reported:
			left, reached = own, true
		case line.Stage == current:
			left, reached = line.Seconds.Likely*(1-progress.Stages[i].Percent/100), true
		case reached:
			left += line.Seconds.Likely
		}
	}
	left = math.Round(left)
	confidence := "medium"
	if e.Basis.Alike >= manyAlike {
		confidence = "high"
	}
	return &left, confidence
}

// manyAlike is how many requests with the same preset and kind of capture make an estimate one to rely on.
const manyAlike = 5

// extrapolated is what is left, from what was done so far, once that says anything. What training takes is known when the request says it;
// then the other stages alone are extrapolated.
func extrapolated(state queue.State, progress api.Progress, now time.Time) (*float64, string) {
	percent, elapsed := progress.Percent, now.Sub(state.StartedAt).Seconds()
	if !(percent >= 5) || !(elapsed > 0) {
		return nil, ""
	}
	left := elapsed * (100 - percent) / percent
	if budget := state.Options.TrainBudgetS; budget > 0 {
		trained := 0.0
		for _, line := range progress.Stages {
			if line.Stage == pipeline.Train {
				trained = line.Percent / 100
			}
		}
		others := percent - share[pipeline.Train]*trained // all of them are 100 - share
		left = budget * (1 - trained)
		if others > 0 {
			left += max(0, elapsed-budget*trained) * (100 - share[pipeline.Train] - others) / others
		}
	}
	left = math.Round(left)
	confidence := "low"
	if percent >= 70 {
		confidence = "high"
	} else if percent >= 35 {
		confidence = "medium"
	}
	return &left, confidence
}
