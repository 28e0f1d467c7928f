package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// Limits are what one caller may spend on a request, and how far it may jump the queue: the operator's to say.
type Limits struct {
	TrainBudgetS float64 `json:"max_train_budget_s"` // longest training, in seconds
	Images       int     `json:"max_images"`
	LongEdgePx   int     `json:"max_long_edge_px"` // of the training images
	Priority     int     `json:"max_priority"`     // 0: nobody goes before others
	Requests     int     `json:"max_requests_day"` // taken in, in any 24 hours; 0: no limit
	tenant.Daily         // what its requests may use
}

// NoLimits is all that the vocabulary allows: what the owner of a laptop may ask of it.
var NoLimits = Limits{TrainBudgetS: pipeline.MaxTrainBudgetS, Images: pipeline.MaxImages, LongEdgePx: pipeline.MaxLongEdgePx, Priority: pipeline.MaxPriority}

// minTrainBudgetS is the lowest limit of a training: every preset's own training is shorter.
const minTrainBudgetS = 300

// MaxRequestsDay is the highest limit of requests: each that counts takes some bytes of Redis for a day.
const MaxRequestsDay = 100_000

// Check says what is wrong with limits.
func (l Limits) Check() error {
	switch {
	case !(l.TrainBudgetS >= minTrainBudgetS && l.TrainBudgetS <= pipeline.MaxTrainBudgetS):
		return fmt.Errorf("the limit of a training must be between %d and %d seconds", minTrainBudgetS, pipeline.MaxTrainBudgetS)
	case l.Images < 3 || l.Images > pipeline.MaxImages:
		return fmt.Errorf("the limit of images must be between 3 and %d", pipeline.MaxImages)
	case l.LongEdgePx < 64 || l.LongEdgePx > pipeline.MaxLongEdgePx:
		return fmt.Errorf("the limit of the long edge must be between 64 and %d", pipeline.MaxLongEdgePx)
	case l.Priority < 0 || l.Priority > pipeline.MaxPriority:
		return fmt.Errorf("the limit of the priority must be between 0 and %d", pipeline.MaxPriority)
	case l.Requests < 0 || l.Requests > MaxRequestsDay:
		return fmt.Errorf("the limit of requests a day must be between 0 (no limit) and %d", MaxRequestsDay)
	}
	return l.Daily.Check()
}

// ParseKeyLimits reads the limits of single API keys, a JSON object by the name of the key: {"app": {"max_priority": 100}}. What a
// key's entry leaves out is as in general.
func ParseKeyLimits(text string, general Limits) (map[string]Limits, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if err := serve.CheckJSON([]byte(text)); err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, errors.New("it is no object of names and limits")
	}
	limits := map[string]Limits{}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		l := general
		err := serve.DecodeJSON(entries[name], &l)
		if err = cmp.Or(err, l.Check()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		limits[name] = l
	}
	return limits, nil
}

// LimitsOf are those of a caller: its key's own, or everybody's.
func LimitsOf(caller string, everybody Limits, keys map[string]Limits) Limits {
	if name, ok := strings.CutPrefix(caller, pipeline.KeyCaller); ok {
		if l, own := keys[name]; own {
			return l
		}
	}
	return everybody
}

func (s *Service) limitsOf(caller string) Limits { return LimitsOf(caller, s.Limits, s.KeyLimits) }

// room is how many bytes a caller may upload for one capture. A caller that has used up its day is refused.
func (s *Service) room(ctx context.Context, caller string) (int64, *serve.Problem) {
	bytes, err := s.Days.Room(ctx, caller, s.MaxUploadBytes)
	var used *tenant.Excess
	switch {
	case errors.As(err, &used):
		return 0, &serve.Problem{Status: http.StatusTooManyRequests, Code: pipeline.QuotaExceeded, Retryable: true, RetryAfter: used.Wait, Detail: used.Error(), Advice: quotaAdvice}
	case err != nil:
		return 0, s.broken(ctx, "limiter", err)
	}
	return bytes, nil
}

const quotaAdvice = "Wait as long as Retry-After says, or ask the operator for a higher limit."

