package mesh

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/trainer"
)

// paint draws a textured mesh as a viewer would that shows the fronts of faces alone, unlit; or, lit from the camera, without the texture.
func (t *Textured) paint(cam raster.Camera, lit bool) *image.NRGBA {
	p := photo{Picture: &trainer.Picture{Camera: cam}, view: view{cam: cam}, buffer: make([]float32, cam.Width*cam.Height)}
	img := image.NewNRGBA(image.Rect(0, 0, cam.Width, cam.Height))
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	for f, face := range t.Faces {
		n := t.normal(f)
		to := sub(cam.Center(), t.Vertices[face[0]])
		shade := dot(n, to) / (length(n) * length(to))
		if !(shade > 0) {
			continue
		}
		var u, v, inverse [3]float64
		front := true
		for k, i := range face {
			var z float64
			u[k], v[k], z = p.place(t.Vertices[i])
			inverse[k] = 1 / z
			front = front && z > 1e-3
		}
		if !front {
			continue
		}
		overTriangle(u, v, cam.Width, cam.Height, func(x, y int, a, b, c float64) {
			depth := a*inverse[0] + b*inverse[1] + c*inverse[2]
			at := y*cam.Width + x
			if !(float32(depth) > p.buffer[at]) {
				return
			}
			p.buffer[at] = float32(depth)
			if lit {
				img.SetNRGBA(x, y, color.NRGBA{uint8(230 * shade), uint8(230 * shade), uint8(235 * shade), 255})
				return
			}
			var s, r float64
			for k, w := range [3]float64{a * inverse[0] / depth, b * inverse[1] / depth, c * inverse[2] / depth} {
				uv := t.UV[t.Corners[f][k]]
				s, r = s+w*float64(uv[0]), r+w*float64(uv[1])
			}
			img.SetNRGBA(x, y, t.sample(s, r))
		})
	}
	return img
}

func (t *Textured) sample(u, v float64) color.NRGBA {
	size := t.Texture.Bounds().Dx()
	x, y := u*float64(size)-0.5, v*float64(size)-0.5
	var sum [3]float64
	for _, o := range [4][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		fx, fy := math.Floor(x), math.Floor(y)
		w := (1 - math.Abs(x-fx-float64(o[0]))) * (1 - math.Abs(y-fy-float64(o[1])))
		c := t.Texture.NRGBAAt(min(max(int(fx)+o[0], 0), size-1), min(max(int(fy)+o[1], 0), size-1))
		sum[0] += w * float64(c.R)
		sum[1] += w * float64(c.G)
		sum[2] += w * float64(c.B)
	}
	return color.NRGBA{uint8(sum[0] + 0.5), uint8(sum[1] + 0.5), uint8(sum[2] + 0.5), 255}
}

func savePNG(t *testing.T, path string, img image.Image) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}
