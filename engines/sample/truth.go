package sample

import (
	"encoding/json"
	"math"
	"os"

	"github.com/splatworks/splatworks/engines/scene"
)

// transforms is the file that instant-ngp and nerfstudio call transforms.json: one pinhole camera for all frames,
// and for each frame the 4x4 matrix from its camera to the world, camera axes as in OpenGL (x right, y up, z back).
type transforms struct {
	CameraAngleX float64           `json:"camera_angle_x"`
	CameraAngleY float64           `json:"camera_angle_y"`
	FlX          float64           `json:"fl_x"`
	FlY          float64           `json:"fl_y"`
	K1           float64           `json:"k1"`
	K2           float64           `json:"k2"`
	P1           float64           `json:"p1"`
	P2           float64           `json:"p2"`
	Cx           float64           `json:"cx"`
	Cy           float64           `json:"cy"`
	W            int               `json:"w"`
	H            int               `json:"h"`
	Frames       []transformsFrame `json:"frames"`
}

type transformsFrame struct {
	FilePath        string        `json:"file_path"`
	TransformMatrix [4][4]float64 `json:"transform_matrix"`
}

func (c *Capture) writeTransforms(path string) error {
	k := c.Camera(0)
	t := transforms{
		CameraAngleX: 2 * math.Atan(float64(k.Width)/(2*k.Fx)), CameraAngleY: 2 * math.Atan(float64(k.Height)/(2*k.Fy)),
		FlX: k.Fx, FlY: k.Fy, Cx: k.Cx, Cy: k.Cy, W: k.Width, H: k.Height,
	}
	for i := range c.options.Frames {
		k := c.Camera(i)
		var m [4][4]float64
		for row := range 3 {
			m[row] = [4]float64{k.Right[row], -k.Down[row], -k.Forward[row], k.Position[row]}
		}
		m[3][3] = 1
		t.Frames = append(t.Frames, transformsFrame{FilePath: "images/" + Name(i), TransformMatrix: m})
	}
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}

// truePoints is the number of points in the true model: about what COLMAP finds in the default capture.
const truePoints = 4000

// Reconstruction is the truth as COLMAP would say it: one PINHOLE camera, every frame with its pose, and points on
// the surfaces with the frames that see them. A capture that shows no scene has cameras only.
func (c *Capture) Reconstruction() *scene.Reconstruction {
	k := c.Camera(0)
	r := &scene.Reconstruction{Cameras: []scene.Camera{{
		CameraID: 1, Model: scene.Pinhole, Width: k.Width, Height: k.Height, Params: []float64{k.Fx, k.Fy, k.Cx, k.Cy},
	}}}
	var cameras []Camera
	for i := range c.options.Frames {
		if !k.spherical {
			cameras = append(cameras, c.Camera(i))
			continue
		}
		for v := range SphericalViews {
			cameras = append(cameras, c.Camera(i).view(v))
		}
	}
	if k.spherical {
		k = cameras[0]
		r.Cameras[0].Width, r.Cameras[0].Height, r.Cameras[0].Params = k.Width, k.Height, []float64{k.Fx, k.Fy, k.Cx, k.Cy}
	}
	for i, k := range cameras {
		name := Name(i)
		if c.with[Spherical] {
			name = ViewName(i/SphericalViews, i%SphericalViews)
		}
		r.Images = append(r.Images, scene.Image{
			ImageID: uint32(i + 1), CameraID: 1, Name: name,
			CamFromWorld: scene.Rigid3FromCenter([3][3]float64{k.Right, k.Down, k.Forward}, k.Position),
		})
	}
	if c.with[Noise] || c.with[Black] {
		return r
	}
	draw := &random{state: mix(c.options.Seed ^ 0x706f696e7473)}
	for len(r.Points3D) < truePoints {
		k := &cameras[draw.intn(len(cameras))]
		d := k.ray(draw.next()*float64(k.Width), draw.next()*float64(k.Height)).unit()
		var h hit
		c.world.first(vecOf(k.Position), d, c.world.things, &h)
		if h.on == nil {
			continue
		}
		at := vecOf(k.Position).at(h.t, d)
		red, green, blue := h.on.look.sample(h.u, h.v, h.t/k.Fx)
		p := scene.Point3D{Point3DID: uint64(len(r.Points3D) + 1), XYZ: at.array(),
			RGB: [3]uint8{displayed[red>>4], displayed[green>>4], displayed[blue>>4]}}
		for i := range cameras {
			x, y, sees := c.world.sees(&cameras[i], at)
			if !sees {
				continue
			}
			im := &r.Images[i]
			p.Track = append(p.Track, scene.TrackElement{ImageID: im.ImageID, Point2DIdx: uint32(len(im.Points2D))})
			im.Points2D = append(im.Points2D, scene.Point2D{X: x, Y: y, Point3DID: p.Point3DID})
		}
		r.Points3D = append(r.Points3D, p)
	}
	return r
}

// sees says whether a camera sees a point of a surface, and where in its picture.
func (w *world) sees(k *Camera, at vec) (x, y float64, ok bool) {
	x, y, depth := k.project(at)
	if !(depth > 0 && x >= 0 && x < float64(k.Width) && y >= 0 && y < float64(k.Height)) {
		return 0, 0, false
	}
	to := at.sub(vecOf(k.Position))
	distance := to.length()
	var h hit
	w.first(vecOf(k.Position), to.scale(1/distance), w.things, &h)
	// The ray must end at the point: 2 mm of slack, no grazing views.
	return x, y, h.on != nil && h.cos > 0.05 && math.Abs(h.t-distance) < 2e-3
}
