// Command requests is the operators' API of the queue and the reaper's tick, as a Cloud Run service behind IAM.
package main

import (
	"github.com/splatworks/splatworks/internal/app"
)

func main() { app.Main(app.RunRequests) }
