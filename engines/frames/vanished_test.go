package frames

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// A file that is gone is not damaged: readers return the file system's error, and no advice says to convert it.
func TestVanishedFilesAreNotTheCapturesFault(t *testing.T) {
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, fs.ErrNotExist) || fault.Of(err) != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	absent := filepath.Join(t.TempDir(), "absent.mp4")
	v := Video{Path: absent, Codec: "h264", Container: "mov"}
	said := &tool.Error{Program: "ffmpeg", ExitCode: 1, Tail: []string{absent + ": No such file or directory"}}
	gone("ffmpeg", v.ended(t.Context(), said, "extracting frames", ""))
	gone("ffprobe", unreadable(t.Context(), place{path: absent}, said, said.Tail[0]))
	gone("fewer frames than were chosen", v.missing(fs.ErrNotExist, 3, 5))
	photos := []File{{Path: absent, Name: "a.jpg"}}
	_, err := listPhotos(t.Context(), photos, Limits{}.withDefaults())
	gone("a photo's header", err)
	_, err = ScorePhotos(t.Context(), &Photos{Photos: []Photo{{Path: absent}}}, Limits{}, nil)
	gone("a photo", err)
	c := Capture{masks: maskFiles{"frame_000001": {Path: absent, Name: "masks/frame_000001.png"}}, videos: []Video{v}}
	gone("a mask", c.writeMasks(t.Context(), []Image{{Name: "frame_000001.jpg", Width: 8, Height: 8}}, filepath.Join(t.TempDir(), "images")))
}

func TestVanishedFilm(t *testing.T) {
	tools := ffmpegTools(t)
	path := filepath.Join(t.TempDir(), "film.mp4")
	copied(t, clip(t), path)
	c, err := Open(t.Context(), tools, path, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	selection, _, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Choose(t.Context(), choose.Options{}, nil); !errors.Is(err, fs.ErrNotExist) || fault.Of(err) != nil {
		t.Errorf("measured: %v", err)
	}
	if _, err := c.Extract(t.Context(), selection, filepath.Join(t.TempDir(), "images"), 0, nil); !errors.Is(err, fs.ErrNotExist) || fault.Of(err) != nil {
		t.Errorf("extracted: %v", err)
	}
}

// A photo that may not be read is skipped and named, as in a folder of many.
func TestUnreadablePhotoIsSkipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jpg")
	put(t, path, jpegOf(t, textured(320, 240, 1), nil))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if file, err := os.Open(path); err == nil {
		file.Close()
		t.Skip("this user may read everything")
	}
	set, err := listPhotos(t.Context(), []File{{Path: path, Name: "a.jpg"}}, Limits{}.withDefaults())
	if err != nil || len(set.Skipped) != 1 {
		t.Errorf("%+v, %v", set, err)
	}
}
