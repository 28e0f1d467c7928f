package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/pipeline"
)

const good = `
stages:
  filter: {slots: 3, machine: images, cpu: 4}
  train: {machine: splats}
models:
  depth: {model-a: 80, model-b: 20}
presets:
  high: {train_budget_s: 200, max_images: 90}
limits: {max_images: 500, max_minutes_day: 90.5}
limits_of_all: {max_upload_bytes_day: 1000, max_usd_day: 2}
tenants: {app: {max_usd_day: 1}}
prices: {vcpu_s: 2e-5, gpu_s: {nvidia-l4: 0.0002}}
retention_days: {manifests: 30, artifacts: 30}
`

func TestFileIsRead(t *testing.T) {
	f, err := Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	c := app.Config{Slots: map[string]int{"filter": 1, "train": 1}, Machines: map[string]string{"filter": "x", "train": "x"}}
	if err := f.Apply(&c); err != nil {
		t.Fatal(err)
	}
	if c.Slots["filter"] != 3 || c.Slots["train"] != 1 || c.Machines["filter"] != "images" || c.Machines["train"] != "splats" {
		t.Errorf("slots %v, machines %v", c.Slots, c.Machines)
	}
	if c.MaxImages != 500 || c.MaxTrainBudgetS != app.DefaultSpending.TrainBudgetS || c.DepthShares["model-b"] != 20 || c.Presets != `{"high":{"train_budget_s":200,"max_images":90}}` {
		t.Errorf("%d images, %v s, %v, %s", c.MaxImages, c.MaxTrainBudgetS, c.DepthShares, c.Presets)
	}
	if c.MaxMinutesDay != 90.5 || c.AllBytesDay != 1000 || c.AllUSDDay != 2 || c.KeyLimits != `{"app":{"max_usd_day":1}}` {
		t.Errorf("of a day: %v minutes, %d bytes and %v USD of all, %s", c.MaxMinutesDay, c.AllBytesDay, c.AllUSDDay, c.KeyLimits)
	}
	if o := f.Defaults().Fill("id", pipeline.Options{Preset: pipeline.High}); o.MaxImages != 90 || o.Depth == "" {
		t.Errorf("filled in: %+v", o)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "{}"} {
		if f, err := Parse("empty.yaml", []byte(empty)); err != nil || len(f.said) != 0 {
			t.Errorf("%q: %v %v", empty, f, err)
		}
	}
}

