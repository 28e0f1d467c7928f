package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu/cards"
)

// Whatever this machine and this build have: the document says whether a card can train, or why none can, and the exit code with it.
func TestDoctorChecksACard(t *testing.T) {
	var out bytes.Buffer
	failed := doctorCommand{GPU: true, JSON: true, Device: "auto"}.Run(context.Background(), console{out: &out, err: &out})
	var said struct {
		OK      bool
		Cards   []cards.Card
		Missing map[cards.Driver]string `json:"cards_missing"`
		Check   *cards.Check
		Problem string
		TookS   *float64 `json:"took_s"`
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	t.Logf("%+v", said)
	if said.OK != (failed == nil) || said.OK == (said.Problem != "") || said.Cards == nil || said.TookS == nil {
		t.Errorf("%+v, and the command ends with %v", said, failed)
	}
	if said.OK && (said.Check == nil || !said.Check.Agrees()) {
		t.Errorf("a card that did not prove itself: %+v", said)
	}
	if len(said.Cards) == 0 && len(said.Missing) != 2 {
		t.Errorf("no card, and the reasons are %q", said.Missing)
	}
}
