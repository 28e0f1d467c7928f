// Package splatworks is what Google builds when the functions are deployed from source: it looks for a package at the root whose
// init registers them with functions-framework-go. Our own image hosts the same registration, see cmd/functions.
//
//	gcloud run deploy splatworks-trigger --source=. --function=trigger ...   (docs/operations.md, "Functions from source")
package splatworks

import (
	"log"

	"github.com/splatworks/splatworks/app"
)

func init() {
	if err := app.RegisterFunctions(); err != nil {
		log.Fatal(err) // a programming error
	}
}