func TestExampleIsRight(t *testing.T) {
	text, err := os.ReadFile("../../../splatworks.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	uncommented := strings.NewReplacer("# models:", "models:", "#   depth: {", "  depth: {", "# presets:", "presets:", "#   high: {", "  high: {", "# tenants:", "tenants:", "#   app: {", "  app: {").Replace(string(text))
	for _, text := range []string{string(text), uncommented} {
		f, err := Parse("splatworks.example.yaml", []byte(text))
		if err != nil {
			t.Error(err)
		}
		if text == uncommented && err == nil && (len(f.Models.Depth) != 2 || f.Presets[pipeline.High].MaxImages == 0 || len(f.Tenants) != 1) {
			t.Errorf("its comments are not read as they should be: %+v", f)
		}
	}
}

// TestWhatIsWrongHasItsLine: each of the texts is refused with these words.
func TestWhatIsWrongHasItsLine(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for _, name := range "bcdefghi" {
		bomb += string(name) + ": &" + string(name) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(name-1)+",", 9), ",") + "]\n"
	}
	for text, want := range map[string]string{
		"stages:\n  filter:\n    slotz: 4\n":                            "f.yaml:3: stages.filter.slotz: there is no such field",
		"stages:\n  trian: {slots: 1}\n":                                "f.yaml:2: stages.trian: there is no such field",
		"\nstage: {}\n":                                                 "f.yaml:2: stage: there is no such field",
		"stages:\n  filter:\n    slots: 0\n":                            "f.yaml:3: stages.filter.slots must be at least 1, not 0",
		"stages:\n  filter:\n    slots: many\n":                         "f.yaml:3: stages.filter.slots must be of type integer, not string",
		"stages:\n  filter:\n    slots: 1.5\n":                          "f.yaml:3: stages.filter.slots must be of type integer, not number",
		"stages:\n  filter:\n    slots: .nan\n":                         "f.yaml:3: .nan is not a number",
		"limits:\n  max_train_budget_s: .inf\n":                         "f.yaml:2: .inf is not a number",
		"stages:\n  filter:\n    cpu: 3\n":                              "f.yaml:3: stages.filter.cpu is not right: value must be one of 1, 2, 4, 6, 8",
		"stages: 4\n":                                                   "f.yaml:1: stages must be of type object, not number",
		"models:\n  depth:\n    a: 80\n    b: 30\n":                     "f.yaml:2: models.depth: the shares must add up to 100 %, and they add up to 110",
		"models:\n  depth:\n    a: 99\n":                                "they add up to 99",
		"models:\n  depth:\n    a: 0\n    b: 100\n":                     "f.yaml:3: models.depth.a must be above 0",
		"models:\n  depth:\n    'a b': 100\n":                           `f.yaml:3: "a b" is not a name that models.depth may have`,
		"models:\n  depth:\n    auto: 100\n":                            "name a model",
		"retention_days:\n  uploads: 1\n  manifests: 5\n  artifacts: 9": "f.yaml:3: retention_days: manifests must be kept as long",
		"presets:\n  fast: {max_images: 9}\n":                           "f.yaml:2: presets.fast: there is no such field",
		"presets:\n  high:\n    train_budget_s: 86400\n":                "f.yaml:3: presets.high.train_budget_s must be at most 64800, not 86400",
		"limits: &x {max_images: 9}\n":                                  "f.yaml:1: anchors and aliases are not read",
		bomb:                                                            "f.yaml:1: anchors and aliases are not read",
		"<<: {limits: {}}\n":                                            "f.yaml:1: a name must be plain text",
		"1: 2\n":                                                        "f.yaml:1: a name must be plain text",
		"limits: {}\n\nlimits: {}\n":                                    "f.yaml:3: limits appears twice",
		"limits: {}\n---\nlimits: {}\n":                                 "f.yaml:2: a second document begins",
		"limits: !!binary aGVsbG8=\n":                                   "f.yaml:1: the tag !!binary is not read",
		"limits: !go/struct x\n":                                        "f.yaml:1: the tag !go/struct is not read",
		"- a\n- b\n":                                                    "f.yaml:1: it must be a list of names and values",
		"just words":                                                    "f.yaml:1: it must be a list of names and values",
		"stages: {filter: {slots: 1}\n":                                 "f.yaml: line ",
		"\tstages: {}":                                                  "f.yaml: ",
		strings.Repeat("[", 50) + strings.Repeat("]", 50):               "f.yaml:1: it is nested more than 8 deep",
		strings.Repeat("[", 40000):                                      "f.yaml: ",
		"a: " + strings.Repeat("x", maxBytes):                           "f.yaml: it has more than 64 KiB",
		"stages: {filter: {slots: 99999999999999999999999}}":            "f.yaml:1: stages.filter.slots must be at most 1000, not 10000000",
		"stages: {filter: {machine: 2026-01-02}}":                       "f.yaml:1: stages.filter.machine is not right: '2026-01-02' does not match",
	} {
		_, err := Parse("f.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %.300v\nwant %q", text, err, want)
		}
	}
	_, err := Parse("f.yaml", []byte("limits: {x: 1}\nstage: {}\nstages:\n  filter: {slots: 0}\n"))
	if want := "f.yaml:1: limits.x: there is no such field\nf.yaml:2: stage: there is no such field\nf.yaml:4: stages.filter.slots must be at least 1, not 0"; err == nil || err.Error() != want {
		t.Errorf("all that is wrong: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{good, "a: &a [*a]", "? {a: b}\n: c", "%YAML 1.1\n---\na: 1", "limits: .nan", "!!map {a: b}", "\xff\xfe"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f.yaml", text)
		if err != nil {
			return
		}
		if err := file.Apply(&app.Config{Slots: map[string]int{}, Machines: map[string]string{}}); err != nil {
			t.Error(err)
		}
		if err := file.Defaults().Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestDiff(t *testing.T) {
	f, err := Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	diff := func(declared string) string {
		t.Helper()
		var tree map[string]any
		if err := json.Unmarshal([]byte(declared), &tree); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(f.Diff(tree))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const same = `{"stages":{"filter":{"slots":3,"machine":"images","cpu":4,"disk_gib":null},"train":{"slots":2,"machine":"splats"}},
		"models":{"depth":{"model-a":80,"model-b":20}},"presets":{"high":{"train_budget_s":200,"max_images":90,"long_edge_px":null}},"limits":{"max_images":500,"max_priority":3,"max_minutes_day":90.5},
		"limits_of_all":{"max_minutes_day":0,"max_upload_bytes_day":1000,"max_usd_day":2},"tenants":{"app":{"max_usd_day":1}},
		"prices":{"vcpu_s":0.00002,"gib_s":1,"gpu_s":{"nvidia-l4":0.0002}},"retention_days":{"manifests":30,"artifacts":30}}`
	if got := diff(same); got != "null" {
		t.Errorf("what runs is in the file: %s", got)
	}
	changed := strings.NewReplacer(`"slots":3`, `"slots":4`, `"model-b":20`, `"model-c":20`, `"max_images":500`, `"max_images":"500"`, `"long_edge_px":null`, `"long_edge_px":800`, `"manifests":30,`, ``).Replace(same)
	want := `[{"field":"limits.max_images","runs":"500","says":500},{"field":"models.depth.model-b","runs":null,"says":20},{"field":"retention_days.manifests","runs":null,"says":30},` +
		`{"field":"stages.filter.slots","runs":4,"says":3},{"field":"models.depth.model-c","runs":20,"says":null},{"field":"presets.high.long_edge_px","runs":800,"says":null}]`
	if got := diff(changed); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A laptop: what it does not read is no change.
	c := app.Config{Slots: map[string]int{"filter": 1}, Machines: map[string]string{}}
	if err := f.Apply(&c); err != nil {
		t.Fatal(err)
	}
	if got := diff(c.Declared); got != "null" {
		t.Errorf("a laptop that was started with the file: %s", got)
	}
	// Nonsense from a deployment is a difference, not a crash.
	for _, declared := range []string{`{"stages":4,"models":[1],"presets":"x","prices":null}`, `{"stages":{"filter":[[]]}}`} {
		if got := diff(declared); !strings.Contains(got, "stages.filter.slots") {
			t.Errorf("%s: %s", declared, got)
		}
	}
}
