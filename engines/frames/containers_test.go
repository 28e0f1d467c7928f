package frames

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
)

// What phones, cameras, browsers and editors write is read: every frame, with sound and subtitles beside it.
func TestContainers(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	subtitles := filepath.Join(dir, "a.srt")
	put(t, subtitles, []byte("1\n00:00:00,000 --> 00:00:02,000\nhello\n"))
	for _, test := range []struct {
		name, codec string
		args        []string
	}{
		{"a.mp4", "hevc", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "aac", "-c:s", "mov_text"}},
		{"b.mov", "prores", []string{"-c:v", "prores_ks", "-c:a", "pcm_s24le", "-c:s", "mov_text"}},
		{"c.webm", "vp9", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-c:s", "webvtt"}},
		{"d.mkv", "av1", []string{"-c:v", "libsvtav1", "-preset", "12", "-c:a", "flac", "-c:s", "srt"}},
		{"e.webm", "vp8", []string{"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis", "-c:s", "webvtt"}},
		{"f.mkv", "h264", []string{"-c:v", "copy", "-c:a", "ac3", "-c:s", "ass"}},
		{"g.ts", "h264", []string{"-c:v", "copy", "-c:a", "mp2", "-sn"}},
		{"h.avi", "mjpeg", []string{"-c:v", "mjpeg", "-q:v", "3", "-c:a", "adpcm_ms", "-sn"}},
	} {
		path := filepath.Join(dir, test.name)
		args := append([]string{"-v", "error", "-i", clip(t), "-f", "lavfi", "-i", "sine=d=2.4", "-i", subtitles, "-map", "0:v", "-map", "1:a", "-map", "2:s"}, test.args...)
		if out, err := exec.Command(tools.FFmpeg, append(args, path)...).CombinedOutput(); err != nil {
			t.Logf("%s: this ffmpeg cannot write it: %s", test.name, out)
			continue
		}
		if head, err := headOf(path); err != nil || !videoContainer(head) {
			t.Errorf("%s: not taken for a video in a folder", test.name)
		}
		v, err := Probe(t.Context(), tools, path, Limits{})
		if err != nil || v.Codec != test.codec || v.Width != 320 || v.Height != 180 {
			t.Errorf("%s: %+v, %v", test.name, v, err)
			continue
		}
		s, err := Score(t.Context(), tools, v, Limits{}, nil)
		if err != nil || len(s.Frames) != 24 || s.Damaged != 0 {
			t.Errorf("%s: %d frames, %d complaints, %v", test.name, len(s.Frames), s.Damaged, err)
			continue
		}
		images, err := extract(t.Context(), tools, v, choose.Selection{Frames: s.Frames[20:23]}, filepath.Join(dir, "images"), "", 0, nil)
		if err != nil || len(images) != 3 || images[0].Name != "frame_000021.jpg" {
			t.Errorf("%s: %+v, %v", test.name, images, err)
		}
	}
}
