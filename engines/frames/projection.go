package frames

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/splatworks/splatworks/engines/choose"
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
// look like that. See choose.Gray.
func looksSpherical(ctx context.Context, tools Tools, v Video, limits Limits) (bool, error) {
	args := append([]string{"-v", "error", "-nostdin", "-nostats", "-hide_banner"}, v.place().input()...)
	args = append(args, "-map", fmt.Sprintf("0:%d", v.stream), "-an", "-sn", "-dn", "-vf",
		v.picture(fmt.Sprintf(`select=not(mod(n\,%d)),scale=%d:%d:flags=area,format=gray`, seamEvery, seamWidth, seamWidth/2)),
		"-fps_mode", "passthrough", "-frames:v", fmt.Sprint(seamFrames), "-f", "rawvideo", "pipe:1")
	yes, no := 0, 0
	_, err := tool.Stream(ctx, tool.Command{Path: tools.FFmpeg, Args: args, Timeout: time.Minute, MaxMemoryBytes: limits.MaxMemory},
		func(out io.Reader) error {
			g := choose.Gray{W: seamWidth, H: seamWidth / 2, Pix: make([]byte, seamWidth*seamWidth/2)}
			for {
				if _, err := io.ReadFull(out, g.Pix); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if g.Wraps() {
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
