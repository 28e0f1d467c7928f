package e2e

import (
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/mesh"
)

var quarters = [4]color.NRGBA{{200, 40, 40, 255}, {40, 160, 40, 255}, {40, 60, 200, 255}, {128, 128, 128, 255}}

// board is a square of two triangles that faces the camera from the origin: a picture of four quarters is on it, the first at its upper left.
func board() *mesh.Textured {
	picture := image.NewNRGBA(image.Rect(0, 0, 128, 128))
	for y := range 128 {
		for x := range 128 {
			picture.SetNRGBA(x, y, quarters[x/64+2*(y/64)])
		}
	}
	return &mesh.Textured{
		Mesh: &mesh.Mesh{Vertices: [][3]float64{{-1, -1, 0}, {1, -1, 0}, {1, 1, 0}, {-1, 1, 0}}, Faces: [][3]int32{{0, 2, 1}, {0, 3, 2}}},
		UV:   [][2]float32{{0, 0}, {1, 0}, {1, 1}, {0, 1}}, Corners: [][3]int32{{0, 2, 1}, {0, 3, 2}}, Texture: picture,
	}
}

// TestViewersOfMeshes: viewers find all triangles of a mesh as GLB, its texture upright on the side that the photographs saw, in its own colours.
func TestViewersOfMeshes(t *testing.T) {
	if !*everyViewer {
		t.Skip("starts a browser: make viewers")
	}
	s := newStand(t, "viewers/node_modules/three/build/three.module.js")
	b := board()
	file, err := os.Create(filepath.Join(s.files, "mesh.glb"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.WriteGLB(file, "metre"), file.Close()); err != nil {
		t.Fatal(err)
	}
	cam := lookingAtOrigin(viewEye, viewWidth, viewHeight, viewFOV)
	for _, v := range viewers {
		if v.name == "spark" || v.name == "playcanvas" { // one is three.js, the other is asked for splats alone
			continue
		}
		got, picture := s.look(v.name, "mesh.glb", true, map[string]any{"mesh": true})
		if picture == nil {
			t.Errorf("%s: %s", v.title, got.Error)
			continue
		}
		if got.Count != len(b.Faces) {
			t.Errorf("%s: %d triangles instead of %d", v.title, got.Count, len(b.Faces))
		}
		for i, want := range quarters {
			p := [3]float64{float64(i%2) - 0.5, float64(i/2) - 0.5, 0}
			var at [3]float64
			for k := range 3 {
				at[k] = cam.R[k][0]*p[0] + cam.R[k][1]*p[1] + cam.R[k][2]*p[2] + cam.T[k]
			}
			x, y := int(cam.Fx*at[0]/at[2]+cam.Cx), int(cam.Fy*at[1]/at[2]+cam.Cy)
			is := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
			for k, channel := range [3][2]uint8{{is.R, want.R}, {is.G, want.G}, {is.B, want.B}} {
				if d := math.Abs(float64(channel[0]) - float64(channel[1])); !(d <= 0.03*255) {
					t.Errorf("%s, quarter %d, channel %d: %d instead of %d", v.title, i, k, channel[0], channel[1])
				}
			}
		}
	}
}
