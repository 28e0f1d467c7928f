package sample

import (
	"encoding/json"
	"math"
	"os"
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
