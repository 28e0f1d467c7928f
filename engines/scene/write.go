package scene

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Write validates the reconstruction and writes it as a COLMAP binary model into a folder, which it makes if needed.
// Each file appears whole or not at all. COLMAP 3.8 to 4.2 read the result.
func (r *Reconstruction) Write(dir string) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("writing COLMAP model: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing COLMAP model: %w", err)
	}
	for _, part := range []struct {
		file string
		data []byte
	}{
		{CamerasFile, AppendCameras(nil, r.Cameras)},
		{ImagesFile, AppendImages(nil, r.Images)},
		{Points3DFile, AppendPoints3D(nil, r.Points3D)},
	} {
		if err := writeFile(filepath.Join(dir, part.file), part.data); err != nil {
			return fmt.Errorf("writing COLMAP model: %w", err)
		}
	}
	return nil
}

func writeFile(name string, data []byte) error {
	partial := name + ".partial"
	if err := os.WriteFile(partial, data, 0o644); err != nil {
		return err
	}
	return os.Rename(partial, name)
}

// AppendCameras encodes cameras.bin.
func AppendCameras(b []byte, cameras []Camera) []byte {
	b = appendU64(b, uint64(len(cameras)))
	for _, c := range cameras {
		b = appendU32(b, c.CameraID)
		b = appendU32(b, uint32(c.Model))
		b = appendU64(b, uint64(c.Width))
		b = appendU64(b, uint64(c.Height))
		b = appendF64(b, c.Params...)
	}
	return b
}

// AppendImages encodes images.bin.
func AppendImages(b []byte, images []Image) []byte {
	b = appendU64(b, uint64(len(images)))
	for i := range images {
		im := &images[i]
		b = appendU32(b, im.ImageID)
		b = appendF64(b, im.CamFromWorld.Rotation[:]...)
		b = appendF64(b, im.CamFromWorld.Translation[:]...)
		b = appendU32(b, im.CameraID)
		b = append(append(b, im.Name...), 0)
		b = appendU64(b, uint64(len(im.Points2D)))
		for _, p := range im.Points2D {
			b = appendU64(appendF64(b, p.X, p.Y), p.Point3DID)
		}
	}
	return b
}

// AppendPoints3D encodes points3D.bin.
func AppendPoints3D(b []byte, points []Point3D) []byte {
	b = appendU64(b, uint64(len(points)))
	for i := range points {
		p := &points[i]
		b = appendU64(b, p.Point3DID)
		b = appendF64(b, p.XYZ[:]...)
		b = append(b, p.RGB[:]...)
		b = appendF64(b, p.Error)
		b = appendU64(b, uint64(len(p.Track)))
		for _, element := range p.Track {
			b = appendU32(appendU32(b, element.ImageID), element.Point2DIdx)
		}
	}
	return b
}

func appendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func appendF64(b []byte, values ...float64) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}
