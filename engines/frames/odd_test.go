//go:build linux

package frames

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// Files that phones, browsers and editors write and that are sound, however odd.

// written runs ffmpeg and is the path of what it wrote into a new folder.
func written(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args = append([]string{"-v", "error", "-nostdin"}, args...)
	if out, err := exec.Command(ffmpegTools(t).FFmpeg, append(args, path)...).CombinedOutput(); err != nil {
		t.Skipf("this ffmpeg cannot write %s: %v: %s", name, err, out)
	}
	return path
}

// reference are the pictures of a video, one after the other, as one ffmpeg process that builds its filters anew decodes them.
func reference(t testing.TB, w, h int, paths ...string) []image.Image {
	t.Helper()
	var pictures []image.Image
	for i, path := range paths {
		dir := t.TempDir()
		if out, err := exec.Command(ffmpegTools(t).FFmpeg, "-v", "error", "-i", path, "-fps_mode", "passthrough", "-vf", fmt.Sprintf("scale=%d:%d", w, h), filepath.Join(dir, "%03d.png")).CombinedOutput(); err != nil {
			t.Fatalf("%d: %v: %s", i, err, out)
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			picture, err := decodePicture(t.Context(), filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, picture)
		}
	}
	return pictures
}

// unlike is the mean difference of the green of two pictures of the same size, in gray levels.
func unlike(a, b image.Image) float64 {
	size, sum := a.Bounds().Size(), 0.0
	if b.Bounds().Size() != size {
		return math.Inf(1)
	}
	for y := range size.Y {
		for x := range size.X {
			_, p, _, _ := a.At(x, y).RGBA()
			_, q, _, _ := b.At(x, y).RGBA()
			sum += math.Abs(float64(p>>8) - float64(q>>8))
		}
	}
	return sum / float64(size.X*size.Y)
}

// A cut without encoding keeps frames that only help to decode others, behind an edit list: they are not part of the video, and
// nothing is missing where they are not shown.
func TestLosslessCut(t *testing.T) {
	long := written(t, "long.mp4", "-i", clip(t), "-vf", "loop=2:24:0,setpts=N/10/TB", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "1000", "-sc_threshold", "0")
	cut := written(t, "cut.mp4", "-ss", "5.2", "-i", long, "-c", "copy")
	v, s, selection, r, err := chosen(t, cut)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Frames) != 20 || s.Damaged != 0 || v.Frames != 20 || !(math.Abs(r.DurationS-2) < 0.01) || !(math.Abs(v.DurationS-2) < 0.05) {
		t.Errorf("%d frames, %d said, %d complaints, %.2f s", len(s.Frames), v.Frames, s.Damaged, r.DurationS)
	}
	if strings.Contains(warned(r), "damaged_video") || len(selection.Frames) < 12 {
		t.Errorf("warnings %q, %d frames selected", warned(r), len(selection.Frames))
	}
	var got [2]int
	if _, err := Score(t.Context(), ffmpegTools(t), v, Limits{}, func(done, expected int) { got = [2]int{done, expected} }); err != nil || got != [2]int{20, 20} {
		t.Errorf("progress ended at %v, %v", got, err)
	}
	// What is shown is too little, by the rule for every video; whatever the container counts.
	short := written(t, "short.mp4", "-ss", "6.7", "-i", long, "-c", "copy")
	if _, _, _, _, err := chosen(t, short); code(err) != VideoTooShort {
		t.Errorf("five frames shown: %v", err)
	}
}

