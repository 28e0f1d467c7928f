package estimate

import (
	"math"

	"github.com/splatworks/splatworks/pipeline"
)

// The rules: how many images are used and what a stage takes, on two cores. Only their shape matters once a few requests have
// finished, since what those took corrects the size. They are fitted to the captures of docs/performance.md.
const (
	framesPerS = 30
	keptFrames = 120 // of a video, up to here every usable frame is kept

	filterS, filterImageS = 1, 0.02
	// Poses: seconds an image and a pair of images with the preview preset.
	photoS, frameS, pairS = 1, 0.3, 0.09
	framePairs            = 11  // of each frame of a video
	allPairs              = 200 // of photos: more are not all compared with each other
	depthImageS           = 0.6
	strongFactor          = 1.5 // a strong cleaning trains what it leaves, for up to half as long
	exportS, outputS      = 2, 1
)

// posesFactor is how much longer poses take than with preview.
var posesFactor = map[pipeline.Preset]float64{pipeline.Preview: 1, pipeline.Standard: 2.5, pipeline.High: 6}

func (c Capture) video() bool { return c.DurationS > 0 }

// used is how many images of a capture are used: all photos, and of a video what is worth it, as far as its length says.
func used(c Capture, o pipeline.Options) int {
	most := o.WithDefaults().MaxImages
	if c.Images > 0 {
		return min(c.Images, most)
	}
	frames := c.Frames
	if frames == 0 {
		frames = int(math.Ceil(c.DurationS * framesPerS))
	}
	return max(pipeline.MinImages, min(frames, most, keptFrames))
}

// expected is how many seconds a stage takes by the rules.
func expected(stage pipeline.Stage, images float64, video bool, o pipeline.Options) float64 {
	o = o.WithDefaults()
	switch stage {
	case pipeline.Filter:
		return filterS + filterImageS*images
	case pipeline.Preprocess:
		return posesFactor[o.Preset] * posesS(images, video)
	case pipeline.Depth:
		if o.Depth == pipeline.DepthOff {
			return 0
		}
		return depthImageS * images
	case pipeline.Train:
		if o.Cleanup == pipeline.CleanupStrong {
			return strongFactor * o.TrainS()
		}
		return o.TrainS()
	case pipeline.Export:
		return exportS + outputS*float64(len(o.Outputs))
	}
	return 0
}

func posesS(images float64, video bool) float64 {
	if video {
		return images * (frameS + pairS*min(framePairs, (images-1)/2))
	}
	return images * (photoS + pairS*min(allPairs, images-1)/2)
}
