package colmap

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // sizes of photos
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/scene"
)

// listImages names the files in a folder and its subfolders, in order, with slashes. Hidden files are left out.
func listImages(folder string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && path != folder {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			name, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// writeList writes one name a line, as COLMAP's image_list_path wants it.
func writeList(file string, names []string) error {
	return os.WriteFile(file, []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

// ImageInput is what is known of an image beyond its pixels. The zero value of a field says that nothing is.
type ImageInput struct {
	Name string
	// Camera is a number that images share which were taken with the same camera, lens and size.
	Camera int
	// FocalLengthPx is exact: of a pinhole camera whose principal point is the middle.
	FocalLengthPx float64
	// Frame says that the image is a frame of a video, and that its neighbours by name are its neighbours in time.
	Frame bool
	// Sensor is set for an image that was taken by a rig, beside FocalLengthPx.
	Sensor *Sensor
	// ENU is where the image was taken, by GPS, in metres to the east, to the north and up from a place near by.
	ENU *[3]float64
}

// frames says whether most images are frames of videos.
func (p Plan) frames() bool {
	n := 0
	for i := range p.Images {
		if p.Images[i].Frame {
			n++
		}
	}
	return p.Video || 2*n > len(p.Images)
}

// knownIntrinsics says whether the focal lengths of all files are exact. Where only some are, mappers refine all: what they
// keep, global_mapper keeps for every camera.
func (p Plan) knownIntrinsics(files []string) bool {
	known := make(map[string]bool, len(p.Images))
	for i := range p.Images {
		known[p.Images[i].Name] = p.Images[i].FocalLengthPx > 0
	}
	return !slices.ContainsFunc(files, func(file string) bool { return !known[file] })
}

// positions are the places by name that are known.
func (r *reconstructor) positions() map[string][3]float64 {
	positions := make(map[string][3]float64)
	for i := range r.plan.Images {
		if at := r.plan.Images[i].ENU; at != nil {
			positions[r.plan.Images[i].Name] = *at
		}
	}
	return positions
}

// cameraGroup is a set of images for one call of feature_extractor.
type cameraGroup struct {
	names  []string // of files
	single bool     // they share one camera
	model  string
	params []float64
}

// enoughForDistortion is the number of images of one camera from which eight parameters of it can be found.
const enoughForDistortion = 8

// cameraGroups decides which images share a camera, and what model it has. Frames of a video do, and images of which it
// is known. Other photos with EXIF data are left to COLMAP, which lets those share a camera whose maker, model, focal
// length and size agree. The rest share one if their sizes agree: separate cameras for each would leave mappers too many
// unknowns.
//
// Frames get OPENCV, with its tangential distortion, photos SIMPLE_RADIAL, of which each camera may have taken few.
func cameraGroups(plan Plan, names []string) ([]cameraGroup, error) {
	model := func(frames bool) string {
		switch {
		case plan.CameraModel != "":
			return plan.CameraModel
		case frames:
			return scene.OpenCV.String()
		}
		return scene.SimpleRadial.String()
	}
	if plan.Video {
		return []cameraGroup{{names: names, single: true, model: model(true)}}, nil
	}
	inputs := make(map[string]ImageInput, len(plan.Images))
	for _, input := range plan.Images {
		inputs[input.Name] = input
	}
	type key struct {
		camera int
		sensor int
		size   image.Point
	}
	withEXIF := cameraGroup{model: model(false)}
	groups := make(map[key]*cameraGroup)
	var order []key
	for _, name := range names {
		input := inputs[name]
		size, exif, err := inspect(filepath.Join(plan.ImagePath, filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		if exif && input.Camera == 0 {
			withEXIF.names = append(withEXIF.names, name)
			continue
		}
		k := key{camera: input.Camera, size: size}
		if input.Sensor != nil {
			k.sensor = input.Sensor.Number
		}
		if groups[k] == nil {
			g := &cameraGroup{single: true, model: model(input.Frame)}
			if f := input.FocalLengthPx; f > 0 && size != (image.Point{}) {
				g.model = scene.Pinhole.String()
				g.params = []float64{f, f, float64(size.X) / 2, float64(size.Y) / 2}
			}
			groups[k] = g
			order = append(order, k)
		}
		groups[k].names = append(groups[k].names, name)
	}
	var all []cameraGroup
	if len(withEXIF.names) > 0 {
		all = append(all, withEXIF)
	}
	for _, k := range order {
		if g := groups[k]; g.model == scene.OpenCV.String() && plan.CameraModel == "" && len(g.names) < enoughForDistortion {
			g.model = model(false)
		}
		all = append(all, *groups[k])
	}
	return all, nil
}

// inspect reads an image's size, which is 0×0 if the format is not known here (COLMAP may know it), and whether it
// carries EXIF data, which is near the start of the file.
func inspect(file string) (size image.Point, exif bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return image.Point{}, false, err
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return image.Point{}, false, err
	}
	head = head[:n]
	exif = bytes.Contains(head, []byte("Exif\x00\x00")) || bytes.Contains(head, []byte("eXIf"))
	if config, _, err := image.DecodeConfig(io.MultiReader(bytes.NewReader(head), f)); err == nil {
		size = image.Pt(config.Width, config.Height)
	}
	return size, exif, nil
}