// Headers that promise more than is accepted are not believed, and are where the packets bear them out.
func TestPresentedLength(t *testing.T) {
	tools := ffmpegTools(t)
	long := written(t, "long.mp4", "-i", clip(t), "-vf", "loop=9:24:0,setpts=N/10/TB", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "1000", "-sc_threshold", "0")
	cut := written(t, "cut.mkv", "-i", clip(t), "-c", "copy")
	limits := Limits{MaxDuration: 5e9}
	if _, err := Probe(t.Context(), tools, long, limits); code(err) != VideoTooLong {
		t.Errorf("24 of 5 seconds: %v", err)
	}
	if _, err := Probe(t.Context(), tools, long, Limits{MaxFrames: 100}); code(err) != TooManyFrames {
		t.Errorf("240 of 100 frames: %v", err)
	}
	v, err := Probe(t.Context(), tools, cut, limits)
	if err != nil {
		t.Fatal(err)
	}
	v.DurationS, v.Frames = 3600, 100_000
	if err := (headers{tools: tools, from: place{path: cut}}).measure(t.Context(), &v, limits.withDefaults()); err != nil || v.Frames != 24 || !(math.Abs(v.DurationS-2.4) < 0.01) {
		t.Errorf("measured %d frames, %.2f s, %v", v.Frames, v.DurationS, err)
	}
}

// The picture may change its size or its pixel format on the way. Exactly the chosen frames come out, all of one size; those of
// another shape than most are left out.
func TestPictureChanges(t *testing.T) {
	tools := ffmpegTools(t)
	encode := func(name, filter string, more ...string) string {
		return written(t, name, append([]string{"-i", clip(t), "-vf", filter, "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-bf", "0"}, append(more, "-f", "mpegts")...)...)
	}
	first := encode("first.ts", "trim=end_frame=8", "-pix_fmt", "yuv420p")
	rest := "trim=start_frame=8,setpts=PTS-STARTPTS"
	small := encode("small.ts", rest+",scale=240:136", "-pix_fmt", "yuv420p")
	turned := encode("turned.ts", rest+",transpose=1", "-pix_fmt", "yuv420p")
	halved := encode("halved.ts", rest, "-pix_fmt", "yuv422p")
	for _, test := range []struct {
		name, second  string
		width, height int
		first, frames int
		warning       bool
	}{
		{"smaller", small, 320, 180, 0, 24, false},
		{"another format", halved, 320, 180, 0, 24, false},
		{"turned", turned, 180, 320, 8, 16, true},
	} {
		var joined []byte
		for _, part := range []string{first, test.second} {
			data, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			joined = append(joined, data...)
		}
		path := filepath.Join(t.TempDir(), "joined.ts")
		put(t, path, joined)
		v, s, selection, r, err := chosen(t, path)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if len(s.Frames) != 24 || s.Changes != 1 || s.Misshapen != 24-test.frames || strings.Contains(warned(r), "picture_changes") != test.warning {
			t.Errorf("%s: %d frames, %d changes, %d of another shape, warnings %q", test.name, len(s.Frames), s.Changes, s.Misshapen, warned(r))
		}
		if len(selection.Frames) == 0 || selection.Frames[0].Index < test.first {
			t.Errorf("%s: %d frames selected", test.name, len(selection.Frames))
			continue
		}
		var some choose.Selection
		for _, i := range []int{2, 3, 9, 10, 15, 22} {
			if i >= test.first {
				some.Frames = append(some.Frames, s.Frames[i])
			}
		}
		dir := t.TempDir()
		images, err := extract(t.Context(), tools, v, some, dir, "", 0, nil)
		if err != nil || len(images) != len(some.Frames) {
			t.Errorf("%s: %d images, %v", test.name, len(images), err)
			continue
		}
		want := reference(t, test.width, test.height, first, test.second)
		for _, m := range images {
			got, err := decodePicture(t.Context(), filepath.Join(dir, m.Name))
			if err != nil {
				t.Fatal(err)
			}
			if m.Width != test.width || m.Height != test.height {
				t.Errorf("%s: %+v", test.name, m)
			}
			here, other := unlike(got, want[m.Index]), unlike(got, want[(m.Index+8)%24])
			if !(here < 4) || !(here < 0.4*other) {
				t.Errorf("%s, %s: differs by %.1f from its frame, by %.1f from another", test.name, m.Name, here, other)
			}
		}
	}
}

