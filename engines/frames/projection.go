package frames

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
)

// Projection is what the owner of a capture says about pictures that are twice as wide as high.
type Projection string

const (
	ProjectionAuto   Projection = "auto"   // "" too: the metadata decide, then the pictures of a video; see looksSpherical
	ProjectionFlat   Projection = "flat"   // they show what an ordinary lens sees
	ProjectionSphere Projection = "sphere" // they are equirectangular and show all directions
)

// Project takes the owner's word for what the pictures show; it comes before Choose. The error is a *fault.Failure when it cannot be.
func (c *Capture) Project(p Projection) error {
	if p != ProjectionFlat && p != ProjectionSphere {
		return nil
	}
	some := false
	say := func(spherical *bool, w, h int) {
		*spherical = p == ProjectionSphere && w == 2*h
		some = some || *spherical
	}
	for i := range c.videos {
		say(&c.videos[i].Spherical, c.videos[i].Width, c.videos[i].Height)
	}
	for i := range c.photos.Photos {
		photo := &c.photos.Photos[i]
		say(&photo.Spherical, photo.Width, photo.Height)
	}
	if p == ProjectionSphere && !some {
		return fail(NotSpherical, "Export it as an equirectangular video or photos (2:1), or leave the projection to be found out.",
			"Nothing in the capture is twice as wide as high, as 360 degree pictures are.")
	}
	return nil
}

const (
	seamFrames = 4   // that are looked at, at the most
	seamEvery  = 12  // frames
	seamWidth  = 480 // pixels of the pictures that are looked at
)

// looksSpherical says whether the pictures of a video without metadata are equirectangular: every one of several frames has to
// look like that. See wraps.
func looksSpherical(ctx context.Context, tools Tools, v Video, limits Limits) (bool, error) {
	args := append([]string{"-v", "error", "-nostdin", "-nostats", "-hide_banner"}, v.place().input()...)
	args = append(args, "-map", fmt.Sprintf("0:%d", v.stream), "-an", "-sn", "-dn", "-vf",
		v.picture(fmt.Sprintf(`select=not(mod(n\,%d)),scale=%d:%d:flags=area,format=gray`, seamEvery, seamWidth, seamWidth/2)),
		"-fps_mode", "passthrough", "-frames:v", fmt.Sprint(seamFrames), "-f", "rawvideo", "pipe:1")
	yes, no := 0, 0
	_, err := tool.Stream(ctx, tool.Command{Path: tools.FFmpeg, Args: args, Timeout: time.Minute, MaxMemoryBytes: limits.MaxMemory},
		func(out io.Reader) error {
			g := gray{w: seamWidth, h: seamWidth / 2, pix: make([]byte, seamWidth*seamWidth/2)}
			for {
				if _, err := io.ReadFull(out, g.pix); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if wraps(g) {
					yes++
				} else {
					no++
				}
			}
		})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil && v.place().slow() {
		return false, fmt.Errorf("looking for a sphere: %w", err) // another attempt must not come to another answer
	}
	// The measuring pass finds and reports what cannot be decoded.
	return err == nil && yes > 0 && no == 0, nil
}

const (
	seamBands    = 8   // of the height
	seamTextured = 3   // bands at least must show something at the seam
	seamTexture  = 2.0 // gray levels of standard deviation that a band needs for that, what is smooth taken out
	seamMatch    = 0.7 // correlation over the seam
	seamSmooth   = 8   // rows on each side that a running mean takes out
)

// wraps says whether a picture is equirectangular by what plain edges cannot show: the columns at its left and right edges
// carry texture, in several places along the height, and carry the same; and its first and last rows, each a single point of
// the sphere, are even.
func wraps(g gray) bool {
	left, right := detail(g, 0), detail(g, g.w-1)
	textured, alike := 0, 0
	for band := range seamBands {
		a, b := left[band*g.h/seamBands:(band+1)*g.h/seamBands], right[band*g.h/seamBands:(band+1)*g.h/seamBands]
		var aa, bb, ab float64
		for i := range a {
			aa, bb, ab = aa+a[i]*a[i], bb+b[i]*b[i], ab+a[i]*b[i]
		}
		if least := seamTexture * seamTexture * float64(len(a)); !(max(aa, bb) > least) {
			continue
		}
		textured++
		if ab > seamMatch*math.Sqrt(aa*bb) {
			alike++
		}
	}
	all := deviation(g.pix)
	// One band may hold what moved over the seam, or where two lenses were joined badly.
	return textured >= seamTextured && alike >= seamTextured && alike >= textured-1 &&
		deviation(g.pix[:g.w]) < 0.25*all && deviation(g.pix[len(g.pix)-g.w:]) < 0.25*all
}

// detail is a column without what is smooth in it.
func detail(g gray, x int) []float64 {
	out := make([]float64, g.h)
	for y := range out {
		sum, n := 0.0, 0.0
		for v := max(0, y-seamSmooth); v <= min(g.h-1, y+seamSmooth); v++ {
			sum, n = sum+float64(g.pix[v*g.w+x]), n+1
		}
		out[y] = float64(g.pix[y*g.w+x]) - sum/n
	}
	return out
}

// deviation is the standard deviation of gray levels.
func deviation(pix []byte) float64 {
	var sum, square float64
	for _, p := range pix {
		sum += float64(p)
		square += float64(p) * float64(p)
	}
	n := float64(len(pix))
	return math.Sqrt(max(0, square/n-sum*sum/n/n))
}
