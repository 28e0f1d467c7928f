// Package cards lists the graphics cards of this machine, opens one with the kernels loaded, and checks one against the processor.
// Without the build tag gpu it knows none.
package cards

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/gpu"
)

// Driver is what a card is reached through.
type Driver string

const (
	Auto   Driver = "auto"   // a card where one outdoes the processor, else the processor
	CPU    Driver = "cpu"    // no card
	CUDA   Driver = "cuda"   // NVIDIA's driver
	OpenCL Driver = "opencl" // any OpenCL driver: experimental
)

// Drivers are all of them.
func Drivers() []Driver { return []Driver{Auto, CPU, CUDA, OpenCL} }

// ParseDriver reads one; empty is Auto.
func ParseDriver(name string) (Driver, error) {
	if name == "" {
		return Auto, nil
	}
	if d := Driver(name); slices.Contains(Drivers(), d) {
		return d, nil
	}
	return "", fmt.Errorf("%q is no device to train on: use auto, cpu, cuda or opencl", name)
}

// Card is one that a driver knows.
type Card struct {
	Driver  Driver `json:"driver"`
	Name    string `json:"name"`
	Memory  int64  `json:"memory_bytes"`
	Version string `json:"version"` // of the driver, and what the card can
	// Problem says why it cannot train; empty: it can.
	Problem string `json:"problem,omitempty"`

	ordinal   int
	processor bool // of this machine, behind a driver for cards
}

// ErrNone says that no card that could train is at hand.
var ErrNone = errors.New("no graphics card that can train is at hand")

// List returns the cards of CUDA, then those of OpenCL, and for each driver without any the reason.
func List() (list []Card, missing map[Driver]error) {
	missing = map[Driver]error{}
	for _, driver := range []Driver{CUDA, OpenCL} {
		cards, err := listers[driver]()
		list = append(list, cards...)
		if err != nil {
			missing[driver] = err
		}
	}
	return list, missing
}

// Open takes the first card of a driver that can train, and loads the kernels; for Auto none that is this machine's processor.
// Where there is none the error wraps ErrNone and says why.
func Open(driver Driver) (gpu.Device, error) {
	card, err := find(driver)
	if err != nil {
		return nil, err
	}
	return openers[card.Driver](card.ordinal)
}

// Find says why Open would find no card.
func Find(driver Driver) error {
	_, err := find(driver)
	return err
}

func find(driver Driver) (Card, error) {
	list, missing := List()
	var why []string
	for _, card := range list {
		switch {
		case driver != Auto && card.Driver != driver:
		case card.Problem != "":
			why = append(why, fmt.Sprintf("%s: %s", card.Name, card.Problem))
		case driver == Auto && card.processor:
			why = append(why, card.Name+" is the processor")
		default:
			return card, nil
		}
	}
	for _, d := range []Driver{CUDA, OpenCL} {
		if err := missing[d]; err != nil && (driver == Auto || driver == d) {
			why = append(why, fmt.Sprintf("%s: %v", d, err))
		}
	}
	return Card{}, fmt.Errorf("%w (%s)", ErrNone, strings.Join(why, "; "))
}
