package scene_test

import (
	"bytes"
	"image/jpeg"
	"os"
	"testing"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
)

// The picture shows both views, with the first camera in blue and the last in orange.
func TestPictureShowsTheCameras(t *testing.T) {
	c, err := sample.New(sample.Options{Seed: 4, Frames: 12, Width: 64, Height: 48})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := c.Reconstruction().WritePicture(&file, "12 of 12 images", scene.UnitMetre); err != nil {
		t.Fatal(err)
	}
	if keep := os.Getenv("SPLATWORKS_KEEP_PICTURE"); keep != "" {
		if err := os.WriteFile(keep, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	img, err := jpeg.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	for half, name := range []string{"from above", "from the side"} {
		blue, orange := 0, 0
		for y := range b.Dy() {
			for x := half * b.Dx() / 2; x < (half+1)*b.Dx()/2; x++ {
				switch r, g, b, _ := img.At(x, y).RGBA(); {
				case b>>8 > 200 && r>>8 < 110 && g>>8 < 190:
					blue++
				case r>>8 > 210 && b>>8 < 90 && g>>8 > 110:
					orange++
				}
			}
		}
		if blue < 20 || orange < 20 {
			t.Errorf("%s: %d blue pixels, %d orange", name, blue, orange)
		}
	}
}
