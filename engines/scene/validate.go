package scene

import (
	"fmt"
	"math"
	"path/filepath"
)

// maxSide bounds an image's side in pixels; the largest stitched panoramas stay below it.
const maxSide = 1 << 20

// Validate checks that the reconstruction is consistent, so that nothing that uses it has to: ids sorted and unique,
// every reference resolved in both directions, all numbers finite, unit quaternions (±1e-3), positive focal lengths,
// image names that stay inside their folder.
func (r *Reconstruction) Validate() error {
	for i := range r.Cameras {
		if i > 0 && r.Cameras[i].CameraID <= r.Cameras[i-1].CameraID {
			return fmt.Errorf("camera %d occurs twice or is out of order", r.Cameras[i].CameraID)
		}
		if err := r.Cameras[i].validate(); err != nil {
			return fmt.Errorf("camera %d: %w", r.Cameras[i].CameraID, err)
		}
	}
	names := make(map[string]bool, len(r.Images))
	for i := range r.Images {
		im := &r.Images[i]
		if i > 0 && im.ImageID <= r.Images[i-1].ImageID {
			return fmt.Errorf("image %d occurs twice or is out of order", im.ImageID)
		}
		if names[im.Name] {
			return fmt.Errorf("image %d: the name %q occurs twice", im.ImageID, im.Name)
		}
		names[im.Name] = true
		if err := r.validateImage(im); err != nil {
			return fmt.Errorf("image %d (%s): %w", im.ImageID, im.Name, err)
		}
	}
	for i := range r.Points3D {
		if i > 0 && r.Points3D[i].Point3DID <= r.Points3D[i-1].Point3DID {
			return fmt.Errorf("point %d occurs twice or is out of order", r.Points3D[i].Point3DID)
		}
		if err := r.validatePoint(&r.Points3D[i]); err != nil {
			return fmt.Errorf("point %d: %w", r.Points3D[i].Point3DID, err)
		}
	}
	return nil
}

func (c *Camera) validate() error {
	if !c.Model.Known() {
		return fmt.Errorf("unknown camera model %d", int32(c.Model))
	}
	if len(c.Params) != c.Model.NumParams() {
		return fmt.Errorf("%v has %d parameters, not %d", c.Model, c.Model.NumParams(), len(c.Params))
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > maxSide || c.Height > maxSide {
		return fmt.Errorf("the size is %d×%d", c.Width, c.Height)
	}
	if !finite(c.Params...) {
		return fmt.Errorf("parameters %v are not finite", c.Params)
	}
	for _, focal := range c.Params[:cameraModels[c.Model].numFocal] {
		if !(focal > 0) {
			return fmt.Errorf("the focal length is %g", focal)
		}
	}
	return nil
}

func (r *Reconstruction) validateImage(im *Image) error {
	if r.Camera(im.CameraID) == nil {
		return fmt.Errorf("camera %d does not exist", im.CameraID)
	}
	if !filepath.IsLocal(filepath.FromSlash(im.Name)) {
		return fmt.Errorf("the name is empty or leaves the folder of images")
	}
	q, t := im.CamFromWorld.Rotation, im.CamFromWorld.Translation
	length := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
	if !(math.Abs(length-1) <= 1e-3) {
		return fmt.Errorf("the rotation %v is not a unit quaternion", q)
	}
	if !finite(t[:]...) {
		return fmt.Errorf("the translation %v is not finite", t)
	}
	for idx, p := range im.Points2D {
		if !finite(p.X, p.Y) {
			return fmt.Errorf("feature %d is at (%g, %g)", idx, p.X, p.Y)
		}
		if p.Point3DID != InvalidPoint3DID && r.Point3D(p.Point3DID) == nil {
			return fmt.Errorf("feature %d observes point %d, which does not exist", idx, p.Point3DID)
		}
	}
	return nil
}

func (r *Reconstruction) validatePoint(p *Point3D) error {
	if !finite(p.XYZ[:]...) {
		return fmt.Errorf("the position %v is not finite", p.XYZ)
	}
	if math.IsNaN(p.Error) || math.IsInf(p.Error, 0) {
		return fmt.Errorf("the reprojection error is %g", p.Error)
	}
	for _, element := range p.Track {
		im := r.Image(element.ImageID)
		if im == nil {
			return fmt.Errorf("its track names image %d, which does not exist", element.ImageID)
		}
		if uint64(element.Point2DIdx) >= uint64(len(im.Points2D)) {
			return fmt.Errorf("its track names feature %d of image %d, which has %d", element.Point2DIdx, element.ImageID, len(im.Points2D))
		}
		if back := im.Points2D[element.Point2DIdx].Point3DID; back != p.Point3DID {
			return fmt.Errorf("its track names feature %d of image %d, which observes another point", element.Point2DIdx, element.ImageID)
		}
	}
	return nil
}

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
