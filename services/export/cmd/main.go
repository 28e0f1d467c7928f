// Command export is the export stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/services/export/cmd/define"
)

func main() { app.Main(app.RunStage(define.Stage)) }
