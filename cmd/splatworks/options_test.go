package main

import (
	"io"
	"reflect"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

func parsedOptions(t *testing.T, args ...string) (pipeline.Options, error) {
	t.Helper()
	cmd := commands{}
	p, err := newParser(t.Context(), console{out: io.Discard, err: io.Discard}, &cmd, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(append([]string{"run", "video.mp4", "-o", "out"}, args...)); err != nil {
		return pipeline.Options{}, err
	}
	return cmd.Run.Wishes.options()
}

func TestFlagsAreOptions(t *testing.T) {
	got, err := parsedOptions(t, "--preset=high", "--train-budget=90s", "--max-images=7", "--long-edge=1000", "--seed=18446744073709551615", "--depth=a-model",
		"--outputs=glb,sog", "--projection=sphere", "--sky=on", "--background-mode=empty", "--cleanup=strong", "--crop=-1,-2,0,1,2,3.5", "--up=0,-1,0.5", "--scale=2=0,0,1/1,0,1", "--refine-poses", "--compensate-exposure")
	want := pipeline.Options{Preset: pipeline.High, TrainBudgetS: 90, MaxImages: 7, LongEdgePx: 1000, Seed: 1<<64 - 1, Depth: "a-model",
		Outputs: []string{"glb", "sog"}, Projection: pipeline.ProjectionSphere, Sky: pipeline.SkyOn, BackgroundMode: pipeline.BackgroundEmpty, Cleanup: pipeline.CleanupStrong, Crop: "-1,-2,0,1,2,3.5", Up: "0,-1,0.5", Scale: "2=0,0,1/1,0,1", RefinePoses: true, CompensateExposure: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v: %v", got, want, err)
	}
}

func TestFlagsLeftOutAreDefaults(t *testing.T) {
	got, err := parsedOptions(t)
	if err != nil || !reflect.DeepEqual(got.WithDefaults(), pipeline.Options{}.WithDefaults()) {
		t.Errorf("%+v %v", got, err)
	}
	if got, err = parsedOptions(t, "--outputs=none"); err != nil || got.Outputs == nil || len(got.Outputs) != 0 {
		t.Errorf("no outputs: %#v %v", got.Outputs, err)
	}
}

func TestFlagsOutOfRangeAreRefused(t *testing.T) {
	for _, arg := range []string{"--preset=ultra", "--max-images=2", "--long-edge=63", "--train-budget=25h", "--outputs=obj", "--depth=../x", "--sky=blue"} {
		if got, err := parsedOptions(t, arg); err == nil {
			t.Errorf("%s was taken: %+v", arg, got)
		}
	}
}