// Sound, subtitles and other tracks that nobody uses do not decide, whatever they are encoded with; the picture's codec does,
// and is named.
func TestUnusedStreams(t *testing.T) {
	sine := []string{"-i", clip(t), "-f", "lavfi", "-i", "sine=d=2.4", "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a"}
	for _, test := range []struct{ name, codec string }{{"a.mov", "pcm_f32be"}, {"b.mov", "pcm_f64le"}, {"c.mkv", "wavpack"}, {"d.mkv", "tta"}, {"e.avi", "adpcm_yamaha"}} {
		t.Run(test.codec, func(t *testing.T) {
			path := written(t, test.name, append(sine, test.codec)...)
			if _, s, _, _, err := chosen(t, path); err != nil || len(s.Frames) != 24 {
				t.Errorf("%d frames, %v", len(s.Frames), err)
			}
		})
	}
	t.Run("broken sound", func(t *testing.T) {
		data, err := os.ReadFile(written(t, "broken.mkv", append(sine, "flac")...))
		if err != nil {
			t.Fatal(err)
		}
		at := strings.Index(string(data), "fLaC")
		if at < 0 {
			t.Fatal("no FLAC header")
		}
		copy(data[at:], "xxxxxxxxxxxxxxxxxxxxxxxx")
		path := filepath.Join(t.TempDir(), "broken.mkv")
		put(t, path, data)
		if _, s, _, _, err := chosen(t, path); err != nil || len(s.Frames) != 24 {
			t.Errorf("%d frames, %v", len(s.Frames), err)
		}
	})
	t.Run("another picture", func(t *testing.T) {
		path := written(t, "two.mov", "-i", clip(t), "-map", "0:v", "-map", "0:v", "-c:v:0", "cfhd", "-pix_fmt:v:0", "yuv422p10le", "-c:v:1", "copy")
		if v, s, _, _, err := chosen(t, path); err != nil || v.Codec != "h264" || len(s.Frames) != 24 {
			t.Errorf("%s: %d frames, %v", v.Codec, len(s.Frames), err)
		}
	})
	t.Run("refused picture", func(t *testing.T) {
		path := written(t, "cineform.mov", "-i", clip(t), "-c:v", "cfhd", "-pix_fmt", "yuv422p10le")
		if _, _, _, _, err := chosen(t, path); code(err) != UnsupportedCodec || !strings.Contains(err.Error(), "CineForm") {
			t.Errorf("%v", err)
		}
	})
}

// Of several tracks the film is used, not a picture that is one too, whatever the flags say.
func TestSeveralTracks(t *testing.T) {
	still := written(t, "still.jpg", "-i", clip(t), "-frames:v", "1", "-vf", "scale=640:360", "-pix_fmt", "yuvj420p")
	poster := written(t, "poster.mov", "-i", still, "-i", clip(t), "-map", "0:v", "-map", "1:v", "-c:v:0", "mjpeg", "-c:v:1", "copy", "-disposition:v:0", "default", "-disposition:v:1", "0")
	proxy := written(t, "proxy.mkv", "-i", clip(t), "-map", "0:v", "-map", "0:v", "-filter:v:0", "scale=160:90", "-c:v:0", "mjpeg", "-c:v:1", "copy", "-disposition:v:0", "default", "-disposition:v:1", "0")
	for _, path := range []string{poster, proxy} {
		if v, s, _, _, err := chosen(t, path); err != nil || v.Codec != "h264" || v.Width != 320 || len(s.Frames) != 24 {
			t.Errorf("%s: %s, %d pixels, %d frames, %v", filepath.Base(path), v.Codec, v.Width, len(s.Frames), err)
		}
	}
}

