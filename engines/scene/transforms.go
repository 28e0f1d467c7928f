package scene

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
)

// Transforms is NeRF's transforms.json, as instant-ngp, nerfstudio and the apps that export for them write it.
type Transforms struct {
	Frames []TransformsFrame // in order of their file paths
}

// TransformsFrame is one image of a transforms.json.
type TransformsFrame struct {
	FilePath  string // cleaned; of some programs without extension
	DepthPath string // of the depth map, 16 bits of DepthUnit, where there is one
	DepthUnit float64
	// CamFromWorld is COLMAP's pose (x right, y down, z forward), in the world before applied_transform and applied_scale.
	CamFromWorld Rigid3

	intrinsics transformsCamera
}

// transformsFile is the part of the file that is read. Intrinsics are at the top, or in each frame where cameras differ.
type transformsFile struct {
	transformsCamera
	// AppliedTransform (3×4 or 4×4) and AppliedScale took the original world to that of the matrices: x' = scale·A·x.
	AppliedTransform [][]float64      `json:"applied_transform"`
	AppliedScale     float64          `json:"applied_scale"`
	DepthUnit        float64          `json:"depth_unit_scale_factor"` // nerfstudio's name
	IntegerDepth     float64          `json:"integer_depth_scale"`     // instant-ngp's
	Frames           []transformsShot `json:"frames"`
}

type transformsShot struct {
	transformsCamera
	FilePath        string      `json:"file_path"`
	DepthPath       string      `json:"depth_file_path"`
	DepthPathNGP    string      `json:"depth_path"`
	TransformMatrix [][]float64 `json:"transform_matrix"` // camera-to-world, 4×4, OpenGL camera axes
}

type transformsCamera struct {
	CameraModel  string  `json:"camera_model"`
	Fisheye      bool    `json:"is_fisheye"`
	W            float64 `json:"w"`
	H            float64 `json:"h"`
	FlX          float64 `json:"fl_x"`
	FlY          float64 `json:"fl_y"`
	CameraAngleX float64 `json:"camera_angle_x"` // of the whole width, radians
	CameraAngleY float64 `json:"camera_angle_y"`
	Cx           float64 `json:"cx"`
	Cy           float64 `json:"cy"`
	K1           float64 `json:"k1"`
	K2           float64 `json:"k2"`
	K3           float64 `json:"k3"`
	K4           float64 `json:"k4"`
	P1           float64 `json:"p1"`
	P2           float64 `json:"p2"`
}

// millimetre is the unit of depth maps where the file says nothing: that of nerfstudio, ARKit's apps and Record3D.
const millimetre = 1e-3

// ReadTransforms reads poses from transforms.json, for comparison: the result has cameras and images but no points. Images are
// numbered from 1 in order of their file paths and keep them as names, cleaned.
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
	t, err := DecodeTransforms(data)
	if err != nil {
		return nil, err
	}
	var r Reconstruction
	known := make(map[transformsCamera]uint32)
	for i := range t.Frames {
		frame := &t.Frames[i]
		if known[frame.intrinsics] == 0 {
			camera, err := frame.Camera(0, 0)
			if err != nil {
				return nil, fmt.Errorf("frame %s: %w", frame.FilePath, err)
			}
			camera.CameraID = uint32(len(r.Cameras) + 1)
			r.Cameras = append(r.Cameras, camera)
			known[frame.intrinsics] = camera.CameraID
		}
		r.Images = append(r.Images, Image{ImageID: uint32(i + 1), CameraID: known[frame.intrinsics], Name: frame.FilePath, CamFromWorld: frame.CamFromWorld})
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return &r, nil
}

