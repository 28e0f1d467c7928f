package scene

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
)

// transforms is the part of NeRF's transforms.json that says where cameras are. Intrinsics are at the top, or in
// each frame where cameras differ.
type transforms struct {
	transformsCamera
	Frames []transformsFrame `json:"frames"`
}

type transformsFrame struct {
	transformsCamera
	FilePath        string      `json:"file_path"`
	TransformMatrix [][]float64 `json:"transform_matrix"` // camera-to-world, 4×4, OpenGL camera axes
}

type transformsCamera struct {
	CameraModel string  `json:"camera_model"`
	W           float64 `json:"w"`
	H           float64 `json:"h"`
	FlX         float64 `json:"fl_x"`
	FlY         float64 `json:"fl_y"`
	Cx          float64 `json:"cx"`
	Cy          float64 `json:"cy"`
	K1          float64 `json:"k1"`
	K2          float64 `json:"k2"`
	P1          float64 `json:"p1"`
	P2          float64 `json:"p2"`
}

// ReadTransforms reads poses from NeRF's transforms.json (instant-ngp and nerfstudio write it), for comparison: the
// result has cameras and images but no points. Images are numbered from 1 in order of their file paths and keep them
// as names, cleaned.
//
// The file gives camera-to-world matrices for OpenGL's camera axes (x right, y up, z backward); the result is COLMAP's
// world-to-camera with x right, y down, z forward. The world frame is left as it is.
func ReadTransforms(file string) (*Reconstruction, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading transforms: %w", err)
	}
	r, err := ParseTransforms(data)
	if err != nil {
		return nil, fmt.Errorf("reading transforms %s: %w", file, err)
	}
	return r, nil
}

// ParseTransforms is ReadTransforms on the bytes of the file.
func ParseTransforms(data []byte) (*Reconstruction, error) {
	var t transforms
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, err
	}
	slices.SortStableFunc(t.Frames, func(a, b transformsFrame) int { return cmp.Compare(a.FilePath, b.FilePath) })
	var r Reconstruction
	known := make(map[transformsCamera]uint32)
	for i, frame := range t.Frames {
		intrinsics := frame.transformsCamera
		if intrinsics == (transformsCamera{}) {
			intrinsics = t.transformsCamera
		}
		if known[intrinsics] == 0 {
			camera, err := intrinsics.camera(uint32(len(r.Cameras) + 1))
			if err != nil {
				return nil, fmt.Errorf("frame %s: %w", frame.FilePath, err)
			}
			r.Cameras = append(r.Cameras, camera)
			known[intrinsics] = camera.CameraID
		}
		pose, err := poseFromOpenGL(frame.TransformMatrix)
		if err != nil {
			return nil, fmt.Errorf("frame %s: %w", frame.FilePath, err)
		}
		r.Images = append(r.Images, Image{
			ImageID:      uint32(i + 1),
			CameraID:     known[intrinsics],
			Name:         path.Clean(frame.FilePath),
			CamFromWorld: pose,
		})
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return &r, nil
}

func (c transformsCamera) camera(id uint32) (Camera, error) {
	if c.FlY == 0 {
		c.FlY = c.FlX
	}
	camera := Camera{CameraID: id, Model: OpenCV, Width: int(c.W), Height: int(c.H),
		Params: []float64{c.FlX, c.FlY, c.Cx, c.Cy, c.K1, c.K2, c.P1, c.P2}}
	if c.CameraModel != "" {
		model, err := ParseCameraModel(c.CameraModel)
		if err != nil {
			return Camera{}, err
		}
		switch model {
		case OpenCV:
		case Pinhole:
			camera.Model, camera.Params = Pinhole, camera.Params[:4]
		default:
			return Camera{}, fmt.Errorf("camera model %v is not read from transforms.json (OPENCV and PINHOLE are)", model)
		}
	}
	return camera, camera.validate()
}

// poseFromOpenGL turns a camera-to-world matrix with OpenGL camera axes into COLMAP's world-to-camera pose.
func poseFromOpenGL(m [][]float64) (Rigid3, error) {
	if len(m) < 3 || len(m[0]) != 4 || len(m[1]) != 4 || len(m[2]) != 4 {
		return Rigid3{}, fmt.Errorf("transform_matrix is not 4×4")
	}
	var camFromWorld [3][3]float64
	var center [3]float64
	for i := range 3 {
		camFromWorld[0][i], camFromWorld[1][i], camFromWorld[2][i] = m[i][0], -m[i][1], -m[i][2]
		center[i] = m[i][3]
	}
	product := mulMat(camFromWorld, transpose(camFromWorld))
	for i := range 3 {
		for j := range 3 {
			want := 0.0
			if i == j {
				want = 1
			}
			// The files are written by many tools, some in single precision.
			if d := product[i][j] - want; !(d <= 1e-3 && d >= -1e-3) {
				return Rigid3{}, fmt.Errorf("the upper left 3×3 of transform_matrix is not a rotation")
			}
		}
	}
	if determinant(camFromWorld) < 0 {
		return Rigid3{}, fmt.Errorf("the upper left 3×3 of transform_matrix is a reflection")
	}
	return Rigid3FromCenter(camFromWorld, center), nil
}
