package simulate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// ParseRate reads arrivals like 500/h, 12/min or 10000/day, in requests an hour.
func ParseRate(s string) (perHour float64, err error) {
	number, unit, _ := strings.Cut(s, "/")
	hours, known := map[string]float64{"s": 1. / 3600, "min": 1. / 60, "m": 1. / 60, "h": 1, "hour": 1, "d": 24, "day": 24}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0) {
		return 0, fmt.Errorf("arrivals %q: use a number and a unit, like 500/h, 12/min or 10000/day", s)
	}
	return n / hours, nil
}

// SetSlots reads slots like train=8,depth=2 into stages.
func SetSlots(stages map[pipeline.Stage]Stage, s string) error {
	for part := range strings.SplitSeq(s, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		stage, err := pipeline.ParseStage(name)
		if err != nil {
			return fmt.Errorf("slots %q: %w", s, err)
		}
		n, err := strconv.Atoi(number)
		if err != nil || n <= 0 {
			return fmt.Errorf("slots %q: %s needs a positive number, like %s=8", s, name, name)
		}
		of := stages[stage]
		of.Slots = n
		stages[stage] = of
	}
	return nil
}