// DecodeTransforms reads the file. It gives camera-to-world matrices for OpenGL's camera axes (x right, y up, z backward); the
// result is COLMAP's world-to-camera with x right, y down, z forward. What nerfstudio did to the world of structure from motion is
// undone (applied_transform, applied_scale), so that its file and the COLMAP model that it was made from agree.
func DecodeTransforms(data []byte) (*Transforms, error) {
	var file transformsFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	undo, err := file.undo()
	if err != nil {
		return nil, err
	}
	var t Transforms
	for _, shot := range file.Frames {
		pose, err := poseFromOpenGL(shot.TransformMatrix)
		if err != nil {
			return nil, fmt.Errorf("frame %s: %w", shot.FilePath, err)
		}
		pose = undo(pose)
		if !finite(pose.Translation[:]...) {
			return nil, fmt.Errorf("frame %s: the position is not finite", shot.FilePath)
		}
		f := TransformsFrame{FilePath: path.Clean(shot.FilePath), CamFromWorld: pose, intrinsics: shot.transformsCamera.or(file.transformsCamera),
			DepthUnit: cmp.Or(file.IntegerDepth, file.DepthUnit, millimetre)}
		if depth := cmp.Or(shot.DepthPath, shot.DepthPathNGP); depth != "" {
			f.DepthPath = path.Clean(depth)
		}
		t.Frames = append(t.Frames, f)
	}
	slices.SortStableFunc(t.Frames, func(a, b TransformsFrame) int { return cmp.Compare(a.FilePath, b.FilePath) })
	return &t, nil
}

// or fills what a frame does not say of its camera with what the file says of all.
func (c transformsCamera) or(all transformsCamera) transformsCamera {
	if c.FlX == 0 && c.CameraAngleX == 0 {
		c.FlX, c.FlY, c.CameraAngleX, c.CameraAngleY = all.FlX, all.FlY, all.CameraAngleX, all.CameraAngleY
	}
	if c.Cx == 0 && c.Cy == 0 {
		c.Cx, c.Cy = all.Cx, all.Cy
	}
	if c.W == 0 && c.H == 0 {
		c.W, c.H = all.W, all.H
	}
	if none := (transformsCamera{}); c.K1 == none.K1 && c.K2 == none.K2 && c.K3 == none.K3 && c.K4 == none.K4 && c.P1 == none.P1 && c.P2 == none.P2 {
		c.K1, c.K2, c.K3, c.K4, c.P1, c.P2 = all.K1, all.K2, all.K3, all.K4, all.P1, all.P2
	}
	c.CameraModel, c.Fisheye = cmp.Or(c.CameraModel, all.CameraModel), c.Fisheye || all.Fisheye
	return c
}

// undo is what takes poses from the file's world to the one before applied_transform and applied_scale.
func (t *transformsFile) undo() (func(Rigid3) Rigid3, error) {
	scale := cmp.Or(t.AppliedScale, 1)
	if !(scale > 0) || math.IsInf(scale, 0) {
		return nil, fmt.Errorf("applied_scale is %g", scale)
	}
	rotation, shift := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, [3]float64{}
	if t.AppliedTransform != nil {
		var err error
		if rotation, shift, err = rigid("applied_transform", t.AppliedTransform); err != nil {
			return nil, err
		}
	}
	return func(p Rigid3) Rigid3 {
		// x_cam = R·x' + t with x' = scale·(A·x + a); divided by scale, which the camera does not see.
		m := p.Matrix()
		moved := mulVec(m, shift)
		for k := range 3 {
			moved[k] += p.Translation[k] / scale
		}
		return Rigid3{Rotation: MatrixQuaternion(mulMat(m, rotation)), Translation: moved}
	}, nil
}

// Camera is the frame's for its image of a size in pixels, which counts where the file has none. The error is about missing or
// unknown intrinsics.
func (f *TransformsFrame) Camera(width, height int) (Camera, error) {
	c := f.intrinsics
	if c.W == 0 && c.H == 0 {
		c.W, c.H = float64(width), float64(height)
	}
	if !(c.W >= 1 && c.H >= 1 && c.W <= maxSide && c.H <= maxSide) {
		return Camera{}, fmt.Errorf("the size is %g×%g", c.W, c.H)
	}
	if c.FlX == 0 && c.CameraAngleX > 0 && c.CameraAngleX < math.Pi {
		c.FlX = c.W / 2 / math.Tan(c.CameraAngleX/2)
	}
	if c.FlY == 0 && c.CameraAngleY > 0 && c.CameraAngleY < math.Pi {
		c.FlY = c.H / 2 / math.Tan(c.CameraAngleY/2)
	}
	c.FlY = cmp.Or(c.FlY, c.FlX)
	if c.FlX == 0 {
		return Camera{}, ErrNoIntrinsics
	}
	c.Cx, c.Cy = cmp.Or(c.Cx, c.W/2), cmp.Or(c.Cy, c.H/2)
	model, params, err := c.model()
	if err != nil {
		return Camera{}, err
	}
	camera := Camera{CameraID: 1, Model: model, Width: int(c.W), Height: int(c.H), Params: params}
	return camera, camera.validate()
}

