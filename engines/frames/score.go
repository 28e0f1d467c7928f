package frames

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
)

// scoreTimeout bounds the decoding pass; it is generous, since the length of the video is bounded already.
const scoreTimeout = 30 * time.Minute

// Scores is the result of the measuring pass.
type Scores struct {
	Frames []Frame
	// Damaged counts complaints of the decoder: pictures may be missing or garbled.
	Damaged int
}

// Score decodes the video once, as small gray pictures over a pipe, and measures every frame. progress, if not nil, is
// told now and then how many frames are done, of an expected number that need not be exact.
//
// A file that breaks off is measured as far as it goes; it is a *Failure only when less than half of it is there.
func Score(ctx context.Context, tools Tools, v Video, limits Limits, progress func(done, expected int)) (Scores, error) {
	limits = limits.withDefaults()
	w, h := fit(v.Width, v.Height, analysisEdge)
	// The time stamps come from the log of the metadata filter: raw pictures have none, and asking the demuxer
	// would give packets, not pictures.
	filter := v.picture(fmt.Sprintf("scale=%d:%d:flags=area", w, h)) +
		",format=gray,metadata=mode=add:key=t:value=1,metadata=mode=print"
	args := append([]string{"-v", "info", "-nostdin", "-nostats", "-hide_banner"}, input(v.Path)...)
	args = append(args, "-map", fmt.Sprintf("0:%d", v.stream), "-an", "-sn", "-dn", "-vf", filter,
		"-fps_mode", "passthrough", "-frames:v", strconv.Itoa(v.frameLimit(limits)+1), "-f", "rawvideo", "pipe:1")

	var s Scores
	var times []float64
	oversize := false
	stream := func(out io.Reader) error {
		in := bufio.NewReaderSize(out, w*h)
		var camera track
		expected := v.expectedFrames()
		g := gray{w: w, h: h, pix: make([]byte, w*h)}
		for {
			if _, err := io.ReadFull(in, g.pix); err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("reading pictures: %w", err)
			}
			f := Frame{Index: len(s.Frames), Matched: 1}
			f.measure(g)
			camera.step(&f, newPyramid(g))
			s.Frames = append(s.Frames, f)
			if progress != nil && len(s.Frames)%16 == 0 {
				progress(len(s.Frames), max(expected, len(s.Frames)))
			}
		}
	}
	_, err := tool.Stream(ctx, tool.Command{
		Path: tools.FFmpeg, Args: args, Timeout: scoreTimeout, MaxMemoryBytes: limits.MaxMemory,
		OnStderr: func(line string) {
			if t, ok := presentationTime(line); ok {
				times = append(times, t)
				return
			}
			oversize = oversize || tooManyPixels(line)
			if complaint(line) {
				s.Damaged++
			}
		},
	}, stream)
	if oversize && len(s.Frames) == 0 {
		return s, fail(PictureTooLarge, adviceSmaller(limits), "The picture is larger than 8K.").because(err)
	}
	if err != nil {
		var failed *tool.Error
		if ctx.Err() != nil || !errors.As(err, &failed) || failed.Cause != nil || failed.Signal != 0 {
			return s, fmt.Errorf("measuring frames: %w", err)
		}
		if outOfMemory(strings.Join(failed.Tail, "\n")) {
			return s, tooMuchMemory(err)
		}
		if len(s.Frames) == 0 && s.Damaged == 0 {
			return s, fail(UnsupportedCodec, adviceSend, "The video cannot be decoded (%s in %s).", v.Codec, v.Container).because(err)
		}
		s.Damaged++
	}
	if len(s.Frames) > 1 {
		s.Frames[0].Texture = s.Frames[1].Texture
	}
	s.setTimes(times, v.FPS)
	if progress != nil {
		progress(len(s.Frames), len(s.Frames))
	}
	return s, v.complete(s, limits)
}

// complete checks that the decoder delivered what the headers promised.
func (v Video) complete(s Scores, l Limits) error {
	n := len(s.Frames)
	const advice = "Upload the whole file again; if it does not play to its end on your device, record again."
	switch {
	case n > v.frameLimit(l):
		return fail(TooManyFrames, adviceFewer, "The video has more than %d frames.", v.frameLimit(l))
	case n == 0:
		return fail(TruncatedVideo, advice, "No picture could be decoded from the video.")
	case 2*n < v.Frames:
		return fail(TruncatedVideo, advice, "The video breaks off: %d of %d frames are there.", n, v.Frames)
	case n < l.MinFrames:
		return fail(VideoTooShort, "Walk around the subject for 10 to 60 seconds while filming, and send that.",
			"The video has only %s.", count(n, "frame"))
	}
	return nil
}

// setTimes gives the frames their times; where the decoder's log and its pictures disagree, the mean rate does.
func (s *Scores) setTimes(times []float64, fps float64) {
	if fps <= 0 {
		fps = 30
	}
	for i := range s.Frames {
		if len(times) == len(s.Frames) {
			s.Frames[i].TimeS = times[i] - times[0]
		} else {
			s.Frames[i].TimeS = float64(i) / fps
		}
	}
}

// presentationTime reads "[Parsed_metadata_3 @ 0x5581] frame:12   pts:1200   pts_time:1.2".
func presentationTime(line string) (float64, bool) {
	if !strings.HasPrefix(line, "[Parsed_metadata_") {
		return 0, false
	}
	_, after, ok := strings.Cut(line, "pts_time:")
	if !ok || !strings.Contains(line, "] frame:") {
		return 0, false
	}
	t, err := strconv.ParseFloat(strings.TrimSpace(after), 64)
	if err != nil || math.IsNaN(t) || math.Abs(t) > 1e9 {
		return 0, false
	}
	return t, true
}

// complaint recognises a line in which a decoder or demuxer says that data is broken.
func complaint(line string) bool {
	if !strings.HasPrefix(line, "[") && !strings.HasPrefix(line, "Error") {
		return false
	}
	for _, sign := range []string{"Error", "error", "Invalid", "missing", "corrupt", "concealing", "partial file", "truncat"} {
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
