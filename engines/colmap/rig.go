package colmap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/engines/scene"
)

// A rig, in COLMAP's words, is a set of sensors that are fixed to each other, and a frame is what they saw at one moment.
// COLMAP then looks for one pose for each frame instead of one for each image (https://colmap.github.io/rigs.html). The
// views that are cut out of a spherical picture are such a frame.

// Sensor says which sensor of a rig took an image, and in which frame. Images with the same Camera share the rig.
type Sensor struct {
	Number int
	Frame  string // images with the same were taken at the same moment
	// CamFromRig turns the rig's axes to the sensor's: a unit quaternion w, x, y, z. The sensors stand in one place.
	CamFromRig [4]float64
}

// rigs are those that took a plan's images. The zero value has none: COLMAP gets the images as they are.
type rigs struct {
	imagePath string // of all images under the names that COLMAP wants
	names     map[string]string
	files     map[string]string // by these names
	inputs    map[string]ImageInput
	sensors   map[int]map[int][4]float64 // CamFromRig by camera and number
}

// rigsOf finds the rigs among the files. Only a rig whose focal length is known is one.
func rigsOf(plan Plan, files []string) rigs {
	r := rigs{names: map[string]string{}, files: map[string]string{}, inputs: map[string]ImageInput{}, sensors: map[int]map[int][4]float64{}}
	there := make(map[string]bool, len(files))
	for _, file := range files {
		there[file] = true
	}
	for _, input := range plan.Images {
		s := input.Sensor
		if s == nil || !(input.FocalLengthPx > 0) || !there[input.Name] {
			continue
		}
		if r.sensors[input.Camera] == nil {
			r.sensors[input.Camera] = map[int][4]float64{}
		}
		r.sensors[input.Camera][s.Number] = s.CamFromRig
		name := sensorPrefix(input.Camera, s.Number) + s.Frame + path.Ext(input.Name)
		r.names[input.Name], r.files[name], r.inputs[input.Name] = name, input.Name, input
	}
	return r
}

// sensorPrefix begins the names of all images of a sensor.
func sensorPrefix(camera, number int) string { return fmt.Sprintf("rig%d/sensor%d/", camera, number) }

func (r *rigs) any() bool { return len(r.names) > 0 }

// name is what COLMAP calls a file.
func (r *rigs) name(file string) string {
	if name, ok := r.names[file]; ok {
		return name
	}
	return file
}

// file is the file of an image that COLMAP knows.
func (r *rigs) file(name string) string {
	if file, ok := r.files[name]; ok {
		return file
	}
	return name
}

// frame is what images have in common that have one pose.
func (r *rigs) frame(file string) string {
	if input, ok := r.inputs[file]; ok {
		return sensorPrefix(input.Camera, 0) + input.Sensor.Frame
	}
	return file
}

// frames counts the poses of n files.
func (r *rigs) frames(files []string) int {
	found := map[string]bool{}
	for _, file := range files {
		found[r.frame(file)] = true
	}
	return len(found)
}

// link lays out the files under COLMAP's names in a folder.
func (r *rigs) link(files []string, from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		link := filepath.Join(to, filepath.FromSlash(r.name(file)))
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(filepath.Join(from, filepath.FromSlash(file)), link); err != nil {
			return err
		}
	}
	r.imagePath = to
	return nil
}

// rigConfig is one rig in the file that rig_configurator reads.
type rigConfig struct {
	Cameras []rigCamera `json:"cameras"`
}

type rigCamera struct {
	ImagePrefix           string      `json:"image_prefix"` // of the names of its images; what follows names the frame
	RefSensor             bool        `json:"ref_sensor,omitempty"`
	CamFromRigRotation    *[4]float64 `json:"cam_from_rig_rotation,omitempty"`
	CamFromRigTranslation *[3]float64 `json:"cam_from_rig_translation,omitempty"`
}

// config describes the rigs to COLMAP, for which the axes of the first sensor are those of the rig.
func (r *rigs) config() []rigConfig {
	var configs []rigConfig
	for _, camera := range slices.Sorted(maps.Keys(r.sensors)) {
		var c rigConfig
		numbers := slices.Sorted(maps.Keys(r.sensors[camera]))
		for _, number := range numbers {
			sensor := rigCamera{ImagePrefix: sensorPrefix(camera, number), RefSensor: number == numbers[0]}
			if !sensor.RefSensor {
				turned := scene.MatrixQuaternion(turn(r.sensors[camera][numbers[0]], r.sensors[camera][number]))
				sensor.CamFromRigRotation, sensor.CamFromRigTranslation = &turned, new([3]float64)
			}
			c.Cameras = append(c.Cameras, sensor)
		}
		configs = append(configs, c)
	}
	return configs
}

// turn is the rotation from one sensor's axes to another's.
func turn(from, to [4]float64) (m [3][3]float64) {
	a, b := scene.QuaternionMatrix(from), scene.QuaternionMatrix(to)
	for i := range 3 {
		for j := range 3 {
			m[i][j] = dot(b[i], a[j])
		}
	}
	return m
}

// configureRigs writes the rigs into the database, which comes between features and matches.
func (r *reconstructor) configureRigs(ctx context.Context) error {
	if !r.rigs.any() {
		return nil
	}
	config, err := json.MarshalIndent(r.rigs.config(), "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(r.plan.WorkPath, "rigs.json")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return fmt.Errorf("describing rigs: %w", err)
	}
	return r.ran(r.colmap.RigConfigurator(ctx, r.databasePath(), file))
}

// narrow blackens a mask where another sensor of the rig sees the same nearer to its middle: a thing that several sensors
// see from one place is found, and matched, once.
func (r *rigs) narrow(mask, file string) error {
	input := r.inputs[file]
	in, err := os.Open(mask)
	if err != nil {
		return err
	}
	picture, err := png.Decode(in)
	in.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", mask, err)
	}
	var axes [][3]float64 // of the other sensors, seen from this one
	for number, rotation := range r.sensors[input.Camera] {
		if number != input.Sensor.Number {
			m := turn(rotation, input.Sensor.CamFromRig)
			axes = append(axes, [3]float64{m[0][2], m[1][2], m[2][2]})
		}
	}
	b := picture.Bounds()
	own := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			ray := [3]float64{float64(x) + 0.5 - float64(b.Dx())/2, float64(y) + 0.5 - float64(b.Dy())/2, input.FocalLengthPx}
			if !slices.ContainsFunc(axes, func(axis [3]float64) bool { return dot(axis, ray) > ray[2] }) {
				own.SetGray(x, y, color.GrayModel.Convert(picture.At(b.Min.X+x, b.Min.Y+y)).(color.Gray))
			}
		}
	}
	out, err := os.Create(mask)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(out, own), out.Close())
}