// ErrNoIntrinsics is the error of a frame of which no focal length is known.
var ErrNoIntrinsics = errors.New("there is no focal length (fl_x or camera_angle_x)")

// ErrNotRigid is in the error of a pose that is more than a rotation and a position.
var ErrNotRigid = errors.New("not a rigid motion")

// model is COLMAP's camera model with its parameters. Where the file names none, it is what the distortion needs.
func (c transformsCamera) model() (CameraModel, []float64, error) {
	four := []float64{c.FlX, c.FlY, c.Cx, c.Cy}
	opencv := append(slices.Clone(four), c.K1, c.K2, c.P1, c.P2)
	model := OpenCV
	if c.Fisheye {
		model = OpenCVFisheye
	}
	if c.CameraModel != "" {
		var err error
		if model, err = ParseCameraModel(c.CameraModel); err != nil {
			return 0, nil, err
		}
	}
	switch model {
	case Pinhole, SimplePinhole:
		return Pinhole, four, nil
	case OpenCV, FullOpenCV, SimpleRadial, Radial:
		// nerfstudio reads k3 and k4 as the terms of r⁶ and r⁸; COLMAP's models have the first.
		if c.K4 != 0 {
			return 0, nil, fmt.Errorf("%w: %v with a distortion k4", ErrUnknownModel, model)
		}
		if c.K3 != 0 {
			return FullOpenCV, append(opencv, c.K3, 0, 0, 0), nil
		}
		return OpenCV, opencv, nil
	case OpenCVFisheye:
		return OpenCVFisheye, append(four, c.K1, c.K2, c.K3, c.K4), nil
	}
	return 0, nil, fmt.Errorf("%w in transforms.json: %v (PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV and OPENCV_FISHEYE are read)", ErrUnknownModel, model)
}

// poseFromOpenGL turns a camera-to-world matrix with OpenGL camera axes into COLMAP's world-to-camera pose.
func poseFromOpenGL(m [][]float64) (Rigid3, error) {
	rotation, center, err := rigid("transform_matrix", m)
	if err != nil {
		return Rigid3{}, err
	}
	var camFromWorld [3][3]float64
	for i := range 3 {
		camFromWorld[0][i], camFromWorld[1][i], camFromWorld[2][i] = rotation[i][0], -rotation[i][1], -rotation[i][2]
	}
	return Rigid3FromCenter(camFromWorld, center), nil
}

// rigid is the rotation and the translation of a matrix of 3×4 or 4×4 numbers that is nothing else.
func rigid(what string, m [][]float64) (rotation [3][3]float64, translation [3]float64, err error) {
	if len(m) < 3 || len(m[0]) != 4 || len(m[1]) != 4 || len(m[2]) != 4 {
		return rotation, translation, fmt.Errorf("%s is not 4×4", what)
	}
	for i := range 3 {
		copy(rotation[i][:], m[i][:3])
		translation[i] = m[i][3]
	}
	product := mulMat(rotation, transpose(rotation))
	for i := range 3 {
		for j := range 3 {
			want := 0.0
			if i == j {
				want = 1
			}
			// The files are written by many tools, some in single precision.
			if d := product[i][j] - want; !(d <= 1e-3 && d >= -1e-3) {
				return rotation, translation, fmt.Errorf("%w: the upper left 3×3 of %s is not a rotation", ErrNotRigid, what)
			}
		}
	}
	if determinant(rotation) < 0 {
		return rotation, translation, fmt.Errorf("%w: the upper left 3×3 of %s is a reflection", ErrNotRigid, what)
	}
	return rotation, translation, nil
}
