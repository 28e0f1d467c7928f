// Command depth is the depth stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"time"

	"github.com/splatworks/splatworks/app"
	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/depth"
)

func main() { app.Main(app.RunStage(definition)) }

func definition(c app.Config) (stage.Definition, error) {
	return depth.Stage(depth.Config{Model: c.DepthModel, Now: time.Now, Open: depth.Folder(c.DepthModels, engine.Options{
		Library: c.ONNXRuntime, Provider: engine.Provider(c.DepthProvider), Threads: c.Threads, MemoryBytes: engine.DefaultMemoryBytes, Clock: time.Now,
	})}), nil
}
