package scene

import (
	"errors"
	"fmt"
	"strings"
)

// CameraModel is COLMAP's camera model id as it is in cameras.bin.
type CameraModel int32

// The camera models of COLMAP 4.2 (src/colmap/sensor/models.h), with their parameters in order.
const (
	SimplePinhole          CameraModel = 0  // f, cx, cy
	Pinhole                CameraModel = 1  // fx, fy, cx, cy
	SimpleRadial           CameraModel = 2  // f, cx, cy, k
	Radial                 CameraModel = 3  // f, cx, cy, k1, k2
	OpenCV                 CameraModel = 4  // fx, fy, cx, cy, k1, k2, p1, p2
	OpenCVFisheye          CameraModel = 5  // fx, fy, cx, cy, k1, k2, k3, k4
	FullOpenCV             CameraModel = 6  // fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, k5, k6
	FOV                    CameraModel = 7  // fx, fy, cx, cy, omega
	SimpleRadialFisheye    CameraModel = 8  // f, cx, cy, k
	RadialFisheye          CameraModel = 9  // f, cx, cy, k1, k2
	ThinPrismFisheye       CameraModel = 10 // fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, sx1, sy1
	RadTanThinPrismFisheye CameraModel = 11 // fx, fy, cx, cy, k0..k5, p0, p1, s0..s3
	SimpleDivision         CameraModel = 12 // f, cx, cy, k
	Division               CameraModel = 13 // fx, fy, cx, cy, k
	SimpleFisheye          CameraModel = 14 // f, cx, cy
	Fisheye                CameraModel = 15 // fx, fy, cx, cy
	EUCM                   CameraModel = 16 // fx, fy, cx, cy, alpha, beta
	Equirectangular        CameraModel = 17 // w, h
	numCameraModels                    = 18
)

// cameraModels gives name, number of parameters and how many of them, from the first, are focal lengths.
var cameraModels = [numCameraModels]struct {
	name      string
	numParams int
	numFocal  int
}{
	SimplePinhole:          {"SIMPLE_PINHOLE", 3, 1},
	Pinhole:                {"PINHOLE", 4, 2},
	SimpleRadial:           {"SIMPLE_RADIAL", 4, 1},
	Radial:                 {"RADIAL", 5, 1},
	OpenCV:                 {"OPENCV", 8, 2},
	OpenCVFisheye:          {"OPENCV_FISHEYE", 8, 2},
	FullOpenCV:             {"FULL_OPENCV", 12, 2},
	FOV:                    {"FOV", 5, 2},
	SimpleRadialFisheye:    {"SIMPLE_RADIAL_FISHEYE", 4, 1},
	RadialFisheye:          {"RADIAL_FISHEYE", 5, 1},
	ThinPrismFisheye:       {"THIN_PRISM_FISHEYE", 12, 2},
	RadTanThinPrismFisheye: {"RAD_TAN_THIN_PRISM_FISHEYE", 16, 2},
	SimpleDivision:         {"SIMPLE_DIVISION", 4, 1},
	Division:               {"DIVISION", 5, 2},
	SimpleFisheye:          {"SIMPLE_FISHEYE", 3, 1},
	Fisheye:                {"FISHEYE", 4, 2},
	EUCM:                   {"EUCM", 6, 2},
	Equirectangular:        {"EQUIRECTANGULAR", 2, 0},
}

// ErrUnknownModel is in the error of a camera whose model is not one of those above, or cannot be used where it is found.
var ErrUnknownModel = errors.New("unknown camera model")

// Known says whether the id is one of COLMAP's models.
func (m CameraModel) Known() bool { return m >= 0 && m < numCameraModels }

// String is COLMAP's name of the model, as ImageReader.camera_model takes it.
func (m CameraModel) String() string {
	if !m.Known() {
		return fmt.Sprintf("CameraModel(%d)", int32(m))
	}
	return cameraModels[m].name
}

// NumParams is the number of parameters, or 0 for an unknown model.
func (m CameraModel) NumParams() int {
	if !m.Known() {
		return 0
	}
	return cameraModels[m].numParams
}

// ParseCameraModel finds a model by COLMAP's name for it.
func ParseCameraModel(name string) (CameraModel, error) {
	for m := range cameraModels {
		if strings.EqualFold(cameraModels[m].name, name) {
			return CameraModel(m), nil
		}
	}
	return 0, fmt.Errorf("%w %q (COLMAP's names, such as PINHOLE or SIMPLE_RADIAL)", ErrUnknownModel, name)
}

// Camera is the intrinsic calibration that one or more images share.
type Camera struct {
	CameraID      uint32
	Model         CameraModel
	Width, Height int       // of the image, in pixels
	Params        []float64 // as the model orders them; focal lengths and principal point in pixels
}

// Pinhole returns focal lengths and principal point in pixels. It is an error for a model with distortion: such images
// must be undistorted first, which COLMAP's image_undistorter does.
func (c *Camera) Pinhole() (fx, fy, cx, cy float64, err error) {
	switch {
	case c.Model == SimplePinhole && len(c.Params) == 3:
		return c.Params[0], c.Params[0], c.Params[1], c.Params[2], nil
	case c.Model == Pinhole && len(c.Params) == 4:
		return c.Params[0], c.Params[1], c.Params[2], c.Params[3], nil
	}
	return 0, 0, 0, 0, fmt.Errorf("camera %d has model %v, not PINHOLE: undistort the images first (colmap image_undistorter)", c.CameraID, c.Model)
}

// FocalLength is the mean focal length in pixels, or 0 for a model without one.
func (c *Camera) FocalLength() float64 {
	if !c.Model.Known() || len(c.Params) < cameraModels[c.Model].numFocal {
		return 0
	}
	switch cameraModels[c.Model].numFocal {
	case 1:
		return c.Params[0]
	case 2:
		return (c.Params[0] + c.Params[1]) / 2
	}
	return 0
}

// Rescaled returns the camera for its image resized to width×height pixels. Focal lengths and principal point scale
// with the side they belong to; distortion parameters have no unit and stay.
func (c *Camera) Rescaled(width, height int) Camera {
	out := *c
	out.Width, out.Height = width, height
	out.Params = append([]float64(nil), c.Params...)
	if c.Width <= 0 || c.Height <= 0 {
		return out
	}
	sx, sy := float64(width)/float64(c.Width), float64(height)/float64(c.Height)
	p := out.Params
	switch {
	case c.Model == Equirectangular:
		p[0], p[1] = p[0]*sx, p[1]*sy
	case cameraModels[c.Model].numFocal == 1:
		// One focal length for both axes: the mean, as COLMAP rescales it.
		p[0], p[1], p[2] = p[0]*(sx+sy)/2, p[1]*sx, p[2]*sy
	default:
		p[0], p[1], p[2], p[3] = p[0]*sx, p[1]*sy, p[2]*sx, p[3]*sy
	}
	return out
}

// Key is the same for cameras that are alike in everything but their id.
func (c *Camera) Key() string { return fmt.Sprint(c.Model, c.Width, c.Height, c.Params) }

// Intrinsics are focal lengths and principal point in pixels, of a model without focal lengths all 0.
func (c *Camera) Intrinsics() (fx, fy, cx, cy float64) {
	if !c.Model.Known() || len(c.Params) != c.Model.NumParams() {
		return 0, 0, 0, 0
	}
	switch cameraModels[c.Model].numFocal {
	case 1:
		return c.Params[0], c.Params[0], c.Params[1], c.Params[2]
	case 2:
		return c.Params[0], c.Params[1], c.Params[2], c.Params[3]
	}
	return 0, 0, 0, 0
}
