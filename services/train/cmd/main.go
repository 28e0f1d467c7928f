// Command train is the train stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job,
// which continues with export.
package main

import (
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/internal/stage"
	export "github.com/splatworks/splatworks/services/export/cmd/define"
	"github.com/splatworks/splatworks/services/train"
)

func main() { app.Main(app.RunStage(definition, export.Stage)) }

func definition(c app.Config) (stage.Definition, error) {
	device, err := cards.ParseDriver(c.TrainDevice)
	return train.Stage(train.Config{Threads: c.Threads, Now: time.Now, Device: device, Expected: c.TrainCard}), err
}
