package preprocess

import (
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/pipeline"
)

func TestAsked(t *testing.T) {
	images := []frames.Image{{Name: "a.jpg", Width: 1000, Height: 500}, {Name: "b.jpg", Width: 500, Height: 1000}}
	shown := func(m frames.Image) (int, int) { return 4 * m.Width, 4 * m.Height }
	got, err := asked(pipeline.Options{Up: "0,0,1", Scale: "2=a.jpg@400,200+b.jpg@0,4000/a.jpg@4000,0+b.jpg@8,12"}, images, shown)
	if err != nil || got.Level || got.Up != [3]float64{0, 0, 1} || got.Distance == nil {
		t.Fatalf("%+v %v", got, err)
	}
	if want := (scene.Distance{Metres: 2, Ends: [2]scene.End{
		{Seen: [2]scene.Sight{{Image: "a.jpg", X: 100, Y: 50, SigmaPx: 0.5}, {Image: "b.jpg", X: 0, Y: 1000, SigmaPx: 0.5}}},
		{Seen: [2]scene.Sight{{Image: "a.jpg", X: 1000, Y: 0, SigmaPx: 0.5}, {Image: "b.jpg", X: 2, Y: 3, SigmaPx: 0.5}}},
	}}); *got.Distance != want {
		t.Errorf("%+v", *got.Distance)
	}
	if got, err := asked(pipeline.Options{}.WithDefaults(), images, shown); err != nil || got != (scene.Asked{}) {
		t.Errorf("nothing asked: %+v %v", got, err)
	}
	if got, err := asked(pipeline.Options{Up: pipeline.UpCameras, Scale: "1=0,0,1/0,0,2"}, images, shown); err != nil || !got.Level || got.Distance.Ends[1].Point != [3]float64{0, 0, 2} {
		t.Errorf("%+v %v", got, err)
	}
}

func TestWhatIsAskedIsRefusedInWords(t *testing.T) {
	images := []frames.Image{{Name: "a.jpg", Width: 1000, Height: 500}, {Name: "b.jpg", Width: 500, Height: 1000}}
	shown := func(m frames.Image) (int, int) { return 4 * m.Width, 4 * m.Height }
	for want, o := range map[string]pipeline.Options{
		"The direction 0,0,0 of the option up has no length.":                                             {Up: "0,0,0"},
		"The place 4001,3 of the option scale is not in the image a.jpg, which has 4000 x 2000 pixels.":   {Scale: "1=a.jpg@4001,3+b.jpg@1,1/a.jpg@1,1+b.jpg@1,1"},
		"The place 3,4000.5 of the option scale is not in the image b.jpg, which has 2000 x 4000 pixels.": {Scale: "1=a.jpg@1,1+b.jpg@3,4000.5/a.jpg@1,1+b.jpg@1,1"},
		"The option scale names the image c.jpg, which is not among the 2 images that are used.":          {Scale: "1=a.jpg@1,1+b.jpg@1,1/a.jpg@1,1+c.jpg@1,1"},
		"The option scale has the same place in the image b.jpg twice: name two images that show it.":     {Scale: "1=b.jpg@1,1+b.jpg@1,1/a.jpg@1,1+b.jpg@1,1"},
	} {
		_, err := asked(o, images, shown)
		var f *pipeline.Failure
		if !errors.As(err, &f) || f.Kind != pipeline.InvalidInput || strings.ReplaceAll(f.Message, "\n", "") != want {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}
