package scene_test

import (
	"fmt"
	"log"
	"os"

	"github.com/splatworks/splatworks/engines/scene"
)

// A camera at (0, 0, -2) that looks along z, written as a COLMAP model and read again.
func Example() {
	model := &scene.Reconstruction{
		Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 640, Height: 480, Params: []float64{500, 500, 320, 240}}},
		Images:  []scene.Image{{ImageID: 1, CameraID: 1, Name: "a.jpg", CamFromWorld: scene.Rigid3{Rotation: [4]float64{1, 0, 0, 0}, Translation: [3]float64{0, 0, 2}}}},
	}
	dir, err := os.MkdirTemp("", "model-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := model.Write(dir); err != nil {
		log.Fatal(err)
	}
	read, err := scene.Read(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s was taken at z = %g\n", read.Images[0].Name, read.Images[0].Center()[2])
	// Output: a.jpg was taken at z = -2
}
