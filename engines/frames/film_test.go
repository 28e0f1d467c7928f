package frames

import (
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
)

// A film may have any name that the file system takes: none is an option or a protocol of ffmpeg's.
func TestWriteFilmTakesAnyName(t *testing.T) {
	tools := ffmpegTools(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("x:y", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a:b.mp4", "-film.mp4", "#1 %d.mp4", filepath.Join("x:y", "film.mp4")} {
		err := WriteFilm(t.Context(), tools, name, 3, 10, func(int) *image.NRGBA { return image.NewNRGBA(image.Rect(0, 0, 32, 18)) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pictures of a video go into a folder with any name, and come out of a file with any name.
func TestExtractTakesAnyName(t *testing.T) {
	tools := ffmpegTools(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"a:b.mp4", "-film.mp4", "#1 %d.mp4"} {
		if err := WriteFilm(t.Context(), tools, name, 30, 10, func(i int) *image.NRGBA {
			img := image.NewNRGBA(image.Rect(0, 0, 320, 180))
			for k := range img.Pix {
				img.Pix[k] = uint8(k * (i + 3) / 40)
			}
			return img
		}); err != nil {
			t.Fatal(err)
		}
		v, err := Probe(t.Context(), tools, name, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		images, err := extract(t.Context(), tools, v, choose.Selection{Frames: []choose.Frame{{Index: 2}, {Index: 9}}}, "of "+name, "", 160, nil)
		if err != nil || len(images) != 2 {
			t.Errorf("%s: %d images, %v", name, len(images), err)
		}
	}
}
