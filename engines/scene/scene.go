// Package scene holds what structure from motion knows about a capture: cameras, posed images and a sparse point
// cloud. It reads and writes COLMAP's binary model, measures its quality and compares it with reference poses.
//
// In the flow it is between engines/colmap, which makes reconstructions, and everything that uses them: depth
// alignment, training, evaluation. It does not run COLMAP or decode images.
//
// Frames, quaternion order and pixel centres are COLMAP's; docs/conventions.md defines them.
package scene

import (
	"cmp"
	"math"
	"path"
	"slices"
	"sort"
	"strings"
)

// InvalidPoint3DID marks a Point2D that observes no triangulated point (COLMAP's kInvalidPoint3DId).
const InvalidPoint3DID uint64 = math.MaxUint64

// Reconstruction is COLMAP's term for one consistent set of cameras, registered images and points.
// The three slices are sorted by their ids, which are unique; [Reconstruction.Validate] states every other rule.
type Reconstruction struct {
	Cameras  []Camera
	Images   []Image
	Points3D []Point3D
}

// Image is one registered image: the pose it was taken from and the features found in it.
type Image struct {
	ImageID  uint32
	CameraID uint32
	// Name is the path of the image file relative to the folder of images, with slashes.
	Name string
	// CamFromWorld takes world points to the camera frame (x right, y down, z forward).
	CamFromWorld Rigid3
	Points2D     []Point2D
}

// Center is the camera centre in the world frame.
func (im *Image) Center() [3]float64 { return im.CamFromWorld.Center() }

// NumObservations counts the features of the image that observe a triangulated point. The global mapper's misplaced
// cameras often (not always) have very few.
func (im *Image) NumObservations() int {
	n := 0
	for i := range im.Points2D {
		if im.Points2D[i].Point3DID != InvalidPoint3DID {
			n++
		}
	}
	return n
}

// Point2D is a feature in an image, in pixels; the centre of the upper left pixel is (0.5, 0.5).
type Point2D struct {
	X, Y      float64
	Point3DID uint64 // InvalidPoint3DID when the feature was not triangulated
}

// Point3D is a triangulated point in the world frame.
type Point3D struct {
	Point3DID uint64
	XYZ       [3]float64
	RGB       [3]uint8
	Error     float64 // mean reprojection error over the track in pixels; negative when COLMAP did not compute it
	Track     []TrackElement
}

// TrackElement is one observation of a point: feature Point2DIdx of image ImageID.
type TrackElement struct {
	ImageID    uint32
	Point2DIdx uint32
}

// Camera returns the camera with the id, or nil.
func (r *Reconstruction) Camera(id uint32) *Camera {
	return find(r.Cameras, id, func(c *Camera) uint32 { return c.CameraID })
}

// Image returns the image with the id, or nil.
func (r *Reconstruction) Image(id uint32) *Image {
	return find(r.Images, id, func(im *Image) uint32 { return im.ImageID })
}

// Point3D returns the point with the id, or nil.
func (r *Reconstruction) Point3D(id uint64) *Point3D {
	return find(r.Points3D, id, func(p *Point3D) uint64 { return p.Point3DID })
}

// ImageByName returns the registered image of that name, or nil. It searches linearly; build a map for many names.
func (r *Reconstruction) ImageByName(name string) *Image {
	for i := range r.Images {
		if r.Images[i].Name == name {
			return &r.Images[i]
		}
	}
	return nil
}

// find searches a slice that is sorted by id.
func find[T any, ID cmp.Ordered](sorted []T, id ID, idOf func(*T) ID) *T {
	i := sort.Search(len(sorted), func(i int) bool { return idOf(&sorted[i]) >= id }) // by pointer: elements are large
	if i == len(sorted) || idOf(&sorted[i]) != id {
		return nil
	}
	return &sorted[i]
}

// stem is an image's name without folder and extension: what stays the same when frames are converted.
func stem(name string) string {
	base := path.Base(name)
	return strings.TrimSuffix(base, path.Ext(base))
}

// Without returns a copy without the named images. Points lose the observations in them; points that keep fewer than
// two go as well. Slices that do not change are shared with r.
func (r *Reconstruction) Without(names []string) *Reconstruction {
	out := &Reconstruction{Cameras: r.Cameras}
	gone := make(map[uint32]bool)
	for i := range r.Images {
		if slices.Contains(names, r.Images[i].Name) {
			gone[r.Images[i].ImageID] = true
		} else {
			out.Images = append(out.Images, r.Images[i])
		}
	}
	removed := make(map[uint64]bool)
	for _, p := range r.Points3D {
		track := make([]TrackElement, 0, len(p.Track))
		for _, element := range p.Track {
			if !gone[element.ImageID] {
				track = append(track, element)
			}
		}
		if len(track) < 2 && len(track) < len(p.Track) {
			removed[p.Point3DID] = true
			continue
		}
		p.Track = track
		out.Points3D = append(out.Points3D, p)
	}
	for i := range out.Images {
		out.Images[i].Points2D = slices.Clone(out.Images[i].Points2D)
		for j := range out.Images[i].Points2D {
			if p := &out.Images[i].Points2D[j]; removed[p.Point3DID] {
				p.Point3DID = InvalidPoint3DID
			}
		}
	}
	return out
}

// DropDangling removes what names something that does not exist: tracks in images or features that are missing or say otherwise,
// and features of points that are missing. Exporters of other programs leave such behind, and write points without tracks.
func (r *Reconstruction) DropDangling() {
	named := make(map[uint32][]bool, len(r.Images)) // features by image that a track holds
	for i := range r.Images {
		named[r.Images[i].ImageID] = make([]bool, len(r.Images[i].Points2D))
	}
	for i := range r.Points3D {
		p := &r.Points3D[i]
		p.Track = slices.DeleteFunc(p.Track, func(e TrackElement) bool {
			features, im, at := named[e.ImageID], r.Image(e.ImageID), uint64(e.Point2DIdx)
			if im == nil || at >= uint64(min(len(features), len(im.Points2D))) || features[at] || im.Points2D[at].Point3DID != p.Point3DID {
				return true
			}
			features[e.Point2DIdx] = true
			return false
		})
	}
	for i := range r.Images {
		im := &r.Images[i]
		for k := range im.Points2D {
			if features := named[im.ImageID]; k >= len(features) || !features[k] {
				im.Points2D[k].Point3DID = InvalidPoint3DID
			}
		}
	}
}
