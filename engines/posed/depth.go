package posed

import (
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"

	_ "image/jpeg" // colours of the images

	"github.com/splatworks/splatworks/engines/scene"
)

// DepthMap is a measured depth map of an image, as LiDAR phones write it: a PNG with 16 bits, 0 where nothing is known.
type DepthMap struct {
	Path       string
	Confidence string  // a PNG of the same size, the larger the surer; "": all count
	Unit       float64 // of its values, in units of the poses' world
}

const (
	// depthPoints is the number of points that are taken of all depth maps together.
	depthPoints = 20_000
	// mostDepthSide bounds a depth map in pixels; those of phones have 256.
	mostDepthSide = 4096
)

// AddDepthPoints gives a model points of depth maps, by the names of its images, each seen by its image. Only the surest half of
// the levels of confidence counts. Maps that cannot be read are counted, and left out.
func AddDepthPoints(r *scene.Reconstruction, folder string, maps map[string]DepthMap) (unreadable int) {
	next := uint64(1)
	for i := range r.Points3D {
		next = max(next, r.Points3D[i].Point3DID+1)
	}
	for i := range r.Images {
		m, ok := maps[r.Images[i].Name]
		if !ok {
			continue
		}
		points, err := m.points(r, &r.Images[i], folder, max(depthPoints/len(maps), 1))
		if err != nil {
			unreadable++
			continue
		}
		im := &r.Images[i]
		for _, p := range points {
			p.at.Point3DID, p.world.Point3DID = next, next
			p.world.Track = []scene.TrackElement{{ImageID: im.ImageID, Point2DIdx: uint32(len(im.Points2D))}}
			im.Points2D = append(im.Points2D, p.at)
			r.Points3D = append(r.Points3D, p.world)
			next++
		}
	}
	return unreadable
}

// seen is a point and where its image sees it.
type seen struct {
	at    scene.Point2D
	world scene.Point3D
}

// points are about a number of points of the map, on a grid. Distortion is left out of account: cameras with depth have little.
func (m DepthMap) points(r *scene.Reconstruction, im *scene.Image, folder string, most int) ([]seen, error) {
	depth, err := decodePNG(m.Path)
	if err != nil {
		return nil, err
	}
	sure, err := m.sure(depth.Bounds())
	if err != nil {
		return nil, err
	}
	colours, err := decodeFile(filepath.Join(folder, filepath.FromSlash(im.Name)))
	if err != nil {
		return nil, err
	}
	camera := r.Camera(im.CameraID)
	fx, fy, cx, cy := camera.Intrinsics()
	b := depth.Bounds()
	sx, sy := float64(camera.Width)/float64(b.Dx()), float64(camera.Height)/float64(b.Dy())
	stride := max(1, int(math.Sqrt(float64(b.Dx()*b.Dy())/float64(most))))
	var out []seen
	for y := b.Min.Y + stride/2; y < b.Max.Y; y += stride {
		for x := b.Min.X + stride/2; x < b.Max.X; x += stride {
			z := float64(gray16(depth, x, y)) * m.Unit
			if !(z > 0) || math.IsInf(z, 0) || !sure(x, y) {
				continue
			}
			u, v := (float64(x-b.Min.X)+0.5)*sx, (float64(y-b.Min.Y)+0.5)*sy
			red, green, blue, _ := colours.At(colours.Bounds().Min.X+int(u), colours.Bounds().Min.Y+int(v)).RGBA()
			out = append(out, seen{scene.Point2D{X: u, Y: v}, scene.Point3D{
				XYZ: im.CamFromWorld.Unapply([3]float64{(u - cx) / fx * z, (v - cy) / fy * z, z}), Error: -1,
				RGB: [3]uint8{uint8(red >> 8), uint8(green >> 8), uint8(blue >> 8)}}})
		}
	}
	return out, nil
}

// sure says which pixels of the map count.
func (m DepthMap) sure(size image.Rectangle) (func(x, y int) bool, error) {
	if m.Confidence == "" {
		return func(x, y int) bool { return true }, nil
	}
	c, err := decodePNG(m.Confidence)
	if err != nil {
		return nil, err
	}
	if c.Bounds() != size {
		return nil, fmt.Errorf("%s has another size than its depth map", m.Confidence)
	}
	highest := uint32(0)
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			highest = max(highest, gray16(c, x, y))
		}
	}
	return func(x, y int) bool { return 2*gray16(c, x, y) > highest }, nil
}

func gray16(m image.Image, x, y int) uint32 {
	switch g := m.(type) {
	case *image.Gray16:
		return uint32(g.Gray16At(x, y).Y)
	case *image.Gray:
		return uint32(g.GrayAt(x, y).Y)
	}
	v, _, _, _ := m.At(x, y).RGBA()
	return v
}

func decodePNG(file string) (image.Image, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	config, err := png.DecodeConfig(in)
	if err != nil {
		return nil, err
	}
	if config.Width > mostDepthSide || config.Height > mostDepthSide {
		return nil, fmt.Errorf("%s is %dx%d pixels large", file, config.Width, config.Height)
	}
	if _, err := in.Seek(0, 0); err != nil {
		return nil, err
	}
	return png.Decode(in)
}

func decodeFile(file string) (image.Image, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	m, _, err := image.Decode(in)
	return m, err
}
