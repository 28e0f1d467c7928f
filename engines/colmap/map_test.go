package colmap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/scene"
)

// A database of another form costs guided matching and not the poses.
func TestUnreadableDatabaseIsNotGuided(t *testing.T) {
	r := reconstructor{plan: Plan{WorkPath: t.TempDir()}}
	if err := os.WriteFile(r.databasePath(), []byte("no database"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.guide(t.Context()); err != nil || len(r.result.Warnings) != 1 || r.result.Warnings[0].Code != "not_guided" || len(r.result.Runs) != 0 {
		t.Errorf("%v, warnings %+v, runs %+v", err, r.result.Warnings, r.result.Runs)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.guide(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Where global_mapper registers every image, mapper checks it for a while and is stopped then; its model is taken as it is. Where it
// leaves images out, mapper ends its work.
func TestTheCheckEnds(t *testing.T) {
	before := checkAtLeast
	checkAtLeast = 100 * time.Millisecond
	t.Cleanup(func() { checkAtLeast = before })
	const images = 25
	r := reconstructor{plan: Plan{WorkPath: t.TempDir()}, images: make([]string, images)}
	whole, part := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "part")
	for path, model := range map[string]*scene.Reconstruction{whole: ring(images, 60), part: ring(images-2, 60)} {
		if err := model.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(r.databasePath(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for model, check := range map[string]string{whole: "sleep 60", part: "sleep 0.5; cp -r " + whole + " $out/0"} {
		out := r.plan.WorkPath
		r.colmap = *fake(t, `case $command in
global_mapper) cp -r `+model+` `+out+`/global_mapper/0;;
mapper) out=`+out+`/mapper; `+check+`;;
esac`)
		models, err := r.mapImages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := chooseModel(models, images, nil)
		if c.model == nil {
			t.Fatalf("no model: %s", c.reason)
		}
		stopped := models[1].failure != nil && models[1].failure.Code == NotChecked
		if model == whole && (!stopped || c.model.mapper != globalMapper || !strings.Contains(c.reason, "too long")) {
			t.Errorf("mapper was stopped: %v; %s: %s", stopped, c.model.mapper, c.reason)
		}
		if model == part && (models[1].reconstruction == nil || len(models[1].reconstruction.Images) != images || c.model.mapper != incrementalMapper) {
			t.Errorf("mapper was stopped: %v; %s: %s", stopped, c.model.mapper, c.reason)
		}
	}
}
