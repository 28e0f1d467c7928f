package colmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// around are n frames of a rig of six sensors on the horizon, 90 degrees wide, written as pictures of edge pixels.
func around(t *testing.T, n, edge int) (folder string, inputs []ImageInput) {
	t.Helper()
	folder = t.TempDir()
	for frame := range n {
		for k := range 6 {
			name := fmt.Sprintf("f%d_view_%d.jpg", frame, k)
			out, err := os.Create(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(jpeg.Encode(out, image.NewGray(image.Rect(0, 0, edge, edge)), nil), out.Close()); err != nil {
				t.Fatal(err)
			}
			s, c := math.Sincos(-math.Pi * float64(k) / 6)
			inputs = append(inputs, ImageInput{Name: name, Camera: 1, FocalLengthPx: float64(edge) / 2, Frame: true,
				Sensor: &Sensor{Number: k, Frame: fmt.Sprintf("f%d", frame), CamFromRig: [4]float64{c, 0, s, 0}}})
		}
	}
	return folder, inputs
}

// COLMAP gets the rig between features and matches, finds its images under the names that it wants, and refines
// nothing that is known.
func TestRigCommands(t *testing.T) {
	const edge = 60
	folder, inputs := around(t, 8, edge)
	masks := t.TempDir()
	hidden := image.NewGray(image.Rect(0, 0, edge, edge)) // all of one view
	out, err := os.Create(filepath.Join(masks, "f3_view_2.jpg.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(out, hidden), out.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := fake(t, `echo "$*" >> "`+dir+`/log"`)
	work := filepath.Join(dir, "work")
	plan := Plan{ImagePath: folder, MaskPath: masks, WorkPath: work, OutputPath: filepath.Join(dir, "out"), Images: inputs}
	var failure *fault.Failure
	if _, err := c.Reconstruct(t.Context(), plan); !errors.As(err, &failure) || failure.Code != NoSparseModel {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	said := map[string]string{}
	for line := range strings.Lines(string(log)) {
		command, _, _ := strings.Cut(line, " ")
		commands = append(commands, command)
		said[command] = line
	}
	want := regexp.MustCompile(`^(feature_extractor ){6}rig_configurator sequential_matcher (mapper global_mapper|global_mapper mapper) exhaustive_matcher (mapper global_mapper|global_mapper mapper)$`)
	if got := strings.Join(commands, " "); !want.MatchString(got) {
		t.Errorf("ran %s", got)
	}
	for command, words := range map[string]string{
		"feature_extractor":  "--image_path " + work + "/images --image_list_path " + work + "/images-5.txt --ImageReader.mask_path " + work + "/masks --ImageReader.camera_model PINHOLE --ImageReader.single_camera 1 --ImageReader.camera_params 30,30,30,30",
		"rig_configurator":   "--database_path " + work + "/database.db --rig_config_path " + work + "/rigs.json",
		"sequential_matcher": "--FeatureMatching.rig_verification 1 --FeatureMatching.skip_image_pairs_in_same_frame 1",
		"exhaustive_matcher": "--FeatureMatching.rig_verification 1 --FeatureMatching.skip_image_pairs_in_same_frame 1",
		"mapper":             "--Mapper.ba_refine_focal_length 0 --Mapper.ba_refine_extra_params 0 --Mapper.ba_refine_sensor_from_rig 0",
		"global_mapper":      "--GlobalMapper.ba_refine_focal_length 0 --GlobalMapper.ba_refine_extra_params 0 --GlobalMapper.refine_sensor_from_rig 0",
	} {
		if !strings.Contains(said[command], words) {
			t.Errorf("%s lacks %s", said[command], words)
		}
	}

	var config []rigConfig
	if data, err := os.ReadFile(filepath.Join(work, "rigs.json")); err != nil || json.Unmarshal(data, &config) != nil || len(config) != 1 || len(config[0].Cameras) != 6 {
		t.Fatalf("%+v, %v", config, err)
	}
	for k, camera := range config[0].Cameras {
		if camera.RefSensor != (k == 0) || (camera.CamFromRigRotation == nil) != (k == 0) || (camera.CamFromRigTranslation == nil) != (k == 0) {
			t.Errorf("sensor %d: %+v", k, camera)
		}
		if k > 0 {
			// The middle of view k, 60 degrees further to the right, is in front of it.
			at := scene.Rigid3{Rotation: *camera.CamFromRigRotation}.Apply([3]float64{math.Sin(float64(k) * math.Pi / 3), 0, math.Cos(float64(k) * math.Pi / 3)})
			if !(at[2] > 0.999999) {
				t.Errorf("sensor %d sees its middle at %v", k, at)
			}
		}
		name := camera.ImagePrefix + "f3.jpg"
		if _, err := os.Stat(filepath.Join(work, "images", name)); err != nil {
			t.Error(err)
		}
		// Sixty degrees of ninety are a sensor's own: 2·30·tan 30° of the 60 columns.
		white := 0
		in, err := os.Open(filepath.Join(work, "masks", name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		mask, err := png.Decode(in)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		for x := range edge {
			if mask.At(x, edge/2).(color.Gray).Y > 0 {
				white++
			}
		}
		if white != map[bool]int{true: 0, false: 34}[k == 2] {
			t.Errorf("sensor %d: %d columns are its own", k, white)
		}
	}
}

// A view of nothing but sky has the pose of its frame.
func TestWeakImagesOfRigs(t *testing.T) {
	var inputs []ImageInput
	var files []string
	for i := range 9 {
		files = append(files, fmt.Sprintf("%d.jpg", i))
		inputs = append(inputs, ImageInput{Name: files[i], Camera: 1, FocalLengthPx: 80, Sensor: &Sensor{Number: i % 3, Frame: fmt.Sprint(i / 3), CamFromRig: [4]float64{1, 0, 0, 0}}})
	}
	r := rigsOf(Plan{Images: inputs}, files)
	if n := r.frames(files); n != 3 {
		t.Errorf("%d frames", n)
	}
	m := model{reconstruction: blind(ring(9, 400), 5, 0), rigs: r}
	if weak := m.weakImages(); weak != nil {
		t.Errorf("weak: %v", weak)
	}
	blind(blind(m.reconstruction, 4, 0), 3, 0)
	if weak := m.weakImages(); len(weak) != 3 {
		t.Errorf("weak: %v", weak)
	}
}
