package trigger

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/estimate"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// share of a whole request's time that each stage takes, in percent.
var share = shares()

func shares() map[pipeline.Stage]float64 {
	of := map[pipeline.Stage]float64{}
	for _, row := range pipeline.StageTable() {
		of[row.Stage] = row.Share
	}
	return of
}

// document is everything that a client sees of its request, and the tag of that.
func (s *Service) document(ctx context.Context, state queue.State) (api.Status, string, error) {
	now := s.Now().UTC()
	doc := api.Status{
		RequestID: state.ID, SessionID: state.SessionID, Status: state.Status, Stage: state.Stage, Priority: state.Priority,
		Attempts: state.Attempt, RetryAt: state.RetryAt, Warnings: state.Warnings,
		Timings: api.Timings{CreatedAt: state.CreatedAt, StartedAt: state.StartedAt, UpdatedAt: state.UpdatedAt,
			FinishedAt: state.FinishedAt, Deadline: state.Deadline},
	}
	if doc.Warnings == nil {
		doc.Warnings = []pipeline.Warning{}
	}
	if state.Failure != nil {
		doc.Failure = &api.Failure{Failure: *state.Failure, Retryable: state.Failure.Resubmittable()}
		if !state.Status.Terminal() {
			doc.Failure.Advice = "Nothing needs to be done: the stage is retried."
			if state.Failure.Waits() {
				doc.Failure.Advice = "Free some room there: until then the stage is retried, twice a minute or so, and nothing is lost before the deadline."
			}
		}
	}
	if !state.Status.Terminal() && state.Stage != "" {
		position, err := s.Queue.Position(ctx, state.ID)
		if err != nil && !errors.Is(err, queue.ErrNotFound) { // forgotten between the two questions
			return doc, "", fmt.Errorf("position of %s: %w", state.ID, err)
		}
		if position > 0 {
			doc.QueuePosition = &position
		}
	}
	doc.Progress = progressOf(state, doc.QueuePosition != nil)

	if state.Progress.Stage == state.Stage {
		doc.CostUSD = state.Progress.CostUSD // of the attempt at hand; a completed stage's is in its manifest
	}
	window, points, capture := int64(0), pipeline.Object{}, estimate.Capture{}
	if state.Manifest.Name != "" {
		left, err := s.results.of(ctx, s, state, now)
		if errors.Is(err, artifacts.ErrNotFound) && state.Status.Terminal() {
			window = -1 // deleted by now, see result
		} else if err != nil {
			// The status is true anyway; the links come with the next poll.
			s.Log.WarnContext(ctx, "results not listed", "request_id", state.ID, "stage", state.Stage, "error", err.Error())
			window = -1
		} else {
			doc.Timings.Stages, points = left.timings, left.points
			doc.CostUSD += left.costUSD
			capture = left.capture
			if state.Status == pipeline.Completed {
				doc.Results, window = left.results, left.window
			}
		}
	}
	if shown, signed, err := s.preview(ctx, state, doc.QueuePosition != nil, points, now); err != nil {
		s.Log.WarnContext(ctx, "preview not linked", "request_id", state.ID, "stage", state.Stage, "error", err.Error())
	} else if shown != nil {
		doc.Preview, window = shown, signed
	}
	doc.ETAS, doc.ETAConfidence = s.eta(ctx, state, doc.Progress, capture, now)
	return doc, etagOf(doc, window), nil
}

// progressOf reports how far a request is. While it waits for a worker or a retry, nothing else is left of what
// the last attempt said.
func progressOf(state queue.State, waits bool) api.Progress {
	current := pipeline.Progress{}
	if state.Progress.Stage == state.Stage {
		current = state.Progress
	}
	if waits || !state.RetryAt.IsZero() {
		current = pipeline.Progress{Percent: current.Percent}
	}
	p := api.Progress{Step: current.Step, Message: current.Message, Done: current.Done, Total: current.Total, Metrics: current.Metrics}
	reached := state.Stage == "" // stages after the current one have not begun
	for _, stage := range pipeline.Stages() {
		line := api.StageProgress{Stage: stage}
		switch {
		case state.Status == pipeline.Completed:
			line.Percent = 100
		case stage == state.Stage:
			line.Percent, reached = current.Percent, true
		case !reached:
			line.Percent = 100
		}
		p.Percent += share[stage] * line.Percent / 100
		p.Stages = append(p.Stages, line)
	}
	p.Percent = math.Round(p.Percent*10) / 10
	if p.Step == "" {
		p.Step = stepOf(state, waits)
	}
	return p
}

// stepOf is what is under way when no worker reports it.
func stepOf(state queue.State, waits bool) string {
	switch {
	case state.Status == pipeline.Completed:
		return "done"
	case state.Status == pipeline.Failed:
		return "failed"
	case state.Status == pipeline.Canceled:
		return "canceled"
	case state.Stage == "":
		return "waiting for the upload"
	case !state.RetryAt.IsZero() && state.Failure != nil && state.Failure.Waits():
		return "waiting for room on a disk"
	case !state.RetryAt.IsZero():
		return "waiting for another try"
	case waits || state.Attempt == 0:
		return "waiting for a worker"
	}
	return "starting"
}
