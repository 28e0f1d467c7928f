package frames

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// scoreTimeout bounds the decoding pass; it is generous, since the length of the video is bounded already.
const scoreTimeout = 30 * time.Minute

// Scores is the result of the measuring pass.
type Scores struct {
	Frames []choose.Frame
	// Damaged counts complaints of the decoder and the demuxer: pictures may be missing or garbled.
	Damaged int
	// DurationS is how long the frames are shown.
	DurationS float64
	// Changes counts how often the size or the pixel format of the picture changes, Misshapen the frames whose shape is not
	// that of most.
	Changes, Misshapen int
	// Transparent counts photos of which next to nothing is opaque.
	Transparent int
	// Still says that the camera stays in one place; see choose.Track.
	Still bool
}

// Score decodes the video once, as small gray pictures over a pipe, and measures every frame. progress, if not nil, is
// called now and then with the number of frames done, of an expected number that need not be exact.
//
// A file that breaks off is measured as far as it goes; it is a *fault.Failure only when less than half of it is there.
func Score(ctx context.Context, tools Tools, v Video, limits Limits, progress func(done, expected int)) (Scores, error) {
	limits = limits.withDefaults()
	w, h := fit(v.Width, v.Height, choose.Edge)
	// Times and sizes come from the log of a filter: raw pictures have none, and asking the demuxer would give packets, not
	// pictures.
	filter := v.picture(fmt.Sprintf("showinfo=checksum=0,scale=%d:%d:flags=area,format=gray", w, h))
	args := append([]string{"-v", "info", "-nostdin", "-nostats", "-hide_banner"}, v.place().input()...)
	args = append(args, "-map", fmt.Sprintf("0:%d", v.stream), "-an", "-sn", "-dn", "-vf", filter,
		"-fps_mode", "passthrough", "-frames:v", strconv.Itoa(v.frameLimit(limits)+1), "-f", "rawvideo", "pipe:1")

	var s Scores
	var pictures []shown
	var latest atomic.Uint64 // bits of the time of the last picture
	oversize := false
	var camera choose.Track
	stream := func(out io.Reader) error {
		in := bufio.NewReaderSize(out, w*h)
		g := choose.Gray{W: w, H: h, Pix: make([]byte, w*h)}
		for {
			if _, err := io.ReadFull(in, g.Pix); err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("reading pictures: %w", err)
			}
			s.Frames = append(s.Frames, camera.Next(g))
			if progress != nil && len(s.Frames)%16 == 0 {
				progress(len(s.Frames), v.expectedOf(len(s.Frames), math.Float64frombits(latest.Load())))
			}
		}
	}
	_, err := tool.Stream(ctx, tool.Command{
		Path: tools.FFmpeg, Args: args, Timeout: scoreTimeout, MaxMemoryBytes: limits.MaxMemory,
		OnStderr: func(line string) {
			if p, ok := parseShown(line); ok {
				pictures = append(pictures, p)
				latest.Store(math.Float64bits(p.time - pictures[0].time))
				return
			}
			oversize = oversize || tooManyPixels(line)
			if complaint(line) {
				s.Damaged++
			}
		},
	}, stream)
	if oversize && len(s.Frames) == 0 {
		return s, fail(PictureTooLarge, adviceSmaller(limits), "The picture is larger than 8K.").Because(err)
	}
	if err != nil {
		err = v.ended(ctx, err, "measuring frames", "")
		if code := fault.CodeOf(err); code != UnsupportedCodec || len(s.Frames) == 0 && s.Damaged == 0 {
			return s, err
		}
		s.Damaged++
	}
	if s.Damaged > 0 {
		if gone := v.place().unread(); gone != nil {
			return s, fmt.Errorf("measuring frames: %w", gone)
		}
	}
	if len(s.Frames) > 1 {
		s.Frames[0].Texture = s.Frames[1].Texture
	}
	s.place(pictures, v)
	s.Still = camera.Still()
	if progress != nil {
		progress(len(s.Frames), len(s.Frames))
	}
	return s, v.complete(s, limits)
}

// expectedOf estimates the number of all frames from the time of the last of n: what headers say of it may count frames that
// are not shown.
func (v Video) expectedOf(n int, time float64) int {
	expected := v.expectedFrames()
	if time > 1 && v.DurationS > time {
		expected = int(float64(n) * v.DurationS / time)
	}
	return max(expected, n)
}

// complete checks what the decoder delivered.
func (v Video) complete(s Scores, l Limits) error {
	n := len(s.Frames)
	const advice = "Upload the whole file again; if it does not play to its end on your device, record again."
	const adviceShort = "Walk around the subject for 10 to 60 seconds while filming, and send that."
	switch {
	case n > v.frameLimit(l):
		return fail(TooManyFrames, adviceFewer, "The video has more than %d frames.", v.frameLimit(l))
	case n == 0:
		return fail(TruncatedVideo, advice, "No picture could be decoded from the video.")
	case s.Damaged > 0 && 2*s.DurationS < v.DurationS:
		return fail(TruncatedVideo, advice, "The video breaks off: %.1f of %.1f seconds are there.", s.DurationS, v.DurationS)
	case n < l.MinFrames:
		return fail(VideoTooShort, adviceShort, "The video has only %s.", count(n, "frame"))
	case !(s.DurationS >= l.MinDuration.Seconds()-1e-6):
		return fail(VideoTooShort, adviceShort, "The video is only %.2g s long.", s.DurationS)
	case !(s.DurationS <= l.MaxDuration.Seconds()+1):
		return tooLong(l)
	}
	return nil
}

// complaint recognises a line in which a decoder or demuxer says that data is broken.
func complaint(line string) bool {
	if !strings.HasPrefix(line, "[") && !strings.HasPrefix(line, "Error") {
		return false
	}
	for _, sign := range []string{"Error", "error", "Invalid", "missing", "corrupt", "concealing", "partial file", "truncat", "ended prematurely"} {
		if strings.Contains(line, sign) {
			return true
		}
	}
	return false
}

// picture is the filter chain that gives upright, square, progressive pictures, with the scaling given.
func (v Video) picture(scale string) string {
	if v.Interlaced {
		return "yadif," + scale
	}
	return scale
}

// fit is the size with the longer edge at most edge, the other in proportion; never larger than the original.
func fit(w, h, edge int) (int, int) {
	long := max(w, h)
	if edge <= 0 || long <= edge {
		return w, h
	}
	k := float64(edge) / float64(long)
	return max(1, int(math.Round(float64(w)*k))), max(1, int(math.Round(float64(h)*k)))
}
