package posed

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// Codes of failures. All are about the capture: a retry does not help.
const (
	BadPoses           = "bad_poses"             // a file is damaged, or contradicts the images
	NoIntrinsics       = "no_intrinsics"         // an image has a pose and no focal length
	UnknownCameraModel = "unknown_camera_model"  // or one that cannot be undistorted
	NotRigid           = "poses_not_rigid"       // a matrix stretches, skews or mirrors
	OtherImages        = "poses_of_other_images" // no name of a pose is that of an image
	TooFewPosed        = "too_few_poses"         // fewer than three images have one
)

const (
	adviceExport = "Export the poses again: as a COLMAP model (cameras, images and points3D, binary or text) or as transforms.json. Without them, leave the files out, and the poses are computed."
	adviceNames  = "The name of an image in the poses must be that of its file. Send the images that the poses were exported with."
	// mostPoses bounds the work of matching names; more images than that are not accepted either.
	mostPoses = 20_000
)

// MostBytes is the size up to which a file of poses is read: features of 2000 images in a COLMAP model, and far more matrices than are
// accepted in JSON, which takes ten times its size in memory.
func MostBytes(name string) int64 {
	if path.Ext(name) == ".json" {
		return 64 << 20
	}
	return 512 << 20
}

// Poses is a set, read.
type Poses struct {
	From  string // the name of the set
	poses []pose
	model *scene.Reconstruction // of a COLMAP model; its cameras and points
}

// pose is that of one image.
type pose struct {
	name         string
	camFromWorld scene.Rigid3
	image        int                    // in model.Images
	frame        *scene.TransformsFrame // of a transforms.json
}

func fail(code, advice, message string, args ...any) *fault.Failure {
	return fault.New(fault.Input, code, advice, message, args...)
}

// Read reads a set. contents gives the content of the file with an index; its error is returned as it is. Every other error is a
// *fault.Failure.
func (s Set) Read(contents func(i int) ([]byte, error)) (*Poses, error) {
	p := &Poses{From: s.Name}
	type part struct {
		file  int
		parse func([]byte) error
	}
	parts := []part{{s.Transforms, p.readTransforms}}
	if s.Transforms < 0 {
		p.model = &scene.Reconstruction{}
		cameras, images, points := scene.ParseCameras, scene.ParseImages, scene.ParsePoints3D
		if s.Text {
			cameras, images, points = scene.ParseCamerasText, scene.ParseImagesText, scene.ParsePoints3DText
		}
		parts = []part{
			{s.Cameras, func(data []byte) (err error) { p.model.Cameras, err = cameras(data); return err }},
			{s.Images, func(data []byte) (err error) { p.model.Images, err = images(data); return err }},
			{s.Points, func(data []byte) (err error) { p.model.Points3D, err = points(data); return err }},
		}
	}
	for _, part := range parts {
		if part.file < 0 {
			continue
		}
		data, err := contents(part.file)
		if err != nil {
			return nil, err
		}
		if err := part.parse(data); err != nil {
			return nil, refusal(s.Name, err)
		}
	}
	if p.model != nil {
		if err := p.takeModel(); err != nil {
			return nil, refusal(s.Name, err)
		}
	}
	if n := len(p.poses); n == 0 || n > mostPoses {
		return nil, fail(BadPoses, adviceExport, "%s holds %d poses; 3 to %d are accepted.", s.Name, n, mostPoses)
	}
	return p, nil
}

// refusal is the failure for what is wrong with a set.
func refusal(name string, err error) *fault.Failure {
	code := BadPoses
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, scene.ErrUnknownModel):
		code = UnknownCameraModel
	case errors.Is(err, scene.ErrNotRigid):
		code = NotRigid
	case errors.Is(err, scene.ErrNoIntrinsics):
		code = NoIntrinsics
	case errors.As(err, &syntax):
		err = fmt.Errorf("at byte %d: %w", syntax.Offset, err)
	}
	return fail(code, adviceExport, "The poses in %s cannot be used: %v.", name, err)
}

func (p *Poses) readTransforms(data []byte) error {
	t, err := scene.DecodeTransforms(data)
	if err != nil {
		return err
	}
	for i := range t.Frames {
		f := &t.Frames[i]
		p.poses = append(p.poses, pose{name: f.FilePath, camFromWorld: f.CamFromWorld, image: -1, frame: f})
	}
	return nil
}

// takeModel makes poses of the images of a COLMAP model, once what exporters do differently from COLMAP is mended: Windows' paths,
// quaternions in single precision, tracks without features.
func (p *Poses) takeModel() error {
	m := p.model
	for i := range m.Images {
		im := &m.Images[i]
		im.Name = localName(im.Name)
		q := &im.CamFromWorld.Rotation
		length := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
		if !(math.Abs(length-1) <= 1e-2) {
			return fmt.Errorf("%w: the rotation of %s is no unit quaternion, its length is %.4g", scene.ErrNotRigid, im.Name, length)
		}
		for k := range q {
			q[k] /= length
		}
		p.poses = append(p.poses, pose{name: im.Name, camFromWorld: im.CamFromWorld, image: i})
	}
	for i := range m.Cameras {
		if m.Cameras[i].Model == scene.Equirectangular {
			return fmt.Errorf("%w: EQUIRECTANGULAR cannot be undistorted to a flat picture", scene.ErrUnknownModel)
		}
	}
	m.DropDangling()
	return m.Validate()
}

// localName is a path within the folder of images, from what programs write: with backslashes, or from the root of a disk.
func localName(name string) string {
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if !filepath.IsLocal(filepath.FromSlash(name)) || strings.Contains(name, ":") {
		return path.Base(name)
	}
	return name
}

// Len is the number of poses.
func (p *Poses) Len() int { return len(p.poses) }

// Camera is that of a pose, for an image of a size in pixels, which counts where the set states none.
func (p *Poses) Camera(i, width, height int) (scene.Camera, error) {
	if f := p.poses[i].frame; f != nil {
		c, err := f.Camera(width, height)
		if err != nil {
			return c, refusal(p.From, fmt.Errorf("%s: %w", p.poses[i].name, err))
		}
		return c, nil
	}
	return *p.model.Camera(p.model.Images[p.poses[i].image].CameraID), nil
}

// Depth is the path of the depth map of a pose's image within the capture, and the unit of its values in the poses' world; "":
// there is none.
func (p *Poses) Depth(i int) (name string, unit float64) {
	f := p.poses[i].frame
	if f == nil || f.DepthPath == "" {
		return "", 0
	}
	return path.Join(path.Dir(p.From), f.DepthPath), f.DepthUnit
}
