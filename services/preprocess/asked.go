package preprocess

import (
	"fmt"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/pipeline"
)

// markPx is how well a person marks a place on a picture, in pixels of it.
const markPx = 2

// asked is what the client says of the world, for images that were made of pictures whose size as shown is shown(image).
func asked(o pipeline.Options, images []frames.Image, shown func(frames.Image) (width, height int)) (scene.Asked, error) {
	a := scene.Asked{Level: o.Up == pipeline.UpCameras}
	if up, ok := o.UpDirection(); ok {
		if a.Up = up; up == [3]float64{} {
			return a, refuse("The direction %s of the option up has no length.", o.Up)
		}
	}
	known, ok := o.KnownDistance()
	if !ok {
		return a, nil
	}
	d := &scene.Distance{Metres: known.Metres}
	for i := range d.Ends {
		d.Ends[i].Point = known.Points[i]
		for k, s := range known.Seen[i] {
			if s.Image == "" {
				continue
			}
			var err error
			if d.Ends[i].Seen[k], err = sight(s, images, shown); err != nil {
				return a, err
			}
		}
		if seen := known.Seen[i]; seen[0].Image != "" && seen[0].Image == seen[1].Image {
			return a, refuse("The option scale has the same place in the image %s twice: name two images that show it.", seen[0].Image)
		}
	}
	a.Distance = d
	return a, nil
}

// sight finds a place that the client marked, in pixels of the image that its picture became.
func sight(s pipeline.Sight, images []frames.Image, shown func(frames.Image) (width, height int)) (scene.Sight, error) {
	for _, m := range images {
		if m.Name != s.Image {
			continue
		}
		width, height := shown(m)
		if !(s.X <= float64(width) && s.Y <= float64(height)) {
			return scene.Sight{}, refuse("The place %g,%g of the option scale is not in the image %s, which has %d x %d pixels.", s.X, s.Y, s.Image, width, height)
		}
		across, down := float64(m.Width)/float64(width), float64(m.Height)/float64(height)
		return scene.Sight{Image: s.Image, X: s.X * across, Y: s.Y * down, SigmaPx: markPx * across}, nil
	}
	return scene.Sight{}, refuse("The option scale names the image %s, which is not among the %d images that are used.", s.Image, len(images))
}

func refuse(message string, values ...any) error {
	return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "bad_world", Message: fmt.Sprintf(message, values...),
		Advice: "Name images as sparse/ of an earlier result does, and give places in pixels of the picture as it was sent, from its upper left corner."}
}
