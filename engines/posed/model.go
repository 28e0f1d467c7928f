package posed

import (
	"slices"

	"github.com/splatworks/splatworks/engines/scene"
)

// Placed is an image that was made of a picture of the capture, perhaps smaller.
type Placed struct {
	Pose          int
	Name          string // of its file, which need not be that of the pose
	Width, Height int
}

// Model is the reconstruction with exactly these images, under their names and in their sizes: cameras, features and errors of
// points are scaled with them. It has the points of a COLMAP model that two of the images see, or whose tracks nobody wrote.
func (p *Poses) Model(images []Placed) (*scene.Reconstruction, error) {
	type key struct {
		camera        string
		width, height int
	}
	var out scene.Reconstruction
	known := map[key]uint32{}
	scales := map[uint32]float64{} // of widths, by id of the image
	renamed := map[uint32]uint32{} // ids of the model's images to those here
	for i, m := range images {
		camera, err := p.Camera(m.Pose, m.Width, m.Height)
		if err != nil {
			return nil, err
		}
		fitted := camera.Rescaled(m.Width, m.Height)
		k := key{fitted.Key(), m.Width, m.Height}
		if known[k] == 0 {
			known[k] = uint32(len(known) + 1)
			fitted.CameraID = known[k]
			out.Cameras = append(out.Cameras, fitted)
		}
		im := scene.Image{ImageID: uint32(i + 1), CameraID: known[k], Name: m.Name, CamFromWorld: p.poses[m.Pose].camFromWorld}
		sx, sy := float64(m.Width)/float64(camera.Width), float64(m.Height)/float64(camera.Height)
		if at := p.poses[m.Pose].image; at >= 0 {
			im.Points2D = slices.Clone(p.model.Images[at].Points2D)
			for k := range im.Points2D {
				im.Points2D[k].X *= sx
				im.Points2D[k].Y *= sy
			}
			renamed[p.model.Images[at].ImageID] = im.ImageID
		}
		scales[im.ImageID] = sx
		out.Images = append(out.Images, im)
	}
	if p.model != nil {
		out.Points3D = p.points(renamed, scales)
	}
	out.DropDangling()
	return &out, out.Validate()
}

// points are those of the model that count among some of its images.
func (p *Poses) points(renamed map[uint32]uint32, scales map[uint32]float64) []scene.Point3D {
	var points []scene.Point3D
	for _, point := range p.model.Points3D {
		var track []scene.TrackElement
		scale := 0.0
		for _, e := range point.Track {
			if id, ok := renamed[e.ImageID]; ok {
				track = append(track, scene.TrackElement{ImageID: id, Point2DIdx: e.Point2DIdx})
				scale += scales[id]
			}
		}
		if len(track) < 2 && len(point.Track) > 0 {
			continue
		}
		if len(track) > 0 && point.Error > 0 {
			point.Error *= scale / float64(len(track))
		}
		point.Track = track
		points = append(points, point)
	}
	return points
}
