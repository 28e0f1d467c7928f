package colmap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// COLMAP takes a prior focal length from an image's EXIF data: the 35 mm equivalent, or the focal length in millimetres with
// the sensor's width that it knows for the camera or finds in the focal plane's resolution. Cameras write nonsense there, and
// editors leave it as it was when they crop. So what COLMAP took is looked at, whichever way it came, and where no lens has
// such a focal length, or no model comes of it, COLMAP gets the images without EXIF data.

// implausiblePriors names the images whose focal length no lens has, of those that COLMAP reported.
func (e Extracted) implausiblePriors() []string {
	var names []string
	for name, ratio := range e.FocalRatios {
		if !(ratio >= shortestFocal && ratio <= longestFocal) {
			names = append(names, name)
		}
	}
	return names
}

// priors counts the images whose focal length is not the factor that COLMAP is given for those without EXIF data.
func (e Extracted) priors() int {
	n := 0
	for _, ratio := range e.FocalRatios {
		if !(math.Abs(ratio-focalLengthFactor) < 1e-3) {
			n++
		}
	}
	return n
}

// withoutPriors has all that follows done from copies of the images without EXIF data, in a database of its own.
func (r *reconstructor) withoutPriors() error {
	folder := filepath.Join(r.plan.WorkPath, "bare")
	for _, file := range r.images {
		name := r.rigs.name(file)
		target := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("preparing images without EXIF data: %w", err)
		}
		if err := copyBare(target, filepath.Join(r.rigs.imagePath, filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("preparing images without EXIF data: %w", err)
		}
	}
	r.bare = folder
	return nil
}

// featurePath is the folder that features are found in.
func (r *reconstructor) featurePath() string {
	if r.bare != "" {
		return r.bare
	}
	return r.rigs.imagePath
}

// copyBare copies an image without its EXIF data and XMP. Other formats than JPEG are copied as they are.
func copyBare(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	r := bufio.NewReader(in)
	start, err := r.Peek(2)
	if err != nil || start[0] != 0xff || start[1] != 0xd8 {
		_, err = io.Copy(out, r)
		return err
	}
	if _, err := io.CopyN(out, r, 2); err != nil {
		return err
	}
	for {
		head, err := r.Peek(4)
		if err != nil || head[0] != 0xff || head[1] == 0xda || head[1] == 0xff {
			_, err = io.Copy(out, r) // pixels, or what is damaged
			return err
		}
		size := int64(binary.BigEndian.Uint16(head[2:])) + 2
		target := io.Writer(out)
		if head[1] == 0xe1 {
			target = io.Discard
		}
		if _, err := io.CopyN(target, r, size); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
