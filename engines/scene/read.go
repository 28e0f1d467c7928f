package scene

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// The three files of COLMAP's binary model. COLMAP since 3.12 also writes rigs.bin and frames.bin; these three stay
// self-sufficient: images.bin holds the pose of each image, of a rig too.
const (
	CamerasFile  = "cameras.bin"
	ImagesFile   = "images.bin"
	Points3DFile = "points3D.bin"
)

// Read reads and validates the COLMAP binary model in a folder. Errors name the file and what is wrong with it.
func Read(dir string) (*Reconstruction, error) {
	var r Reconstruction
	for _, part := range []struct {
		file  string
		parse func([]byte) error
	}{
		{CamerasFile, func(data []byte) (err error) { r.Cameras, err = ParseCameras(data); return err }},
		{ImagesFile, func(data []byte) (err error) { r.Images, err = ParseImages(data); return err }},
		{Points3DFile, func(data []byte) (err error) { r.Points3D, err = ParsePoints3D(data); return err }},
	} {
		data, err := os.ReadFile(filepath.Join(dir, part.file))
		if err != nil {
			return nil, fmt.Errorf("reading COLMAP model: %w", err)
		}
		if err := part.parse(data); err != nil {
			return nil, fmt.Errorf("reading COLMAP model %s: %w", filepath.Join(dir, part.file), err)
		}
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("COLMAP model %s: %w", dir, err)
	}
	return &r, nil
}

// ParseCameras decodes cameras.bin.
func ParseCameras(data []byte) ([]Camera, error) {
	d := decoder{data: data}
	cameras := make([]Camera, 0, d.count("cameras", 4+4+8+8+8*2))
	for range cap(cameras) {
		c := Camera{CameraID: d.u32(), Model: CameraModel(d.u32())}
		width, height := d.u64(), d.u64()
		if d.err == nil && !c.Model.Known() {
			return nil, fmt.Errorf("camera %d: %w %d (COLMAP 4.2 knows 0 to %d)", c.CameraID, ErrUnknownModel, int32(c.Model), numCameraModels-1)
		}
		if d.err == nil && (width == 0 || height == 0 || width > maxSide || height > maxSide) {
			return nil, fmt.Errorf("camera %d has the size %d×%d", c.CameraID, width, height)
		}
		c.Width, c.Height = int(width), int(height)
		c.Params = make([]float64, c.Model.NumParams())
		for i := range c.Params {
			c.Params[i] = d.f64()
		}
		if d.err != nil {
			return nil, fmt.Errorf("camera %d of %d: %w", len(cameras), cap(cameras), d.err)
		}
		cameras = append(cameras, c)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(cameras, func(a, b Camera) int { return cmp.Compare(a.CameraID, b.CameraID) })
	return cameras, nil
}

// ParseImages decodes images.bin.
func ParseImages(data []byte) ([]Image, error) {
	d := decoder{data: data}
	images := make([]Image, 0, d.count("images", 4+7*8+4+1+8))
	for range cap(images) {
		var im Image
		im.ImageID = d.u32()
		for i := range im.CamFromWorld.Rotation {
			im.CamFromWorld.Rotation[i] = d.f64()
		}
		for i := range im.CamFromWorld.Translation {
			im.CamFromWorld.Translation[i] = d.f64()
		}
		im.CameraID = d.u32()
		im.Name = d.text()
		im.Points2D = make([]Point2D, d.count("features", 8+8+8))
		for i := range im.Points2D {
			im.Points2D[i] = Point2D{X: d.f64(), Y: d.f64(), Point3DID: d.u64()}
		}
		if d.err != nil {
			return nil, fmt.Errorf("image %d of %d: %w", len(images), cap(images), d.err)
		}
		images = append(images, im)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(images, func(a, b Image) int { return cmp.Compare(a.ImageID, b.ImageID) })
	return images, nil
}

// ParsePoints3D decodes points3D.bin.
func ParsePoints3D(data []byte) ([]Point3D, error) {
	d := decoder{data: data}
	points := make([]Point3D, 0, d.count("points", 8+3*8+3+8+8))
	for range cap(points) {
		p := Point3D{Point3DID: d.u64()}
		for i := range p.XYZ {
			p.XYZ[i] = d.f64()
		}
		for i := range p.RGB {
			p.RGB[i] = d.u8()
		}
		p.Error = d.f64()
		p.Track = make([]TrackElement, d.count("track elements", 4+4))
		for i := range p.Track {
			p.Track[i] = TrackElement{ImageID: d.u32(), Point2DIdx: d.u32()}
		}
		if d.err != nil {
			return nil, fmt.Errorf("point %d of %d: %w", len(points), cap(points), d.err)
		}
		points = append(points, p)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(points, func(a, b Point3D) int { return cmp.Compare(a.Point3DID, b.Point3DID) })
	return points, nil
}

// decoder reads little-endian values and remembers the first failure. Counts are checked against the bytes that are
// left, so that a damaged file can never ask for more memory than a few times its size.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) take(n int) []byte {
	if d.err == nil && len(d.data) < n {
		d.err = fmt.Errorf("the file ends %d bytes early", n-len(d.data))
	}
	if d.err != nil {
		return make([]byte, n)
	}
	head := d.data[:n]
	d.data = d.data[n:]
	return head
}

func (d *decoder) u8() uint8    { return d.take(1)[0] }
func (d *decoder) u32() uint32  { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64  { return binary.LittleEndian.Uint64(d.take(8)) }
func (d *decoder) f64() float64 { return math.Float64frombits(d.u64()) }

// count reads a number of records of which each takes at least minBytes.
func (d *decoder) count(what string, minBytes int) int {
	n := d.u64()
	if d.err != nil {
		return 0
	}
	if n > uint64(len(d.data)/minBytes) {
		d.err = fmt.Errorf("%d %s cannot be in the %d bytes that are left", n, what, len(d.data))
		return 0
	}
	return int(n)
}

// text reads bytes up to a NUL.
func (d *decoder) text() string {
	if d.err != nil {
		return ""
	}
	for i, b := range d.data {
		if b == 0 {
			s := string(d.data[:i])
			d.data = d.data[i+1:]
			return s
		}
	}
	d.err = fmt.Errorf("a name is not terminated")
	return ""
}

// end reports an earlier failure, or bytes that should not be there.
func (d *decoder) end() error {
	if d.err == nil && len(d.data) > 0 {
		d.err = fmt.Errorf("%d bytes follow the last record", len(d.data))
	}
	return d.err
}
