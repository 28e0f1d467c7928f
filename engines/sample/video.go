package sample

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/splatworks/splatworks/engines/tool"
)

// Files of a written capture, inside its folder.
const (
	VideoFile      = "sample.mp4"
	TransformsFile = "transforms.json" // the true cameras, NeRF convention
	SparseFolder   = "sparse"          // the true cameras and true points, COLMAP binary
)

// Write draws a capture into dir (made if missing): the video by the ffmpeg program given, and the truth.
// progress, if not nil, gets the number of frames done after each.
func Write(ctx context.Context, ffmpeg string, o Options, dir string, progress func(done, total int)) error {
	c, err := New(o)
	if err != nil {
		return err
	}
	_, before := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making the sample's folder: %w", err)
	}
	video := filepath.Join(dir, VideoFile)
	if err := c.writeVideo(ctx, ffmpeg, video, progress); err != nil {
		os.Remove(video) // a part of it
		if errors.Is(before, fs.ErrNotExist) {
			os.Remove(dir)
		}
		return fmt.Errorf("writing the sample video: %w", err)
	}
	if err := c.writeTransforms(filepath.Join(dir, TransformsFile)); err != nil {
		return fmt.Errorf("writing the true cameras: %w", err)
	}
	if err := c.Reconstruction().Write(filepath.Join(dir, SparseFolder)); err != nil {
		return fmt.Errorf("writing the true model: %w", err)
	}
	return nil
}

func (c *Capture) writeVideo(ctx context.Context, ffmpeg, path string, progress func(done, total int)) error {
	o := c.options
	w, h := o.Width, o.Height
	if c.with[Rotated] {
		w, h = h, w
	}
	pixels, codec := "yuv420p", []string{"-c:v", "libx264", "-preset", "medium", "-crf", "13", "-threads", "1"}
	if c.with[TenBit] {
		pixels, codec = "yuv420p10le", []string{"-c:v", "libx265", "-preset", "fast", "-tag:v", "hvc1", "-x265-params", "crf=13:pools=1:frame-threads=1:log-level=error"}
	}
	filter := "scale=out_color_matrix=bt709:out_range=tv,format=" + pixels
	if c.with[VariableRate] {
		// Gaps of 0.55 to 1.45 of the regular one: the derivative of N + 0.45 sin N.
		filter = fmt.Sprintf("settb=1/90000,setpts=(N+0.45*sin(N))*90000/%d,", o.FPS) + filter
	}
	args := []string{"-v", "error", "-y",
		"-f", "rawvideo", "-pix_fmt", "rgb24", "-s", fmt.Sprintf("%dx%d", w, h), "-r", strconv.Itoa(o.FPS), "-i", "pipe:0",
		"-vf", filter, "-fps_mode", "passthrough", "-enc_time_base", "1:90000",
		"-g", "30", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
		"-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart",
		"-f", "mp4"}
	// One thread and bitexact: the same file from the same ffmpeg on any number of cores.
	args = append(append(args, codec...), "file:"+tool.File(path))
	_, err := tool.Run(ctx, tool.Command{Path: ffmpeg, Args: args, Stdin: &film{capture: c, progress: progress}})
	if err != nil {
		return err
	}
	switch {
	case c.with[Rotated]:
		return setRotation(path, w, h)
	case c.with[Spherical]:
		return setSpherical(path)
	}
	return nil
}

// film reads as the raw pictures of a capture one after the other, each drawn when it is asked for.
type film struct {
	capture  *Capture
	progress func(done, total int)
	next     int
	rest     []byte
}

func (f *film) Read(p []byte) (int, error) {
	o := f.capture.options
	if len(f.rest) == 0 {
		if f.progress != nil && f.next > 0 {
			f.progress(f.next, o.Frames)
		}
		if f.next == o.Frames {
			return 0, io.EOF
		}
		f.rest = f.capture.Frame(f.next)
		if f.capture.with[Rotated] {
			f.rest = turnLeft(f.rest, o.Width, o.Height)
		}
		f.next++
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// turnLeft turns a picture of w by h pixels a quarter counter-clockwise.
func turnLeft(p []byte, w, h int) []byte {
	out := make([]byte, len(p))
	for y := range h {
		for x := range w {
			copy(out[((w-1-x)*h+y)*3:][:3], p[(y*w+x)*3:][:3])
		}
	}
	return out
}

// setSpherical adds the box that says that the pictures are equirectangular to the track of an MP4 whose index stands
// in front (Spherical Video RFC, version 1).
func setSpherical(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	said := []byte(`<rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">` +
		`<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>` +
		`<GSpherical:StitchingSoftware>sample</GSpherical:StitchingSoftware>` +
		`<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>`)
	box := binary.BigEndian.AppendUint32(nil, uint32(24+len(said)))
	box = append(box, "uuid\xff\xcc\x82\x63\xf8\x55\x4a\x93\x88\x14\x58\x7a\x02\x52\x1f\xdd"...)
	box = append(box, said...)
	grown := uint32(len(box))
	add := func(at int) { binary.BigEndian.PutUint32(data[at:], binary.BigEndian.Uint32(data[at:])+grown) }
	moov, trak, chunks := bytes.Index(data, []byte("moov")), bytes.Index(data, []byte("trak")), bytes.Index(data, []byte("stco"))
	if moov < 4 || trak < moov || chunks < trak || chunks+12 > len(data) {
		return fmt.Errorf("%s: no track", path)
	}
	end := trak - 4 + int(binary.BigEndian.Uint32(data[trak-4:]))
	add(moov - 4)
	add(trak - 4)
	// The samples move back by as much (ISO/IEC 14496-12, 8.7.5).
	for i := range int(binary.BigEndian.Uint32(data[chunks+8:])) {
		add(chunks + 12 + 4*i)
	}
	return os.WriteFile(path, slices.Insert(data, end, box...), 0o666)
}

// setRotation writes "turn a quarter clockwise to show" into the track header of an MP4 of w by h stored pixels.
// ffmpeg's own option for it changed name between versions; the box did not (ISO/IEC 14496-12, 8.3.2).
func setRotation(path string, w, h int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := bytes.Index(data, []byte("tkhd"))
	if at < 0 || at+4+84 > len(data) || data[at+4] != 0 {
		return fmt.Errorf("%s: no version 0 track header", path)
	}
	matrix := data[at+4+40:]
	// Rows (a b u)(c d v)(x y w): 16.16 fixed point, the third column 2.30. The picture turns about its
	// corner, so it is moved back by its stored height.
	for i, v := range [9]uint32{0, 1 << 16, 0, 0xffff0000, 0, 0, uint32(h) << 16, 0, 1 << 30} {
		binary.BigEndian.PutUint32(matrix[4*i:], v)
	}
	return os.WriteFile(path, data, 0o666)
}
