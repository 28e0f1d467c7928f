// Command operators is the operators' API of the queue and the reaper's tick, as a Cloud Run service behind IAM.
package main

import (
	"github.com/splatworks/splatworks/app"
)

func main() { app.Main(app.RunOperators) }
