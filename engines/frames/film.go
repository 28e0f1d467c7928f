package frames

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/splatworks/splatworks/engines/tool"
)

// WriteFilm draws n pictures of the same size, one after the other, and writes them as an H.264 film that every browser
// and phone plays. An odd last row or column is left out, since 4:2:0 has none.
func WriteFilm(ctx context.Context, tools Tools, target string, n, fps int, draw func(i int) *image.NRGBA) error {
	if n < 1 {
		return fmt.Errorf("writing a film: no pictures")
	}
	first := draw(0)
	size := first.Bounds().Size()
	_, err := tool.Run(ctx, tool.Command{Path: tools.FFmpeg, Stdin: &reel{n: n, draw: draw, rest: first.Pix, next: 1}, Args: []string{
		"-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", fmt.Sprintf("%dx%d", size.X, size.Y), "-r", strconv.Itoa(fps), "-i", "pipe:0",
		"-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		"-movflags", "+faststart", "-f", "mp4", "file:" + tool.File(target),
	}})
	if errors.Is(err, syscall.ENOSPC) {
		return noRoom("writing a film", filepath.Dir(target), err)
	}
	if err != nil {
		return fmt.Errorf("writing a film: %w", err)
	}
	return nil
}

// reel reads as raw pictures, each drawn when it is asked for.
type reel struct {
	n, next int
	draw    func(i int) *image.NRGBA
	rest    []byte
}

func (r *reel) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.next == r.n {
			return 0, io.EOF
		}
		r.rest = r.draw(r.next).Pix
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
