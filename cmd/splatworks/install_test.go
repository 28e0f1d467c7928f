package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/pipeline"
)

// Only where the stages run on this machine is there something to install on it.
func TestWhatIsMissingHereComesWithHowToInstallIt(t *testing.T) {
	for code, how := range map[string]string{
		colmap.MissingTool:   "install.sh colmap",
		depth.RuntimeMissing: "install.sh onnxruntime",
		depth.RuntimeFailed:  "install.sh onnxruntime",
		depth.ModelMissing:   "splatworks models fetch " + depth.DefaultModel,
		depth.ModelDamaged:   "splatworks models fetch " + depth.DefaultModel,
		colmap.NoSparseModel: "",
	} {
		f := &pipeline.Failure{Code: code, Message: "It does not work.", Advice: "Something."}
		var completed *pipeline.Failure
		if !errors.As(withInstallation(f, pipeline.DepthAuto), &completed) || !strings.HasPrefix(completed.Advice, f.Advice) ||
			!strings.Contains(completed.Advice, how) || how == "" && completed.Advice != f.Advice {
			t.Errorf("%s: %q", code, completed.Advice)
		}
		for _, local := range []bool{true, false} {
			var said strings.Builder
			b := bars{w: &said, local: local}
			b.warn(pipeline.Warning{Code: code, Message: f.Message, Advice: f.Advice})
			if how != "" && strings.Contains(said.String(), how) != local || !strings.Contains(said.String(), f.Advice) {
				t.Errorf("%s, stages on this machine %v: %q", code, local, said.String())
			}
		}
	}
	if how := howToInstall(depth.ModelMissing, "metric3d"); !strings.Contains(how, "models fetch metric3d") {
		t.Errorf("another model: %q", how)
	}
}

// A failure names what each of its readers has: callers of the API have no command line.
func TestEnginesNameNoProgramOfOurs(t *testing.T) {
	for _, open := range []func() error{
		func() error { _, err := (&colmap.Colmap{Path: "/no/colmap"}).Version(t.Context()); return err },
		func() error { _, err := depth.RuntimeVersion(""); return err },
		func() error { return depth.Verify("/no/model", depth.Catalogue()[0]) },
	} {
		if err := open(); err == nil || strings.Contains(depthFailure(err).Error(), "install.sh") || strings.Contains(depthFailure(err).Error(), "splatworks ") {
			t.Errorf("%v", err)
		}
	}
}
