package frames

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/sample"
)

// These tests run ffmpeg on small captures made by engines/sample.

func ffmpegTools(t testing.TB) Tools {
	t.Helper()
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	return Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}
}

var clips struct {
	sync.Mutex
	dir  string
	made map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if clips.dir != "" {
		os.RemoveAll(clips.dir)
	}
	os.Exit(code)
}

// clip is the path of a capture of 24 frames of 320 x 180 pixels with disturbances; made once.
func clip(t testing.TB, disturbances ...sample.Disturbance) string {
	t.Helper()
	tools := ffmpegTools(t)
	clips.Lock()
	defer clips.Unlock()
	key := fmt.Sprint(disturbances)
	if path, ok := clips.made[key]; ok {
		return path
	}
	if clips.dir == "" {
		dir, err := os.MkdirTemp("", "frames-test-")
		if err != nil {
			t.Fatal(err)
		}
		clips.dir, clips.made = dir, map[string]string{}
	}
	dir := filepath.Join(clips.dir, fmt.Sprint(len(clips.made)))
	if err := sample.Write(context.Background(), tools.FFmpeg, clipOptions(disturbances...), dir, nil); err != nil {
		t.Fatal(err)
	}
	clips.made[key] = filepath.Join(dir, sample.VideoFile)
	return clips.made[key]
}

func clipOptions(disturbances ...sample.Disturbance) sample.Options {
	return sample.Options{Seed: 1, Frames: 24, Width: 320, Height: 180, Disturbances: disturbances}
}

// chosen probes, scores, selects and judges.
func chosen(t testing.TB, path string) (Video, Scores, choose.Selection, Report, error) {
	t.Helper()
	tools := ffmpegTools(t)
	v, err := Probe(t.Context(), tools, path, Limits{})
	if err != nil {
		return v, Scores{}, choose.Selection{}, Report{}, err
	}
	s, err := Score(t.Context(), tools, v, Limits{}, nil)
	if err != nil {
		return v, s, choose.Selection{}, Report{}, err
	}
	selection := choose.Frames(s.Frames, choose.Options{})
	r, err := judged(v, s, selection)
	return v, s, selection, r, err
}

func TestGoodVideo(t *testing.T) {
	v, s, selection, r, err := chosen(t, clip(t))
	if err != nil {
		t.Fatal(err)
	}
	if v.Width != 320 || v.Height != 180 || v.Frames != 24 || v.FPS != 10 || v.VariableRate || v.RotationDeg != 0 || v.HDR || v.Codec != "h264" {
		t.Errorf("probed %+v", v)
	}
	if len(s.Frames) != 24 || s.Damaged != 0 || len(selection.Frames) != 24 || r.Selected != 24 {
		t.Errorf("%d frames, %d complaints, %d selected", len(s.Frames), s.Damaged, len(selection.Frames))
	}
	for i, f := range s.Frames {
		if f.Index != i || !(math.Abs(f.TimeS-float64(i)/10) < 1e-3) {
			t.Errorf("frame %d: index %d at %v s", i, f.Index, f.TimeS)
		}
	}
	if got := warned(r); got != "low_resolution" && got != "low_resolution fast_motion" {
		t.Errorf("warnings %q", got)
	}
	if data, err := json.Marshal(r); err != nil || !bytes.Contains(data, []byte(`"warnings":[{"code":"low_resolution"`)) {
		t.Errorf("the report as JSON: %s, %v", data, err)
	}
}

func TestDisturbedVideos(t *testing.T) {
	for _, test := range []struct {
		disturbance sample.Disturbance
		refused     string
		warning     string
	}{
		{sample.Still, NoMotion, "mostly_static"},
		{sample.Noise, NotAScene, "fast_motion"},
		{sample.Black, AllBlack, "too_dark"},
		{sample.MotionBlur, "", "motion_blur"},
		{sample.ExposureSteps, "", "exposure_changes"},
		{sample.Static, "", ""},
	} {
		_, scores, selection, r, err := chosen(t, clip(t, test.disturbance))
		if got := code(err); got != test.refused {
			t.Errorf("%s: refused with %q, want %q", test.disturbance, got, test.refused)
		}
		if !strings.Contains(warned(r), test.warning) {
			t.Errorf("%s: warnings %q, want %q among them", test.disturbance, warned(r), test.warning)
		}
		if test.disturbance == sample.Static && selection.Duplicates != 6 {
			t.Errorf("static: %d duplicates of 6 frames that stand still", selection.Duplicates)
		}
		if test.disturbance == sample.MotionBlur {
			o := clipOptions(sample.MotionBlur)
			c, err := sample.New(o)
			if err != nil {
				t.Fatal(err)
			}
			for i, blurred := range choose.Blurred(scores.Frames) {
				if blurred != c.Blurred(i) {
					t.Errorf("motion blur: frame %d blurred: %v, want %v", i, blurred, c.Blurred(i))
				}
			}
		}
	}
}

