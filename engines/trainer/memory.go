package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/simd"
)

// Config.MemoryBytes is shared out before training starts:
//
//	an eighth    to the program itself, to decoding, and to what the collector has not collected yet
//	model        bytesPerGaussian for each of MaxGaussians, at most half
//	frame        bytesPerFramePixel for each pixel of the largest image
//	images       an 8-bit pyramid of every image; images shrink until theirs fits
//	moments      what is left: SSIM's window moments of as many images as there is room for; the others' are computed
//	             again at each visit, which costs about a tenth of the loss. They give way when the renderer needs more
//	             than its part of the model's share, because Gaussians are large on screen

// bytesPerGaussian is what one Gaussian costs: 59 parameters and two moments in float32 and once more while they are laid
// out anew, all with room for the eighth that a refinement adds before it takes away; what drawing takes; what a
// refinement gathers.
const bytesPerGaussian = 59*4*4*9/8 + bytesPerDrawn + 50

// bytesPerDrawn is the renderer's record, box, count and slot and about 5 instances of 62 bytes, in slices that are a
// quarter longer.
const bytesPerDrawn = (80 + 5*62) * 5 / 4

// bytesPerFramePixel is what a pixel of the picture being worked on costs: the frame's five planes, the gradient of three
// colours and the inverse depth, and the moments of three channels.
const bytesPerFramePixel = 4*(5+3+1) + bytesPerMoment*3

const (
	bytesPerMoment = 4         // mean and variance, of a channel's pixel
	pyramid        = 21.0 / 16 // pixels of all levels, for one of the full size
)

// usableBytes is the budget without the share of the program and the collector.
func (c *Config) usableBytes() int64 { return c.MemoryBytes - c.MemoryBytes/8 }

// mostGaussians is the cap that the memory allows.
func (c *Config) mostGaussians() int { return int(c.MemoryBytes / 2 / bytesPerGaussian) }

// memoryShrink is the factor by which images must shrink so that their pyramids fit. channels is 4 with masks, else 3.
func memoryShrink(model *scene.Reconstruction, images []scene.Image, channels int, cfg *Config) float64 {
	total, largestFrame, largestFactor := 0.0, 0.0, 1.0
	for i := range images {
		if cam := model.Camera(images[i].CameraID); cam != nil {
			f := max(1, float64(max(cam.Width, cam.Height))/float64(cfg.MaxSide))
			pixels := float64(cam.Width) * float64(cam.Height) / (f * f)
			total += float64(channels) * pyramid * pixels
			largestFrame, largestFactor = max(largestFrame, pixels), max(largestFactor, f)
		}
	}
	room := cfg.usableBytes() - int64(min(cfg.MaxGaussians, cfg.mostGaussians()))*bytesPerGaussian
	over := (total + bytesPerFramePixel*largestFrame) / float64(room)
	if over <= 1 {
		return 1
	}
	return largestFactor * math.Sqrt(over)
}

// bytes is what the images hold.
func (d *Dataset) bytes() (images, largestFrame int64) {
	for _, views := range [][]*View{d.Train, d.Test} {
		for _, v := range views {
			for level := range v.Levels {
				pic := &v.Levels[level]
				images += int64(len(pic.Pix[0])+len(pic.Pix[1])+len(pic.Pix[2])+len(pic.Alpha)+len(pic.Mask)) + 4*int64(len(pic.inverseDepth))
			}
			cam := &v.Levels[0].Camera
			largestFrame = max(largestFrame, int64(cam.Width)*int64(cam.Height))
		}
	}
	return images, largestFrame
}

// roomForMoments is what images, frame and model leave.
func roomForMoments(cfg *Config, d *Dataset) int64 {
	images, frame := d.bytes()
	return max(0, cfg.usableBytes()-int64(cfg.MaxGaussians)*bytesPerGaussian-images-bytesPerFramePixel*frame)
}

// moments keeps the window moments of the training images of one pyramid level: of the first that are asked for while
// there is room. Keeping those serves more visits than keeping the latest, as every epoch visits every image once.
type moments struct {
	kept  []*[3]simd.Truth // by view; nil: not kept
	room  int64            // bytes, in all
	used  int64
	spare [3]simd.Truth
}

func (m *moments) forget(views int) { m.kept, m.used = make([]*[3]simd.Truth, views), 0 }

// truth is a training image at the current level as the loss needs it.
func (t *training) truth(image int) *[3]simd.Truth {
	m, pic := &t.moments, &t.data.Train[image].Levels[t.level]
	if m.kept[image] != nil {
		return m.kept[image]
	}
	truth := &m.spare
	room := m.room - max(0, t.renderer.Bytes()-int64(t.cfg.MaxGaussians)*bytesPerDrawn)
	if m.used > room {
		m.forget(len(m.kept))
	}
	if size := int64(3 * bytesPerMoment * len(pic.Pix[0])); m.used+size <= room {
		m.used += size
		truth = new([3]simd.Truth)
		m.kept[image] = truth
	}
	t.loss.truth(pic, truth)
	return truth
}
