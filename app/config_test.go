package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

// needed is the least that Load takes.
func needed(more ...string) envconfig.Lookuper {
	values := map[string]string{"REDIS_URL": "redis://x", "ARTIFACTS_BUCKET": "a", "INBOX_BUCKETS": "filter:f,preprocess:p,depth:d,train:t,export:e"}
	for _, line := range more {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return envconfig.MapLookuper(values)
}

func TestDefaultsOfWhatCallersMayDo(t *testing.T) {
	c, err := app.Load(t.Context(), needed())
	if err != nil {
		t.Fatal(err)
	}
	if c.Spending() != app.DefaultSpending {
		t.Errorf("%+v, and elsewhere the default is %+v", c.Spending(), app.DefaultSpending)
	}
	if !(c.RateCaller < c.RateGlobal) {
		t.Errorf("one caller may use up the limit of all: %d of %d", c.RateCaller, c.RateGlobal)
	}
	// What a configuration gives to a worker is read as the same.
	again, err := app.Load(t.Context(), needed(c.Environ()...))
	if err != nil || again.Spending() != c.Spending() || again.FairShare != c.FairShare {
		t.Errorf("%+v %v", again, err)
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for _, line := range []string{"RATE_LIMIT_CALLER=0", "RATE_LIMIT_GLOBAL=9", "PROXIES=-1", "CONCURRENCY=1", "MAX_TRAIN_BUDGET_S=NaN", "MAX_TRAIN_BUDGET_S=10", "MAX_IMAGES=0",
		"MAX_LONG_EDGE_PX=9999", "MAX_PRIORITY=4096", "API_KEY_LIMITS={\"app\":{\"max_priority\":-1}}", "API_KEY_LIMITS=app:1", "MAX_UPLOAD_BYTES=-1",
		"MAX_REQUESTS_DAY=-1", "RATE_LIMIT_DAY=-1", "RATE_LIMIT_DAY=100001", `API_KEY_LIMITS={"app":{"max_requests_day":1000000}}`, "MAX_MINUTES_DAY=-1", "MAX_UPLOAD_BYTES_DAY=-1", "MAX_USD_DAY=NaN", "ALL_USD_DAY=-1", `API_KEY_LIMITS={"app":{"max_usd_day":-1}}`, "MAX_REQUEST_USD=-1", "MAX_REQUEST_USD=NaN"} {
		if _, err := app.Load(t.Context(), needed(line)); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
	if _, err := app.Load(t.Context(), needed(`API_KEY_LIMITS={"app":{"max_priority":100}}`, "FAIR_SHARE=true", "PROXIES=2", "MAX_REQUEST_USD=0.5")); err != nil {
		t.Error(err)
	}
}

// TestNoLimitIsBelowAPresetsOwnTraining: who leaves the budget out gets the preset's, which no limit looks at.
func TestNoLimitIsBelowAPresetsOwnTraining(t *testing.T) {
	for _, preset := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
		training, err := trainer.Defaults(trainer.Preset(preset))
		if err != nil {
			t.Fatal(err)
		}
		limits := trigger.NoLimits
		if limits.TrainBudgetS = training.Budget.Seconds() - 1; limits.Check() == nil {
			t.Errorf("%s trains longer than a limit of %g s allows", preset, limits.TrainBudgetS)
		}
	}
}

// TestWorkersContinueOnTheirMachine: with the stages that follow without a gap on the same machine, and as the environment of a worker
// says it again.
func TestWorkersContinueOnTheirMachine(t *testing.T) {
	for machines, want := range map[string]map[pipeline.Stage]string{
		"": {pipeline.Filter: "[filter preprocess depth]", pipeline.Depth: "[depth]", pipeline.Train: "[train export]"},
		"filter:a,preprocess:b,depth:a,train:train-gpu,export:a": {pipeline.Filter: "[filter]", pipeline.Preprocess: "[preprocess]", pipeline.Train: "[train]"},
		"filter:a,preprocess:a":                                  {pipeline.Filter: "[filter preprocess]", pipeline.Depth: "[depth]", pipeline.Train: "[train]"},
	} {
		c, err := app.Load(t.Context(), needed("MACHINES="+machines))
		if err != nil {
			t.Fatal(err)
		}
		again, err := app.Load(t.Context(), needed(c.Environ()...))
		if err != nil {
			t.Fatal(err)
		}
		for s, stages := range want {
			if got := fmt.Sprint(c.WorksOn(s)); got != stages || fmt.Sprint(again.WorksOn(s)) != stages {
				t.Errorf("%q: a worker of %s works on %s, in its environment %v, want %s", machines, s, got, again.WorksOn(s), stages)
			}
		}
	}
	if _, err := app.Load(t.Context(), needed("MACHINES=mesh:a")); err == nil {
		t.Error("the machine of an unknown stage was taken")
	}
}
