package choose

import "math"

// Frame is what one picture of a capture was measured to be. All measures are taken from a gray picture whose longer
// edge has at most Edge pixels.
type Frame struct {
	Source int     `json:"source,omitempty"` // of the capture; see frames.Capture
	Index  int     `json:"index"`            // position in the order of decoding for display, or of the photo, from 0
	TimeS  float64 `json:"time_s"`           // presentation time in seconds

	// Sharpness is 1 minus the blur effect of Crete et al. (SPIE 6492, 2007): how much of the picture's variation from
	// pixel to pixel a low-pass of 9 pixels would take away. It is 0 for what is already smooth, and does not depend
	// on brightness or contrast; ordinary sharp video lies between 0.35 and 0.7.
	Sharpness  float64 `json:"sharpness"`
	Brightness float64 `json:"brightness"` // mean, 0 black to 1 white
	Contrast   float64 `json:"contrast"`   // standard deviation, same unit
	Dark       float64 `json:"dark"`       // share of pixels that are nearly black
	Bright     float64 `json:"bright"`     // share of pixels that are nearly white

	// The rest compares with the frame before; the first frame has the second's Texture, Matched 1 and else 0.
	Texture    float64 `json:"texture"`    // share of blocks with enough contrast to be found again
	Difference float64 `json:"difference"` // mean absolute difference of small pictures, their mean brightness taken out
	Motion     float64 `json:"motion"`     // median displacement of blocks, as a share of the longer edge; see motionReach
	most       float64 // displacement that nearlyAll blocks stay below
	Matched    float64 `json:"matched"`   // share of textured blocks that were found again in the frame before
	Duplicate  bool    `json:"duplicate"` // shows nothing that the frame before did not
	Travel     float64 `json:"travel"`    // way of the camera since the first frame, in longer picture edges; see Track

	// Parallax is the share of the motion that a camera turning on the spot would not cause; see parallax. It is measured
	// now and then, and else 0.
	Parallax float64 `json:"parallax,omitempty"`

	Run *Run `json:"run,omitempty"` // of a video whose pictures change their size or format on the way
}

// Run is how ffmpeg knows a frame of a video whose pictures change their size or pixel format on the way, as those of browsers
// and of joined recordings do: it builds its filters anew then, and they count frames from 0 again.
type Run struct {
	Count  int   `json:"count"`           // since the last change, from 0
	PTS    int64 `json:"pts"`             // presentation time in the unit of the stream
	Width  int   `json:"width"`           // of the frame, as shown: after rotation, with square pixels
	Height int   `json:"height"`          //
	Other  bool  `json:"other,omitempty"` // it has another shape than most frames, or no time: it cannot be used
}

// Edge is the longer edge of the pictures that are measured. Blur that matters to feature detection at the
// usual 640 to 1600 pixels is still visible, and scaling and measuring cost a tenth of decoding 1080p.
const Edge = 480

// Gray is an 8-bit picture, rows from the top without gaps.
type Gray struct {
	W, H int
	Pix  []byte
}

// measure fills in everything of a frame that one picture shows.
func (f *Frame) measure(g Gray) {
	var sum, square uint64
	dark, bright := 0, 0
	for _, p := range g.Pix {
		sum += uint64(p)
		square += uint64(p) * uint64(p)
		if p < 12 {
			dark++
		}
		if p > 250 {
			bright++
		}
	}
	n := float64(len(g.Pix))
	mean := float64(sum) / n
	f.Brightness = mean / 255
	f.Contrast = math.Sqrt(max(0, float64(square)/n-mean*mean)) / 255
	f.Dark, f.Bright = float64(dark)/n, float64(bright)/n
	f.Sharpness = sharpness(g)
}

// sharpness is 1 minus the blur effect, the worse of the two directions, so that a smear along one shows.
//
// With F the picture and B its 9-pixel running mean along a direction, Crete's measure is
// 1 - Σ max(0, |ΔF| - |ΔB|) / Σ |ΔF|; and ΔB is the difference of the two pixels 9 apart, divided by 9: no
// second picture has to be made.
func sharpness(g Gray) float64 {
	if g.W < 10 || g.H < 10 {
		return 0
	}
	across := varied(g.Pix, g.W, g.H, 1, g.W)
	down := varied(g.Pix, g.H, g.W, g.W, 1)
	return min(across, down)
}

// varied is the share of the variation between neighbours, step apart, that a mean over 9 pixels takes away, over
// lines of n pixels that start stride apart.
func varied(pix []byte, n, lines, step, stride int) float64 {
	// Nine times |ΔF| against |F(i+4) - F(i-5)|, all in integers.
	var total, lost int64
	if step == 1 {
		for line := range lines {
			row := pix[line*stride : line*stride+n]
			for i := 5; i < n-4; i++ {
				fine := 9 * absolute(int(row[i])-int(row[i-1]))
				coarse := absolute(int(row[i+4]) - int(row[i-5]))
				total += int64(fine)
				lost += int64(max(0, fine-coarse))
			}
		}
	} else {
		// The same along columns, walking the memory in order.
		for i := 5; i < n-4; i++ {
			here, above := pix[i*step:][:lines], pix[(i-1)*step:][:lines]
			far, near := pix[(i+4)*step:][:lines], pix[(i-5)*step:][:lines]
			for line := range lines {
				fine := 9 * absolute(int(here[line])-int(above[line]))
				coarse := absolute(int(far[line]) - int(near[line]))
				total += int64(fine)
				lost += int64(max(0, fine-coarse))
			}
		}
	}
	// Less than a gray level in twenty pixels is a lens cap, not a picture.
	if float64(total) < 9*0.05*float64(n*lines) {
		return 0
	}
	return float64(lost) / float64(total)
}

func absolute(x int) int { return max(x, -x) }

// halve shrinks a picture to half its size by averaging 2x2 pixels.
func halve(g Gray) Gray {
	out := Gray{W: g.W / 2, H: g.H / 2}
	out.Pix = make([]byte, out.W*out.H)
	for y := range out.H {
		a, b := g.Pix[2*y*g.W:][:2*out.W], g.Pix[(2*y+1)*g.W:][:2*out.W]
		row := out.Pix[y*out.W:][:out.W]
		for x := range row {
			row[x] = byte((int(a[2*x]) + int(a[2*x+1]) + int(b[2*x]) + int(b[2*x+1]) + 2) / 4)
		}
	}
	return out
}
