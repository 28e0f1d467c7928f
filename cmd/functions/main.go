// Command functions is every function as one deployable; FUNCTION_TARGET chooses which one answers.
package main

import (
	_ "github.com/splatworks/splatworks" // registers the functions
	"github.com/splatworks/splatworks/app"
)

func main() { app.Main(app.RunFunctions) }
