package main

import (
	"errors"
	"fmt"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
)

// howToInstall is what a failure or warning of this machine says besides its advice, which callers of the API read as well: how to
// install what it lacks. model is the depth model that was asked for.
func howToInstall(code, model string) string {
	switch code {
	case colmap.MissingTool:
		return fmt.Sprintf("COLMAP: %s; 'splatworks doctor' shows what is found.", toolchain.HowToInstall("colmap"))
	case depth.RuntimeMissing, depth.RuntimeFailed:
		return fmt.Sprintf("ONNX Runtime: %s.", toolchain.HowToInstall("onnxruntime"))
	case depth.ModelMissing, depth.ModelDamaged:
		if model == "" || model == pipeline.DepthAuto {
			model = depth.DefaultModel
		}
		return fmt.Sprintf("'splatworks models fetch %s' installs it.", model)
	}
	return ""
}

// withInstallation adds howToInstall to a stage's failure.
func withInstallation(err error, model string) error {
	var failure *pipeline.Failure
	if !errors.As(err, &failure) {
		return err
	}
	how := howToInstall(failure.Code, model)
	if how == "" {
		return err
	}
	complete := *failure
	complete.Advice += " " + how
	return &complete
}
