package frames

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// Image is a picture that was written for reconstruction.
type Image struct {
	Name   string  `json:"name"` // file name within the folder
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Source int     `json:"source,omitempty"` // see Capture
	Index  int     `json:"index"`            // of the frame in the video or of the photo in the input, from 0
	TimeS  float64 `json:"time_s,omitempty"` // of the frame in the video
	Camera int     `json:"camera,omitempty"` // images with the same number were taken with the same camera, lens and size; from 1
	GPS    *GPS    `json:"gps,omitempty"`    // where, if the photo says so
	Mask   string  `json:"mask,omitempty"`   // file name in MasksBeside, if there is one

	// FocalLengthPx is the focal length where it is known exactly, 0 elsewhere: of a pinhole camera without distortion
	// whose principal point is the middle.
	FocalLengthPx float64 `json:"focal_length_px,omitempty"`
	View          *View   `json:"view,omitempty"` // of a spherical picture
}

// FrameName is the file name of the frame with an index counted from 0. Names count from 1, as file names of frames
// usually do, sort in order of time, and stay the same whichever other frames are selected.
func FrameName(index int) string { return fmt.Sprintf("frame_%06d.jpg", index+1) }

// extract decodes the video once and writes exactly the selected frames into dir (made if missing) as JPEG of high
// quality, upright, with square pixels, the longer edge at most maxEdge pixels (0: as in the video). progress, if not
// nil, receives the number written. Names begin with the prefix.
//
// Of each frame of a spherical video, its views are written in its place.
//
// Frames are taken by their index in the order of display, so that a variable rate changes nothing. On an error dir
// holds none of them.
func extract(ctx context.Context, tools Tools, v Video, selection choose.Selection, dir, prefix string, maxEdge int, progress func(done, total int)) ([]Image, error) {
	if len(selection.Frames) == 0 {
		return nil, errors.New("extracting frames: none selected")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("extracting frames: %w", err)
	}
	v = v.sizedFor(selection.Frames)
	if v.Spherical {
		return extractViews(ctx, tools, v, selection, dir, prefix, maxEdge, progress)
	}
	part, err := os.MkdirTemp(dir, ".extract-")
	if err != nil {
		return nil, fmt.Errorf("extracting frames: %w", err)
	}
	defer os.RemoveAll(part)

	w, h := fit(v.Width, v.Height, maxEdge)
	total := len(selection.Frames)
	err = v.convert(ctx, tools, w, h, dir, func(conversion string) error {
		args := append([]string{"-v", "error", "-nostdin", "-nostats", "-progress", "pipe:1"}, v.place().input()...)
		args = append(args, "-map", fmt.Sprintf("0:%d", v.stream), "-an", "-sn", "-dn", "-vf", v.picture(selectFilter(selection.Frames)+conversion))
		args = append(args, jpegs(total, filepath.Join(escapePattern(part), "%06d.jpg"))...)
		_, err := tool.Run(ctx, tool.Command{
			Path: tools.FFmpeg, Args: args, Timeout: extractTimeout, MaxMemoryBytes: Limits{}.withDefaults().MaxMemory,
			OnStdout: func(line string) {
				if n, ok := strings.CutPrefix(line, "frame="); ok && progress != nil {
					if done, err := strconv.Atoi(strings.TrimSpace(n)); err == nil {
						progress(min(done, total), total)
					}
				}
			},
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	images := make([]Image, 0, total)
	for i, f := range selection.Frames {
		image := Image{Name: prefix + FrameName(f.Index), Width: w, Height: h, Source: f.Source, Index: f.Index, TimeS: f.TimeS}
		written := filepath.Join(part, fmt.Sprintf("%06d.jpg", i+1))
		if err = os.Rename(written, filepath.Join(dir, image.Name)); err != nil {
			break
		}
		images = append(images, image)
	}
	if err != nil {
		for _, image := range images {
			os.Remove(filepath.Join(dir, image.Name))
		}
		return nil, v.missing(err, len(images), total)
	}
	return images, nil
}

// convert calls run, which has ffmpeg write pictures into dir, with one conversion after the other until ffmpeg takes it. The
// error is about the video where none does.
func (v Video) convert(ctx context.Context, tools Tools, w, h int, dir string, run func(conversion string) error) error {
	var first error
	for _, conversion := range v.conversions(ctx, tools, w, h) {
		err := run(conversion)
		if err == nil {
			return nil
		}
		err = v.ended(ctx, err, "extracting frames", dir)
		if fault.CodeOf(err) != UnsupportedCodec {
			return err
		}
		first = cmp.Or(first, err)
	}
	return first
}

// missing says that fewer frames came out than were chosen.
func (v Video) missing(err error, n, total int) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("extracting frames: %w", err)
	}
	if gone := v.place().unread(); gone != nil {
		return fmt.Errorf("extracting frames: %w", gone)
	}
	return fail(TruncatedVideo, "Convert the video to H.264 in an MP4 file and send that.",
		"Of the %d frames that were chosen, %d could be decoded a second time.", total, n).Because(err)
}

// Try extracts one frame or photo of every kind that a selection holds, by the way that Extract goes, and throws it away: what
// Extract would fail of is found out before anything else is done for a capture. dir must not exist.
func (c *Capture) Try(ctx context.Context, selection choose.Selection, dir string, maxEdge int) error {
	defer os.RemoveAll(MasksBeside(dir))
	defer os.RemoveAll(dir)
	var some choose.Selection
	for i, f := range selection.Frames {
		if i > 0 {
			before := selection.Frames[i-1]
			changed := f.Run != nil && before.Run != nil && (f.Run.Width != before.Run.Width || f.Run.Count < before.Run.Count)
			if f.Source == before.Source && !changed {
				continue
			}
		}
		some.Frames = append(some.Frames, f)
	}
	if len(some.Frames) == 0 {
		return nil
	}
	_, err := c.Extract(ctx, some, dir, maxEdge, nil)
	return err
}

const extractTimeout = 30 * time.Minute

// jpegs are the arguments of an output of n frames, each of which becomes a file. 2 is the best quality that ffmpeg's encoder
// is tuned for: about 95 on the usual scale. It counts time in frames of the average rate by default, and refuses
// two frames of a variable rate in one such count: 1/90000 s separates them.
func jpegs(n int, pattern string) []string {
	return []string{"-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-frames:v", strconv.Itoa(n), "-map_metadata", "-1",
		"-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-huffman", "optimal", "-f", "image2", tool.File(pattern)}
}

// selectFilter passes the frames with the selected indices. Runs of neighbours are written as intervals and the terms
// as a balanced tree: ffmpeg's expression evaluator recurses. Where ffmpeg counts anew on the way, a frame is the one with
// both its count and its time; see Run.
func selectFilter(selected []choose.Frame) string {
	var terms []string
	for i := 0; i < len(selected); {
		j := i
		if r := selected[i].Run; r != nil {
			terms = append(terms, fmt.Sprintf(`eq(n\,%d)*eq(pts\,%d)`, r.Count, r.PTS))
			i++
			continue
		}
		for j+1 < len(selected) && selected[j+1].Index == selected[j].Index+1 {
			j++
		}
		if i == j {
			terms = append(terms, fmt.Sprintf(`eq(n\,%d)`, selected[i].Index))
		} else {
			terms = append(terms, fmt.Sprintf(`between(n\,%d\,%d)`, selected[i].Index, selected[j].Index))
		}
		i = j + 1
	}
	return "select=" + balanced(terms) + ","
}

func balanced(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	half := len(terms) / 2
	return "(" + balanced(terms[:half]) + "+" + balanced(terms[half:]) + ")"
}

func hasFilter(ctx context.Context, tools Tools, name string) bool {
	found := false
	_, err := tool.Run(ctx, tool.Command{
		Path: tools.FFmpeg, Args: []string{"-v", "error", "-hide_banner", "-h", "filter=" + name}, Timeout: time.Minute,
		OnStdout: func(line string) { found = found || strings.HasPrefix(line, "Filter "+name) },
	})
	return err == nil && found
}

// escapePattern keeps a percent sign in a folder's name from being taken for the number of the picture.
func escapePattern(path string) string { return strings.ReplaceAll(path, "%", "%%") }