// take counts a request that is about to be taken in, against the day of its caller and that of all together. One that is not taken in then
// must be returned.
func (s *Service) take(ctx context.Context, caller string) *serve.Problem {
	if _, problem := s.room(ctx, caller); problem != nil {
		return problem
	}
	if problem := s.takeOf(ctx, caller, s.limitsOf(caller).Requests, "of one caller"); problem != nil {
		return problem
	}
	problem := s.takeOf(ctx, allCallers, s.TotalDay, "of all callers together")
	if problem != nil {
		s.untakeOf(ctx, caller, s.limitsOf(caller).Requests)
	}
	return problem
}

func (s *Service) takeOf(ctx context.Context, who string, most int, whose string) *serve.Problem {
	if s.Quota == nil || most == 0 {
		return nil
	}
	wait, err := s.Quota.Take(ctx, who, most)
	if err != nil {
		return s.broken(ctx, "limiter", err)
	}
	if wait > 0 {
		return &serve.Problem{Status: http.StatusTooManyRequests, Code: pipeline.QuotaExceeded, Retryable: true, RetryAfter: wait,
			Detail: fmt.Sprintf("At most %d requests %s are taken in 24 hours, and they were.", most, whose), Advice: quotaAdvice}
	}
	return nil
}

// untake returns a request that was counted and not taken in.
func (s *Service) untake(ctx context.Context, caller string) {
	s.untakeOf(ctx, caller, s.limitsOf(caller).Requests)
	s.untakeOf(ctx, allCallers, s.TotalDay)
}

func (s *Service) untakeOf(ctx context.Context, who string, most int) {
	if s.Quota == nil || most == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // even when the client has hung up
	defer cancel()
	if err := s.Quota.Return(ctx, who); err != nil {
		s.Log.WarnContext(ctx, "a request that was not taken in is counted for a day", "error", err.Error())
	}
}

// checkLimits refuses what the operator does not allow, what cannot be done by the deadline, and models that are not there.
func (s *Service) checkLimits(l Limits, ask api.Trigger) *serve.Problem {
	refuse := func(name string, most any) *serve.Problem {
		return invalid("invalid_options", fmt.Sprintf("%s may be at most %v here.", name, most), "Lower it, leave it out, or ask the operator for a higher limit.")
	}
	o := ask.Options
	switch {
	case ask.Priority > l.Priority:
		return invalid("invalid_priority", fmt.Sprintf("priority may be at most %d here.", l.Priority), "Leave it out for the normal one, 0.")
	case !(o.TrainBudgetS <= l.TrainBudgetS):
		return refuse("train_budget_s", l.TrainBudgetS)
	case o.MaxImages > l.Images:
		return refuse("max_images", l.Images)
	case o.LongEdgePx > l.LongEdgePx:
		return refuse("long_edge_px", l.LongEdgePx)
	}
	if err := o.Fits(s.RequestTTL); err != nil {
		return invalid("invalid_options", err.Error()+".", "Lower it or leave it out.")
	}
	return s.checkModel(o.Depth)
}

// checkModel refuses the name of a depth model that this deployment does not have.
func (s *Service) checkModel(name string) *serve.Problem {
	if s.Models == nil || name == "" || name == pipeline.DepthAuto || name == pipeline.DepthOff {
		return nil
	}
	models := s.Models()
	if slices.Contains(models, name) {
		return nil
	}
	return invalid("invalid_options", "depth must be "+strings.Join(append([]string{pipeline.DepthAuto, pipeline.DepthOff}, models...), ", ")+"; this deployment has no other model.",
		"Leave it out for the deployment's own.")
}

// card is the limit of a graphics card's images, where what is left open would take more of them than the processor's; else 0.
func (l Limits) card(o pipeline.Options) int {
	if o.CardLongEdgePx() > l.LongEdgePx {
		return l.LongEdgePx
	}
	return 0
}

// within brings down what a default, the deployment's or the preset's own, would take beyond the limits.
func (l Limits) within(o pipeline.Options) pipeline.Options {
	full := o.WithDefaults()
	if full.MaxImages > l.Images {
		o.MaxImages = l.Images
	}
	o.TrainBudgetS = min(o.TrainBudgetS, l.TrainBudgetS)
	if full.LongEdgePx > l.LongEdgePx {
		o.LongEdgePx = l.LongEdgePx
	}
	return o
}
