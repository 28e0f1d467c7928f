package cards_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu/cards"
)

func TestParseDriver(t *testing.T) {
	for name, want := range map[string]cards.Driver{"": cards.Auto, "auto": cards.Auto, "cpu": cards.CPU, "cuda": cards.CUDA, "opencl": cards.OpenCL} {
		if got, err := cards.ParseDriver(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := cards.ParseDriver("gpu"); err == nil || !strings.Contains(err.Error(), "auto, cpu, cuda or opencl") {
		t.Errorf("%v", err)
	}
}

// Whatever this machine has: each driver has a card or a reason, and opening gives a device that has memory, or says why not.
func TestListAndOpen(t *testing.T) {
	list, missing := cards.List()
	seen := map[cards.Driver]bool{}
	for _, card := range list {
		t.Logf("%+v", card)
		seen[card.Driver] = true
		if card.Name == "" || card.Memory <= 0 || card.Version == "" {
			t.Errorf("a card without a name, memory or version: %+v", card)
		}
	}
	for _, driver := range []cards.Driver{cards.CUDA, cards.OpenCL} {
		if seen[driver] == (missing[driver] != nil) {
			t.Errorf("%s: a card: %v, and the reason for none: %v", driver, seen[driver], missing[driver])
		}
		d, err := cards.Open(driver)
		if err != nil {
			if found := cards.Find(driver); !errors.Is(err, cards.ErrNone) || !strings.Contains(err.Error(), string(driver)) || found == nil {
				t.Errorf("%s: %v; looking alone says %v", driver, err, found)
			}
			continue
		}
		if d.Memory() <= 0 || d.Name() == "" {
			t.Errorf("%s has %d bytes", d.Name(), d.Memory())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := cards.Open(cards.CPU); !errors.Is(err, cards.ErrNone) {
		t.Errorf("the processor as a card: %v", err)
	}
}
