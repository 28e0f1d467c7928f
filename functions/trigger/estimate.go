package trigger

import (
	"context"
	"net/http"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/estimate"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// estimate serves POST /estimate: what a request would take, before there is one. It answers whom POST /trigger-reconstruction answers.
func (s *Service) estimate(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	caller, refused := s.identify(ctx, r, tenant.Submit)
	if refused != nil {
		serve.WriteProblem(w, *refused)
		return
	}
	var ask api.EstimateAsked
	if problem := readJSON(r, &ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	capture := estimate.Capture{Images: ask.Images, DurationS: ask.VideoS}
	if err := capture.Check(); err != nil {
		serve.WriteProblem(w, *invalid("invalid_capture", err.Error()+".", "Count the photos, or give the length of the video in seconds."))
		return
	}
	if err := ask.Options.Validate(); err != nil {
		serve.WriteProblem(w, *invalid("invalid_options", err.Error()+".", "Correct the option or leave it out."))
		return
	}
	if problem := s.admit(ctx, s.Changes, "estimates of "+caller); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := s.checkLimits(s.limitsOf(caller), api.Trigger{Options: ask.Options}); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	finished, err := s.history.Samples(ctx)
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	serve.WriteJSON(w, http.StatusOK, estimated(estimate.Of(capture, s.depthAsHere(s.limitsOf(caller).within(s.Defaults.Fill("", ask.Options))), finished)))
}

// depthAsHere switches depth maps off where the deployment has no model to make them.
func (s *Service) depthAsHere(o pipeline.Options) pipeline.Options {
	if s.Models != nil && len(s.Models()) == 0 {
		o.Depth = pipeline.DepthOff
	}
	return o
}

func estimated(e estimate.Estimate) api.Estimate {
	answer := api.Estimate{Images: api.Interval(e.Images), Seconds: api.Interval(e.Seconds), CostUSD: costOf(e.USD),
		BasedOn: api.EstimateBasis(e.Basis)}
	for _, line := range e.Stages {
		answer.Stages = append(answer.Stages, api.StageEstimate{Stage: line.Stage, Seconds: api.Interval(line.Seconds), CostUSD: costOf(line.USD)})
	}
	return answer
}

// costOf leaves out a cost that nobody knows.
func costOf(usd estimate.Interval) *api.Interval {
	if usd.Likely == 0 {
		return nil
	}
	cost := api.Interval(usd)
	return &cost
}
