package artifacts

import (
	"encoding/json"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

const someID = "06gztda6gn2bxw0r414dfn5d58"

func TestWhatStartsARequest(t *testing.T) {
	for name, want := range map[string]bool{UploadName(someID, "input"): true, CaptureName(someID): true, PartName(someID, "1.jpg"): false,
		PartName(someID, captureFile): false, PartsPrefix(someID): false, someID: false, someID + "/": false} {
		if Starts(name) != want {
			t.Errorf("Starts(%q) = %v", name, !want)
		}
		if IsCapture(name) != (name == CaptureName(someID)) {
			t.Errorf("IsCapture(%q) = %v", name, IsCapture(name))
		}
	}
}

// FuzzCapture: what is read back pins every object, whatever the bytes are.
func FuzzCapture(f *testing.F) {
	good, err := json.Marshal(Capture{Version: 1, Objects: []pipeline.Object{{Bucket: "b", Name: "n", Generation: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), `{"version":2}`, `{"version":1,"objects":[{}]}`, `{"version":1,"objects":[{"bucket":"b","name":"n","generation":"-1"}]}`, `null`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c Capture
		if json.Unmarshal(body, &c) != nil || c.check() != nil {
			return
		}
		for _, o := range c.Objects {
			if o.Bucket == "" || o.Name == "" || o.Generation <= 0 {
				t.Fatalf("%v is not pinned", o)
			}
		}
	})
}