// Exactly the asked-for pictures come out, whatever the time stamps and however the pictures are stored, and with
// the colours that went in.
func TestExtractIsExact(t *testing.T) {
	tools := ffmpegTools(t)
	o := clipOptions()
	c, err := sample.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, disturbances := range [][]sample.Disturbance{nil, {sample.VariableRate}, {sample.Rotated}} {
		path := clip(t, disturbances...)
		v, err := Probe(t.Context(), tools, path, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if v.VariableRate != slices.Contains(disturbances, sample.VariableRate) || (v.RotationDeg == 90) != slices.Contains(disturbances, sample.Rotated) {
			t.Errorf("%v: probed %+v", disturbances, v)
		}
		scores, err := Score(t.Context(), tools, v, Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var selection choose.Selection
		for _, i := range []int{1, 2, 3, 9, 17, 23} {
			selection.Frames = append(selection.Frames, scores.Frames[i])
		}
		// A folder with a percent sign: the name is a pattern to ffmpeg.
		dir := filepath.Join(t.TempDir(), "100%02d done")
		reports := 0
		images, err := extract(t.Context(), tools, v, selection, dir, "", 0, func(done, total int) {
			if reports = done; total != 6 {
				t.Errorf("%d in all", total)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if reports != 6 {
			t.Errorf("the last report said %d", reports)
		}
		for k, image := range images {
			if image.Index != selection.Frames[k].Index || image.Name != fmt.Sprintf("frame_%06d.jpg", image.Index+1) || image.Width != 320 || image.Height != 180 {
				t.Errorf("%v: %+v", disturbances, image)
			}
			file, err := os.Open(filepath.Join(dir, image.Name))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := jpeg.Decode(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			want := c.Frame(image.Index)
			var bias [3]float64
			wrong := 0.0
			for y := range 180 {
				for x := range 320 {
					r, g, b, _ := picture.At(x, y).RGBA()
					for k, v := range [3]uint32{r, g, b} {
						d := float64(v>>8) - float64(want[(y*320+x)*3+k])
						bias[k] += d / (320 * 180)
						wrong += math.Abs(d) / (320 * 180 * 3)
					}
				}
			}
			for _, b := range bias {
				if !(math.Abs(b) < 1) {
					t.Errorf("%v, %s: colours are off by %.2f", disturbances, image.Name, bias)
				}
			}
			// The next frame differs by about 25.
			if !(wrong < 8) {
				t.Errorf("%v, %s: differs by %.1f from the frame that was filmed", disturbances, image.Name, wrong)
			}
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 6 {
			t.Errorf("%d files in the folder", len(entries))
		}
	}
}

// Phones that lack light film with pauses: frames may follow each other much faster than their average rate.
func TestExtractBursts(t *testing.T) {
	tools := ffmpegTools(t)
	path := filepath.Join(t.TempDir(), "bursts.mp4")
	out, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", clip(t), "-vf", "settb=1/90000,setpts='(floor(N/6)*0.61803+mod(N,6)*0.00317)/TB'",
		"-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-c:v", "libx264", "-preset", "ultrafast", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v, err := Probe(t.Context(), tools, path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	images, err := extract(t.Context(), tools, v, choose.Selection{Frames: choosetest.Walk(12, 0.1)}, t.TempDir(), "", 0, nil)
	if err != nil || len(images) != 12 {
		t.Errorf("%d images, %v", len(images), err)
	}
}

func TestExtractSmaller(t *testing.T) {
	tools := ffmpegTools(t)
	v, err := Probe(t.Context(), tools, clip(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	images, err := extract(t.Context(), tools, v, choose.Selection{Frames: choosetest.Walk(3, 0.1)}, dir, "", 200, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, images[2].Name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config, err := jpeg.DecodeConfig(file)
	if err != nil || config.Width != 200 || config.Height != 113 || images[2].Width != 200 || images[2].Height != 113 {
		t.Errorf("%dx%d, said %+v, %v", config.Width, config.Height, images[2], err)
	}
	sheet := filepath.Join(t.TempDir(), "sheet.jpg")
	if err := WriteSheet(t.Context(), dir, images, choosetest.Walk(3, 0.1), sheet); err != nil {
		t.Fatal(err)
	}
	if picture, err := decodePicture(t.Context(), sheet); err != nil || picture.Bounds().Dx() != 3*248+8 {
		t.Errorf("the contact sheet: %v", err)
	}
}

func TestExtractLeavesNothingBehind(t *testing.T) {
	tools := ffmpegTools(t)
	v, err := Probe(t.Context(), tools, clip(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	beyond := append(choosetest.Walk(2, 0.1), choose.Frame{Index: 500})
	if _, err := extract(t.Context(), tools, v, choose.Selection{Frames: beyond}, dir, "", 0, nil); err == nil {
		t.Error("a frame that does not exist was extracted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := extract(ctx, tools, v, choose.Selection{Frames: choosetest.Walk(2, 0.1)}, dir, "", 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestBadFiles(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	// The same without its index at the front: cut, nothing can be found in it.
	late := filepath.Join(dir, "late.mp4")
	if out, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", clip(t), "-c", "copy", late).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lateBytes, err := os.ReadFile(late)
	if err != nil {
		t.Fatal(err)
	}
	sound := filepath.Join(dir, "sound.m4a")
	if out, err := exec.Command(tools.FFmpeg, "-v", "error", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac", sound).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	make := func(name string, args ...string) string {
		path := filepath.Join(dir, name)
		if out, err := exec.Command(tools.FFmpeg, append(append([]string{"-v", "error", "-f", "lavfi", "-i"}, args...), path)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return path
	}
	secret := put("secret.mp4", whole)
	for _, test := range []struct {
		name, path, code string
	}{
		{"text", put("text.mp4", []byte("this is not a video\n")), NotAVideo},
		{"random bytes", put("random.mp4", capturetest.Texture(100, 100, 1, 9)), NotAVideo},
		{"empty", put("empty.mp4", nil), EmptyFile},
		{"a folder", dir, NotAVideo},
		{"a playlist", put("list.mp4", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"+secret+"\n")), NotAVideo},
		{"a concat script", put("concat.mp4", []byte("ffconcat version 1.0\nfile secret.mp4\n")), NotAVideo},
		{"an SDP", put("call.mp4", []byte("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n")), NotAVideo},
		{"index cut off", put("cut.mp4", lateBytes[:len(lateBytes)/2]), TruncatedVideo},
		{"a fifth of it", put("fifth.mp4", whole[:len(whole)/5]), TruncatedVideo},
		{"sound only", sound, NoVideoStream},
		{"one frame", make("one.mp4", "testsrc2=s=320x180:r=10:d=0.1"), VideoTooShort},
		{"half a second", make("half.mp4", "testsrc2=s=320x180:r=30:d=0.5"), VideoTooShort},
		{"a poster", make("poster.avi", "color=s=9000x9000:r=5:d=0.4", "-c:v", "mjpeg", "-q:v", "31"), PictureTooLarge},
		{"a stamp", make("stamp.mp4", "testsrc2=s=96x96:r=10:d=3"), PictureTooSmall},
	} {
		_, _, _, _, err := chosen(t, test.path)
		if got := code(err); got != test.code {
			t.Errorf("%s: %q, want %q (%v)", test.name, got, test.code, err)
		}
		var f *fault.Failure
		if errors.As(err, &f) && (f.Message == "" || f.Advice == "") {
			t.Errorf("%s: no words: %+v", test.name, f)
		}
	}
	if _, err := Probe(t.Context(), tools, filepath.Join(dir, "absent.mp4"), Limits{}); err == nil || fault.Of(err) != nil {
		t.Errorf("a missing file is not the owner's fault: %v", err)
	}
	if _, err := Probe(t.Context(), Tools{FFprobe: filepath.Join(dir, "absent")}, secret, Limits{}); err == nil || fault.Of(err) != nil {
		t.Errorf("a missing ffprobe is not the owner's fault: %v", err)
	}
	if _, err := Probe(t.Context(), tools, secret, Limits{MaxEdge: 300}); code(err) != PictureTooLarge {
		t.Errorf("too large: %v", err)
	}
}

// Most of a broken-off file is used, with a warning.
func TestMostOfAVideo(t *testing.T) {
	whole, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "most.mp4")
	if err := os.WriteFile(path, whole[:len(whole)*8/10], 0o666); err != nil {
		t.Fatal(err)
	}
	_, s, selection, r, err := chosen(t, path)
	if err != nil || len(s.Frames) < 14 || len(s.Frames) > 22 || len(selection.Frames) < 12 || !strings.Contains(warned(r), "damaged_video") {
		t.Errorf("%d frames, %d selected, warnings %q, %v", len(s.Frames), len(selection.Frames), warned(r), err)
	}
}

func TestCoverArtIsNoVideo(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	cover := filepath.Join(dir, "cover.jpg")
	song := filepath.Join(dir, "song.m4a")
	for _, args := range [][]string{
		{"-f", "lavfi", "-i", "testsrc2=s=320x180:d=0.04:r=25", "-frames:v", "1", cover},
		{"-f", "lavfi", "-i", "sine=d=3", "-i", cover, "-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v:0", "attached_pic", "-f", "mp4", song},
	} {
		if out, err := exec.Command(tools.FFmpeg, append([]string{"-v", "error"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if _, err := Probe(t.Context(), tools, song, Limits{}); code(err) != NoVideoStream {
		t.Errorf("got %v", err)
	}
}

// High dynamic range is mapped to something that looks right, and never fails.
func TestHDR(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "hdr.mp4")
	out, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", clip(t), "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error",
		"-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc", path).CombinedOutput()
	if err != nil {
		t.Skipf("this ffmpeg cannot make an HDR video: %s", out)
	}
	v, scores, selection, r, err := chosen(t, path)
	if err != nil || !v.HDR || !strings.Contains(warned(r), "hdr_video") {
		t.Fatalf("%+v, warnings %q, %v", v, warned(r), err)
	}
	selection.Frames = scores.Frames[:2]
	images, err := extract(t.Context(), tools, v, selection, dir, "", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := decodePicture(t.Context(), filepath.Join(dir, images[0].Name))
	if err != nil {
		t.Fatal(err)
	}
	f, _ := choose.MeasurePhoto(0, grayOf(picture, choose.Edge))
	if !(f.Brightness > 0.15 && f.Brightness < 0.8 && f.Contrast > 0.08) {
		t.Errorf("brightness %.2f, contrast %.2f", f.Brightness, f.Contrast)
	}
}

func TestFoxKeepsAllFrames(t *testing.T) {
	v, _, selection, r, err := chosen(t, capturetest.Find(t, "fox/fox.mp4"))
	if err != nil || v.Width != 1080 || v.Height != 1920 || len(selection.Frames) != 50 || len(r.Warnings) != 0 {
		t.Errorf("%d selected, warnings %q, %v", len(selection.Frames), warned(r), err)
	}
}

// BenchmarkScore compares the measuring pass with decoding alone; the aim is 1.3 times.
func BenchmarkScore(b *testing.B) {
	path := clip(b)
	if os.Getenv(capturetest.Variable) != "" {
		path = capturetest.Find(b, "fox/fox.mp4")
	}
	tools := ffmpegTools(b)
	v, err := Probe(b.Context(), tools, path, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	var plain, score float64
	for b.Loop() {
		start := b.Elapsed()
		if err := exec.Command(tools.FFmpeg, "-v", "error", "-i", path, "-an", "-f", "null", "-").Run(); err != nil {
			b.Fatal(err)
		}
		middle := b.Elapsed()
		if _, err := Score(b.Context(), tools, v, Limits{}, nil); err != nil {
			b.Fatal(err)
		}
		plain, score = plain+(middle-start).Seconds(), score+(b.Elapsed()-middle).Seconds()
	}
	b.ReportMetric(score/plain, "x-decode")
}
