// Command preprocess is the preprocess stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/services/preprocess/cmd/define"
)

func main() { app.Main(app.RunStage(define.Stage)) }
