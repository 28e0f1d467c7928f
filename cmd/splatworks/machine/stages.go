// Package machine is what this machine has for a reconstruction: the stages with its tools, its depth models, its memory.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/splatworks/splatworks/engines/colmap"
	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/depth"
	"github.com/splatworks/splatworks/services/export"
	"github.com/splatworks/splatworks/services/filter"
	"github.com/splatworks/splatworks/services/preprocess"
	"github.com/splatworks/splatworks/services/train"
)

// DeviceVariable is the environment variable that says where training runs: a cards.Driver.
const DeviceVariable = "SPLATWORKS_DEVICE"

// Stage is a stage's definition with the tools of this machine.
func Stage(s pipeline.Stage) (stage.Definition, error) {
	switch s {
	case pipeline.Filter:
		tools, err := FrameTools()
		return filter.Stage(filter.Config{Tools: tools}), err
	case pipeline.Preprocess:
		tools, missing := FrameTools()
		program, err := toolchain.Locate("colmap")
		device, wrong := cards.ParseDriver(os.Getenv(DeviceVariable))
		card := device != cards.CPU && cards.Find(device) == nil
		return preprocess.Stage(preprocess.Config{Tools: tools, Colmap: program, MemoryBytes: stage.MachineMemory(), Card: card,
			CoreSpeed: colmap.CoreSpeed, Now: time.Now}), errors.Join(missing, err, wrong)
	case pipeline.Depth:
		return depthStage()
	case pipeline.Train:
		device, err := cards.ParseDriver(os.Getenv(DeviceVariable))
		return train.Stage(train.Config{Now: time.Now, Device: device}), err
	case pipeline.Export:
		tools, err := FrameTools()
		return export.Stage(export.Config{Tools: tools}), err
	}
	return stage.Definition{}, fmt.Errorf("no stage %q", s)
}

// depthStage works without a model or a runtime, too: it says so then. SPLATWORKS_DEPTH_PROVIDER says where models run, as
// 'models check --provider' does.
func depthStage() (stage.Definition, error) {
	c := depth.Config{Model: engine.DefaultModel, Now: time.Now}
	models, err := toolchain.ModelsFolder()
	if err != nil { // no home folder, as under systemd or cron: no place where a model could be
		c.Open = func(context.Context, string) (engine.Estimator, error) {
			return nil, &fault.Failure{Code: engine.ModelMissing, Message: "There is no folder of depth models.",
				Advice: "Set SPLATWORKS_MODELS to the folder that 'splatworks models fetch' filled.", Err: err}
		}
		return depth.Stage(c), nil
	}
	library, _ := toolchain.Locate("onnxruntime")
	c.Open = depth.Folder(models, engine.Options{
		Library: library, Provider: engine.Provider(os.Getenv("SPLATWORKS_DEPTH_PROVIDER")), MemoryBytes: engine.DefaultMemoryBytes, Clock: time.Now,
	})
	return depth.Stage(c), nil
}

// DepthModels are the names of the models that this machine knows, whether their weights are here or not: the stage says which are
// missing.
func DepthModels() (names []string) {
	folder, _ := toolchain.ModelsFolder() // without one there is still the catalogue
	models, _ := engine.Models(folder)    // valid even where a file in the folder is no descriptor
	for _, m := range models {
		names = append(names, m.Name)
	}
	return names
}

// Check says what a reconstruction needs and this machine lacks.
func Check() error {
	if err := enoughMemory(); err != nil {
		return err
	}
	var missing []error
	for _, s := range pipeline.Stages() {
		if _, err := Stage(s); err != nil {
			missing = append(missing, err)
		}
	}
	if err := errors.Join(missing...); err != nil {
		return fmt.Errorf("%w\n'splatworks doctor' reports on every tool", err)
	}
	return nil
}

// FrameTools are the programs that read videos and photos.
func FrameTools() (frames.Tools, error) {
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		return frames.Tools{}, err
	}
	ffprobe, err := toolchain.Locate("ffprobe")
	return frames.Tools{FFmpeg: ffmpeg, FFprobe: ffprobe}, err
}