// HDR is converted whatever the stream leaves out or says strangely; its middle gray stays one, with and without tone mapping.
func TestHDRColourTags(t *testing.T) {
	tools := ffmpegTools(t)
	for _, test := range []struct {
		name string
		args []string
	}{
		{"hlg.mp4", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:transfer=arib-std-b67", "-color_trc", "arib-std-b67"}},
		{"pq.mp4", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:transfer=smpte2084", "-color_trc", "smpte2084"}},
		{"full.mp4", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:transfer=smpte2084:range=full", "-color_trc", "smpte2084", "-color_range", "pc"}},
		{"bt2020c.mp4", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:transfer=arib-std-b67:colormatrix=bt2020c:colorprim=bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020c", "-color_primaries", "bt2020"}},
		{"ictcp.mp4", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:transfer=smpte2084:colormatrix=ictcp:colorprim=smpte428", "-color_trc", "smpte2084"}},
		{"eight.mp4", []string{"-c:v", "libx264", "-pix_fmt", "yuv420p", "-color_trc", "arib-std-b67"}},
		{"vp9.webm", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p", "-color_trc", "arib-std-b67"}},
		{"odd.mkv", []string{"-vf", "crop=319:179:exact=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084"}},
		{"rgb.mkv", []string{"-c:v", "ffv1", "-pix_fmt", "gbrp10le", "-color_trc", "smpte2084", "-colorspace", "rgb"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := written(t, test.name, append([]string{"-i", clip(t), "-frames:v", "10", "-preset", "ultrafast"}, test.args...)...)
			v, err := Probe(t.Context(), tools, path, Limits{})
			if err != nil || !v.HDR {
				t.Fatalf("%+v, %v", v, err)
			}
			var pictures [2]image.Image
			conversions := v.conversions(t.Context(), tools, v.Width, v.Height)
			for i, conversion := range conversions {
				jpg := filepath.Join(t.TempDir(), "a.jpg")
				if out, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", path, "-vf", conversion, "-frames:v", "1", "-pix_fmt", "yuvj420p", jpg).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", conversion, err, out)
				}
				if pictures[i], err = decodePicture(t.Context(), jpg); err != nil {
					t.Fatal(err)
				}
				if spread := brightnessOf(pictures[i]); !(spread > 5) {
					t.Errorf("conversion %d gives an even picture", i)
				}
			}
			c, err := Open(t.Context(), tools, path, t.TempDir(), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "try")
			if err := c.Try(t.Context(), choose.Selection{Frames: choosetest.Walk(9, 0.1)}, dir, 0); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the trial left something behind: %v", err)
			}
		})
	}
}

// brightnessOf is the standard deviation of green over a picture.
func brightnessOf(m image.Image) float64 {
	var sum, square, n float64
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			_, g, _, _ := m.At(x, y).RGBA()
			sum, square, n = sum+float64(g>>8), square+float64(g>>8)*float64(g>>8), n+1
		}
	}
	return math.Sqrt(square/n - sum*sum/n/n)
}

// Where ffmpeg cannot do the better conversion, the next one is taken; where it can do none, the video is refused and named.
func TestConversionsFallBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "film.mov")
	put(t, path, []byte("film"))
	v := Video{Path: path, HDR: true, Codec: "hevc", PixelFormat: "yuv420p10le", Container: "mov"}
	tools := ffmpegTools(t)
	if len(v.conversions(t.Context(), tools, 64, 64)) < 2 {
		t.Skip("this ffmpeg has no zscale")
	}
	broken := &tool.Error{Program: "ffmpeg", ExitCode: 1, Tail: []string{"[Parsed_zscale_1 @ 0x1] code 3074: no path between colorspaces"}}
	var asked []string
	err := v.convert(t.Context(), tools, 64, 64, "dir", func(conversion string) error {
		if asked = append(asked, conversion); len(asked) == 1 {
			return broken
		}
		return nil
	})
	if err != nil || len(asked) != 2 || !strings.Contains(asked[0], "tonemap") || strings.Contains(asked[1], "tonemap") {
		t.Errorf("%d conversions, %v", len(asked), err)
	}
	err = v.convert(t.Context(), tools, 64, 64, "dir", func(string) error { return broken })
	if code(err) != UnsupportedCodec || !strings.Contains(err.Error(), "hevc, yuv420p10le") {
		t.Errorf("%v", err)
	}
}

