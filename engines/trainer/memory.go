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
//	masks        of the images of which cells are hidden, a byte a pixel more, as far as there is room; the cells of others stay
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

// hidden is what the masks of the training images take when cells of all are hidden, beside the masks that they have.
func (d *Dataset) hidden(cfg *Config) (bytes int64) {
	if !cfg.HideTransients {
		return 0
	}
	for _, v := range d.Train {
		bytes += v.pixels()
	}
	return bytes
}

// roomForMasks is what images, frame and model leave.
func roomForMasks(cfg *Config, d *Dataset) int64 {
	images, frame := d.bytes()
	return max(0, cfg.usableBytes()-int64(cfg.MaxGaussians)*bytesPerGaussian-images-bytesPerFramePixel*frame)
}

// roomForMoments is what the masks leave of that.
func roomForMoments(cfg *Config, d *Dataset) int64 {
	return max(0, roomForMasks(cfg, d)-d.hidden(cfg))
}

// A graphics card's memory is shared out in the same way:
//
//	an eighth    to its driver and to what is lost between allocations
//	model        bytesPerGaussianOnCard for each of MaxGaussians
//	frame        bytesPerPixelOnCard for each pixel of the largest image
//	images       what is left, for those of one level. If not all fit, slots for a few of the largest come off it: into these
//	             the ones that do not stay are copied in turn, before their visits

// bytesPerGaussianOnCard is 59 parameters and two moments, three statistics, the record with its box, key, ranks and slot, what
// sorting takes turns with, and about 5 instances of 68 bytes, in buffers that are a quarter longer. A refinement needs no more: it lays
// out an array in the memory of the instances' gradients, and lists take that of a frame.
const bytesPerGaussianOnCard = (59*4*3 + 12 + 64 + 28 + 24 + 5*68) * 5 / 4

// bytesPerPixelOnCard is the frame's five planes, the gradient by four of them, and the parts of the loss.
const bytesPerPixelOnCard = 4 * (5 + 4 + 9) * 5 / 4

// MostOnCard is the number of Gaussians that a graphics card with so much memory can train.
func MostOnCard(memory int64) int { return int(memory / 4 * 3 / bytesPerGaussianOnCard) }

// roomOnCard is what model and frame leave of a card's memory.
func roomOnCard(memory int64, cfg *Config, d *Dataset) int64 {
	_, frame := d.bytes()
	return max(0, memory-memory/8-int64(cfg.MaxGaussians)*bytesPerGaussianOnCard-bytesPerPixelOnCard*frame)
}

// bytesOnCard is what a picture takes there.
func bytesOnCard(p, prior *Picture) int64 {
	size := int64(3*len(p.Pix[0]) + len(p.solid()))
	if prior != nil {
		size += 4 * int64(len(prior.inverseDepth))
	}
	return size
}

// stayOnCard is the part of the room for images in which those of a level stay. An image that is another at each visit never
// does.
func stayOnCard(room int64, d *Dataset, level int, mode BackgroundMode) int64 {
	var all, largest, recolored int64
	for _, v := range d.Train {
		pic := &v.Levels[level]
		size := bytesOnCard(pic, v.prior(level))
		if mode.recolors(pic) {
			recolored = max(recolored, size)
			continue
		}
		all += size
		largest = max(largest, size)
	}
	if room -= recolored; all <= room {
		return all
	}
	return max(0, room-(ahead+1)*largest)
}

// moments keeps the window moments of the training images of one pyramid level: of the first that are asked for while
// there is room. Keeping those serves more visits than keeping the latest, as every epoch visits every image once.
type moments struct {
	kept  []*[3]simd.Truth // by view; nil: not kept
	room  int64            // bytes, in all
	used  int64
	spare [3]simd.Truth
}

func (m *moments) forget() {
	clear(m.kept)
	m.used = 0
}
