// Command cmd writes infra/monitoring/dashboard.json (for Grafana) or rules.yaml (for Prometheus): go run ./infra/monitoring/cmd dashboard.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/splatworks/splatworks/infra/monitoring"
)

func main() {
	write := map[string]func(io.Writer) error{"dashboard": monitoring.WriteDashboard, "rules": monitoring.WriteRules}
	if len(os.Args) != 2 || write[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go run ./infra/monitoring/cmd dashboard|rules")
		os.Exit(2)
	}
	if err := write[os.Args[1]](os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
