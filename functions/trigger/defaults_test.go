package trigger_test

import (
	"fmt"
	"testing"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

// TestDefaultsOfTheDeploymentAreFilledIn: shares by the id of the request, presets up to the limits, and a repetition gets the same.
func TestDefaultsOfTheDeploymentAreFilledIn(t *testing.T) {
	shares := pipeline.Shares{"model-a": 80, "model-b": 20}
	w := newWorld(t, func(c *trigger.Config) {
		c.Defaults = pipeline.Defaults{Depth: shares, Presets: map[pipeline.Preset]pipeline.Effort{"standard": {TrainBudgetS: 900, MaxImages: 50, LongEdgePx: 2000}}}
		c.Limits = trigger.Limits{TrainBudgetS: 600, Images: 200, LongEdgePx: 1000}
		c.Models = func() []string { return []string{"model-a", "model-b"} }
	})
	got := map[string]int{}
	ask := func(session, options string, headers ...string) pipeline.Request {
		t.Helper()
		rec := w.call("POST", "/trigger-reconstruction", fmt.Sprintf(`{"session_id":%q,"options":%s}`, session, options), headers...)
		if rec.Code != 202 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		state, err := w.queue.Lookup(t.Context(), decode[api.Accepted](t, rec).RequestID)
		if err != nil {
			t.Fatal(err)
		}
		return state.Request
	}
	for i := range 60 {
		r := ask(fmt.Sprint("s", i), `{"depth":"auto"}`)
		if want := shares.Choose(r.ID); r.Options.Depth != want {
			t.Errorf("%s got %s, its share is %s", r.ID, r.Options.Depth, want)
		}
		got[r.Options.Depth]++
	}
	if got["model-a"] <= got["model-b"] || got["model-b"] == 0 {
		t.Errorf("shared out as %v", got)
	}
	first := ask("again", `{}`, "Idempotency-Key: 0123456789abcdef")
	if second := ask("again", `{}`, "Idempotency-Key: 0123456789abcdef"); second.ID != first.ID || second.Options.Hash() != first.Options.Hash() {
		t.Errorf("a repetition: %+v, %+v", first, second)
	}
	if o := first.Options; o.TrainBudgetS != 600 || o.MaxImages != 50 || o.LongEdgePx != 1000 {
		t.Errorf("a preset up to the limits: %+v", o)
	}
	if o := ask("own", `{"depth":"off","max_images":20,"train_budget_s":5}`).Options; o.Depth != "off" || o.MaxImages != 20 || o.TrainBudgetS != 5 {
		t.Errorf("what the client says stays: %+v", o)
	}
}
