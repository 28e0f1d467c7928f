package scene

import (
	"cmp"
	"image/color"
	"slices"
)

// Line is a stroke between two world points.
type Line struct {
	From, To [3]float64
	Ink      color.RGBA
}

// CameraLines draws every camera as the pyramid of what it sees, so long in world units: eight lines each. They are blue for the
// first by name to orange for the last.
func (r *Reconstruction) CameraLines(length float64) []Line {
	lines := make([]Line, 0, 8*len(r.Images))
	inks := r.cameraInks()
	for i := range r.Images {
		im := &r.Images[i]
		center, corners := im.Center(), r.pyramid(im, length)
		for k, c := range corners {
			lines = append(lines, Line{center, c, inks[i]}, Line{c, corners[(k+1)%4], inks[i]})
		}
	}
	return lines
}

// pyramid is the corners of the image of a camera, at a depth.
func (r *Reconstruction) pyramid(im *Image, depth float64) [4][3]float64 {
	rotation, center := im.CamFromWorld.Matrix(), im.Center()
	halfX, halfY := 0.6, 0.6
	if c := r.Camera(im.CameraID); c != nil && c.FocalLength() > 0 {
		halfX, halfY = float64(c.Width)/(2*c.FocalLength()), float64(c.Height)/(2*c.FocalLength())
	}
	corner := func(sx, sy float64) [3]float64 {
		out := center
		for k := range 3 {
			out[k] += depth * (sx*halfX*rotation[0][k] + sy*halfY*rotation[1][k] + rotation[2][k])
		}
		return out
	}
	return [4][3]float64{corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)}
}

// cameraInks are the colours of the images, by their place among the names.
func (r *Reconstruction) cameraInks() []color.RGBA {
	order := make([]int, len(r.Images))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(r.Images[a].Name, r.Images[b].Name) })
	inks := make([]color.RGBA, len(order))
	for n, i := range order {
		t := float32(n) / float32(max(len(order)-1, 1))
		mix := func(a, b float32) uint8 { return uint8(a + t*(b-a)) }
		inks[i] = color.RGBA{mix(70, 255), mix(150, 150), mix(255, 40), 255}
	}
	return inks
}