// How ffmpeg ended says whose fault it is.
func TestHowFFmpegEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "film.mov")
	put(t, path, []byte("film"))
	v := Video{Path: path, Codec: "h264", Container: "mov"}
	said := func(line string) error {
		return &tool.Error{Program: "ffmpeg", ExitCode: 1, Tail: []string{"first", line}}
	}
	err := v.ended(t.Context(), said("av_interleaved_write_frame(): No space left on device"), "extracting frames", "/some/folder")
	var place *fs.PathError
	if !errors.Is(err, syscall.ENOSPC) || fault.Of(err) != nil || !errors.As(err, &place) || filepath.Dir(place.Path) != "/some/folder" {
		t.Errorf("a full disk: %v", err)
	}
	if err := v.ended(t.Context(), said("Cannot allocate memory"), "x", ""); code(err) != TooMuchMemory {
		t.Errorf("out of memory: %v", err)
	}
	if err := v.ended(t.Context(), said("Error reinitializing filters!"), "x", ""); code(err) != UnsupportedCodec {
		t.Errorf("a filter that fails: %v", err)
	}
	for _, machine := range []error{&tool.Error{Program: "ffmpeg", ExitCode: -1, Signal: syscall.SIGKILL}, &tool.Error{Program: "ffmpeg", Cause: exec.ErrNotFound}, os.ErrPermission} {
		if err := v.ended(t.Context(), machine, "x", ""); fault.Of(err) != nil || !errors.Is(err, machine) {
			t.Errorf("%v became %v", machine, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.ended(ctx, said("Error"), "x", ""); fault.Of(err) != nil {
		t.Errorf("canceled: %v", err)
	}
}

// What is no video and no photo that is read here is recognised, alone and in a folder.
func TestOtherFiles(t *testing.T) {
	tools := ffmpegTools(t)
	ftyp := func(brands ...string) string {
		return string([]byte{0, 0, 0, byte(12 + 4*len(brands))}) + "ftyp" + brands[0] + "\x00\x00\x00\x00" + strings.Join(brands[1:], "")
	}
	tar := make([]byte, 512)
	copy(tar, "IMG_1.jpg")
	copy(tar[257:], "ustar\x0000")
	for _, test := range []struct{ name, head, code, said string }{
		{"a.avif", ftyp("avif", "mif1", "miaf"), NotAPhoto, "AVIF"},
		{"b.avif", ftyp("mif1", "avif", "miaf"), NotAPhoto, "AVIF"},
		{"c.avif", ftyp("avis", "msf1", "avif"), NotAPhoto, "AVIF"},
		{"d.cr3", ftyp("crx ", "isom"), NotAPhoto, "CR3"},
		{"e.jxl", "\x00\x00\x00\x0cJXL \r\n\x87\n", NotAPhoto, "JPEG XL"},
		{"f.jxl", "\xff\x0a\xfa", NotAPhoto, "JPEG XL"},
		{"g.gif", "GIF89a", NotAPhoto, "GIF"},
		{"h.heics", ftyp("hevc", "iso8"), NotAPhoto, "sequence"},
		{"i.dng", "II*\x00\x08\x00\x00\x00", NotAPhoto, "raw"},
		{"j.7z", "7z\xbc\xaf\x27\x1c", BadArchive, "7z"},
		{"k.tar", string(tar), BadArchive, "tar"},
		{"l.tar.gz", "\x1f\x8b\x08", BadArchive, "gzip"},
		{"m.rar", "Rar!\x1a\x07\x01\x00", BadArchive, "RAR"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, test.name)
		put(t, path, append([]byte(test.head), make([]byte, 600)...))
		if _, err := Open(t.Context(), tools, path, t.TempDir(), Limits{}); code(err) != test.code || !strings.Contains(err.Error(), test.said) {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := Open(t.Context(), tools, dir, t.TempDir(), Limits{}); code(err) != NotAPhoto || !strings.Contains(err.Error(), test.said) {
			t.Errorf("%s in a folder: %v", test.name, err)
		}
	}
	for _, head := range []string{ftyp("heic", "mif1"), ftyp("mif1", "heic"), ftyp("hevc", "heic"), ftyp("mif1")} {
		if photoFormat(head) != formatHEIC || otherKind(head) != nil {
			t.Errorf("%q is a HEIC photo", head)
		}
	}
	for _, head := range []string{ftyp("isom", "avc1"), ftyp("qt  "), ftyp("mp42", "isom")} {
		if photoFormat(head) != "" || otherKind(head) != nil || !videoContainer(head) {
			t.Errorf("%q is a video", head)
		}
	}
}

// A thing in the middle of a plain backdrop is no sphere, nor is a table's straight edge, nor a smooth gradient; and the owner's
// word counts before all guesses.
func TestPlainBackdropIsNoSphere(t *testing.T) {
	tools := ffmpegTools(t)
	var white string
	for _, backdrop := range []string{
		"color=white:s=640x320:r=10:d=2.4",
		"gradients=s=640x320:x0=0:y0=0:x1=0:y1=320:c0=white:c1=gray:r=10:d=2.4:speed=0.00001",
		"color=white:s=640x320:r=10:d=2.4,drawbox=y=200:h=120:color=brown:t=fill",
	} {
		path := written(t, "plain.mp4", "-f", "lavfi", "-i", backdrop, "-i", clip(t), "-filter_complex", "[1:v]crop=200:120[f];[0:v][f]overlay=220:100:shortest=1,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast")
		if v, err := Probe(t.Context(), tools, path, Limits{}); err != nil || v.Spherical {
			t.Errorf("%s: spherical %v, %v", backdrop, v.Spherical, err)
		}
		white = path
	}
	for _, test := range []struct {
		path       string
		projection Projection
		spherical  bool
		code       string
	}{{white, ProjectionSphere, true, ""}, {white, ProjectionAuto, false, ""}, {white, "", false, ""}, {white, ProjectionFlat, false, ""}, {clip(t), ProjectionSphere, false, NotSpherical}, {clip(t), ProjectionFlat, false, ""}} {
		c, err := Open(t.Context(), tools, test.path, t.TempDir(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Project(test.projection); code(err) != test.code || c.videos[0].Spherical != test.spherical {
			t.Errorf("%q of %s: spherical %v, %v", test.projection, filepath.Base(test.path), c.videos[0].Spherical, err)
		}
	}
	// Metadata make a sphere; the owner's word takes it back.
	c := Capture{videos: []Video{{Width: 640, Height: 320, Spherical: true}}}
	if err := c.Project(ProjectionFlat); err != nil || c.videos[0].Spherical {
		t.Errorf("flat against the metadata: %+v, %v", c.videos[0], err)
	}
}

// A disk that fills up while frames are extracted is the machine's fault, and named; nothing of it is taken for a result.
func TestFullDisk(t *testing.T) {
	tools := ffmpegTools(t)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small disk can be made here: %v", err)
	}
	defer syscall.Unmount(small, 0)
	v, err := Probe(t.Context(), tools, clip(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	images, err := extract(t.Context(), tools, v, choose.Selection{Frames: choosetest.Walk(24, 0.1)}, small, "", 0, nil)
	if !errors.Is(err, syscall.ENOSPC) || fault.Of(err) != nil || !strings.Contains(err.Error(), small) {
		t.Errorf("%d images, %v", len(images), err)
	}
	film := filepath.Join(small, "film.mp4")
	noise := func(i int) *image.NRGBA {
		m, chance := image.NewNRGBA(image.Rect(0, 0, 320, 320)), rand.New(rand.NewPCG(1, uint64(i)))
		for k := range m.Pix {
			m.Pix[k] = byte(chance.Uint32())
		}
		return m
	}
	if err := WriteFilm(t.Context(), tools, film, 20, 10, noise); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), small) {
		t.Errorf("a film: %v", err)
	}
}
