package choose_test

import (
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
)

func TestManyPhotosAreThinnedBySharpness(t *testing.T) {
	frames := choosetest.Walk(100, 0)
	for i := range frames {
		frames[i].Sharpness = 0.4 + 0.1*float64(i%4)
	}
	s := choose.Photos(frames, choose.Options{MaxImages: 25})
	if len(s.Frames) != 25 || s.Thinned != 75 {
		t.Fatalf("%d selected, %d thinned", len(s.Frames), s.Thinned)
	}
	for i, f := range s.Frames {
		if f.Index != 4*i+3 {
			t.Errorf("photo %d was selected", f.Index)
		}
	}
}
