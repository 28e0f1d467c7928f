package frames

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/sample"
)

// Every warning of the capture report has a capture that causes it and no other, and every refusal that takes a look at
// the pictures has one too. All are made of one good capture, which causes none. What is refused by its headers stands in
// TestBadFiles, TestHostileMedia, TestPhotoRefusals and TestSeveralSources.
func TestCaptures(t *testing.T) {
	if testing.Short() {
		t.Skip("films two dozen captures")
	}
	tools := ffmpegTools(t)
	dir := t.TempDir()
	if err := sample.Write(t.Context(), tools.FFmpeg, sample.Options{Seed: 1}, dir, nil); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, sample.VideoFile)
	made := func(name string, args ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		args = append([]string{"-v", "error", "-y"}, args...)
		if out, err := exec.Command(tools.FFmpeg, append(args, path)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		return path
	}
	h264 := []string{"-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p"}
	filtered := func(name, filter string, more ...string) string {
		t.Helper()
		args := append([]string{"-i", good, "-vf", filter, "-fps_mode", "passthrough"}, h264...)
		return made(name, append(args, more...)...)
	}
	drawn := func(name, source string) string {
		t.Helper()
		return made(name, append([]string{"-f", "lavfi", "-i", source}, h264...)...)
	}
	still := made("still.png", "-i", good, "-frames:v", "1", "-vf", "scale=1280:720:flags=lanczos")
	slid := func(name, x string) string {
		t.Helper()
		return made(name, append([]string{"-loop", "1", "-r", "10", "-i", still, "-frames:v", "60", "-vf", "crop=640:360:" + x + ":180"}, h264...)...)
	}
	folder := func(name string, others map[string]string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		copied(t, good, filepath.Join(path, "walk.mp4"))
		for to, from := range others {
			copied(t, from, filepath.Join(path, to))
		}
		return path
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.mp4")
	put(t, broken, whole[:len(whole)*8/10])
	notes := filepath.Join(dir, "notes.txt")
	put(t, notes, []byte("hello"))
	black := drawn("black.mp4", "color=black:s=640x360:r=10:d=3")

	captures := []struct{ path, refused, warnings string }{
		{good, "", ""},
		{filtered("motion blur.mp4", "boxblur=3:1:enable='eq(mod(n,4),1)'"), "", "motion_blur"},
		{filtered("soft.mp4", "gblur=9"), "", "blurry"},
		{filtered("dark.mp4", "lutyuv=y='16+(val-16)*0.15'"), "", "too_dark"},
		{filtered("glaring.mp4", "lutyuv=y='235-(235-val)*0.12'"), "", "too_bright"},
		{filtered("exposure.mp4", "lutyuv=y='16+(val-16)*0.5':enable='gt(n,30)'"), "", "exposure_changes"},
		{filtered("standing.mp4", "loop=loop=60:size=1:start=30,setpts=N/10/TB"), "", "mostly_static"},
		{filtered("hurried.mp4", "select='not(mod(n,3))'"), "", "fast_motion"},
		{filtered("cut.mp4", "select='lt(n,20)+gt(n,40)'"), "", "scene_cut"},
		{filtered("small.mp4", "scale=480:270"), "", "low_resolution"},
		{filtered("interlaced.mp4", "setfield=tff", "-flags", "+ilme+ildct", "-x264-params", "interlaced=1"), "", "interlaced_video"},
		{filtered("short.mp4", "select='lt(n,14)'"), "", "few_images"},
		{slid("a hand's breadth.mp4", "200+2*n"), "", "little_motion"},
		{slid("on the spot.mp4", "20+10*n"), "", "little_parallax"},
		{broken, "", "damaged_video"},
		{folder("notes", map[string]string{"notes.txt": notes}), "", "skipped_files"},
		{folder("masks", map[string]string{"masks/nothing.png": still}), "", "unmatched_masks"},
		{folder("two", map[string]string{"dark.mp4": black}), "", "part_left_out"},
		{black, AllBlack, ""},
		{drawn("wall.mp4", "color=gray:s=640x360:r=10:d=3"), NoDetail, ""},
		{drawn("noise.mp4", "nullsrc=s=640x360:r=10:d=3,geq=lum='random(1)*255':cb=128:cr=128"), NotAScene, ""},
		{slid("tripod.mp4", "200"), NoMotion, ""},
	}
	if exec.Command(tools.FFmpeg, "-v", "error", "-h", "encoder=libx265").Run() == nil {
		captures = append(captures, struct{ path, refused, warnings string }{made("hdr.mp4", "-i", good, "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
			"-x265-params", "log-level=error:crf=10", "-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc"), "", "hdr_video"})
	}
	for _, test := range captures {
		name := filepath.Base(test.path)
		var r Report
		c, err := Open(t.Context(), tools, test.path, t.TempDir(), Limits{})
		if err == nil {
			_, r, err = c.Choose(t.Context(), choose.Options{}, nil)
		}
		if got := code(err); got != test.refused {
			t.Errorf("%s: refused with %q, want %q (%v)", name, got, test.refused, err)
		}
		if got := warned(r); test.refused == "" && got != test.warnings {
			t.Errorf("%s: warnings %q, want %q; %+v", name, got, test.warnings, r)
		}
	}
}

// Real captures: one of a camera that does not move, and walks.
func TestStandingAndWalkingForReal(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes whole films")
	}
	for name, refused := range map[string]string{"videos/static_trees.mp4": NoMotion, "videos/cycle_h265.mp4": "", "fox/fox.mp4": ""} {
		_, _, selection, r, err := chosen(t, capturetest.Find(t, name))
		if code(err) != refused {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d frames, travel %.3f, static %.2f, warnings %q", name, len(selection.Frames), r.Travel, r.Static, warned(r))
	}
}
