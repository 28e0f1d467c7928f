package operators_test

import (
	"encoding/json"
	"testing"
)

func TestConfigIsPublished(t *testing.T) {
	w := newWorld(t)
	type answer struct{ Declared map[string]any }
	if got := get[answer](w, "GET", "/config", "", 200); got.Declared == nil || len(got.Declared) != 0 {
		t.Errorf("a deployment that does not know: %v", got)
	}
	w.service.Declared = json.RawMessage(`{"stages":{"filter":{"slots":4}}}`)
	got := get[struct {
		Declared struct {
			Stages map[string]struct{ Slots int }
		}
	}](w, "GET", "/config", "", 200)
	if got.Declared.Stages["filter"].Slots != 4 {
		t.Errorf("%+v", got)
	}
}
