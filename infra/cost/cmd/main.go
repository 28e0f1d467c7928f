// Command cmd prints the cost tables of docs/operations.md: go run ./infra/cost/cmd
package main

import (
	"fmt"
	"os"

	"github.com/splatworks/splatworks/infra/cost"
)

func main() {
	if err := cost.Print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
