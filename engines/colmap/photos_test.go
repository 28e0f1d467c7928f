package colmap_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// Sets of photos that are too large for every pair are matched with neighbours on the ground, or with those that look alike.
// Here a small set is, whose photos stand in no order.
func TestMatchersOfLargeSets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	c := installed(t)
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		t.Skip(err)
	}
	capture, folder := t.TempDir(), t.TempDir()
	o := sample.Options{Seed: 2, Frames: 20, Width: 320, Height: 180}
	if err := sample.Write(t.Context(), ffmpeg, o, capture, nil); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(ffmpeg, "-v", "error", "-i", filepath.Join(capture, sample.VideoFile), "-q:v", "2", filepath.Join(folder, "%d.jpg")).CombinedOutput()
	if err != nil {
		t.Fatalf("decoding the video: %v: %s", err, out)
	}
	truth := read(t, filepath.Join(capture, sample.SparseFolder))
	var inputs []colmap.ImageInput
	for i := range truth.Images {
		at := truth.Images[i].Center() // metres to the east, to the north and up
		photo := filepath.Join(folder, fmt.Sprintf("%d.jpg", i+1))
		encoded, err := os.ReadFile(photo)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(photo, located(encoded, at), 0o644); err != nil {
			t.Fatal(err)
		}
		truth.Images[i].Name = filepath.Base(photo)
		inputs = append(inputs, colmap.ImageInput{Name: truth.Images[i].Name, Camera: 1, ENU: &at})
	}
	for _, matcher := range []colmap.Matcher{colmap.Spatial, colmap.Vocabulary} {
		t.Run(string(matcher), func(t *testing.T) {
			result, err := reconstruct(t, c, colmap.Plan{ImagePath: folder, Images: inputs, Matcher: matcher, MaxNumFeatures: 700})
			if err != nil {
				t.Fatal(err)
			}
			comparison, err := scene.Compare(read(t, result.SparsePath), truth)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d registered, position RMSE %.3f %%, rotation median %.3f°, %+v", comparison.Images, comparison.PositionRMSEPct, comparison.RotationMedianDeg, result.World)
			if result.Matcher != matcher || comparison.Images != o.Frames || !(comparison.RotationMedianDeg < 0.3) || !(comparison.PositionRMSEPct < 1) {
				t.Errorf("%s: %d of %d photos, rotation median %.3f°, position RMSE %.2f %%", result.Matcher, comparison.Images, o.Frames, comparison.RotationMedianDeg, comparison.PositionRMSEPct)
			}
			// Places to the centimetre give the unit and what is up.
			if w := result.World; w.Unit != scene.UnitMetre || w.UpFrom != "gps" || math.Abs(comparison.Similarity.Scale-1) > 0.01 {
				t.Errorf("%+v, scale %.4f", w, comparison.Similarity.Scale)
			}
		})
	}
}

// located puts the place of a photo into its EXIF data: metres to the east, to the north and above 48.5 degrees north,
// 9 degrees east, 300 metres above the sea.
func located(jpeg []byte, enu [3]float64) []byte {
	const metresPerDegree = 111_200
	latitude := 48.5 + enu[1]/metresPerDegree
	longitude := 9 + enu[0]/metresPerDegree/math.Cos(48.5*math.Pi/180)
	order := binary.BigEndian
	b := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08") // TIFF begins at 6
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(b, tag), kind), count), value)
	}
	b = order.AppendUint16(b, 1)
	entry(0x8825, 4, 1, 26) // the GPS directory, at 26
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 6)
	entry(1, 2, 2, 'N'<<24)
	entry(2, 5, 3, 104)
	entry(3, 2, 2, 'E'<<24)
	entry(4, 5, 3, 128)
	entry(5, 1, 1, 0) // above the sea
	entry(6, 5, 1, 152)
	b = order.AppendUint32(b, 0)
	for _, degrees := range []float64{latitude, longitude} {
		whole := math.Floor(degrees)
		for _, v := range []uint32{uint32(whole), 1, 0, 1, uint32(math.Round((degrees - whole) * 3600 * 100_000)), 100_000} {
			b = order.AppendUint32(b, v)
		}
	}
	b = order.AppendUint32(b, uint32(math.Round((300+enu[2])*1000)))
	b = order.AppendUint32(b, 1000)
	segment := order.AppendUint16([]byte{0xff, 0xe1}, uint16(len(b)+2))
	return bytes.Join([][]byte{jpeg[:2], segment, b, jpeg[2:]}, nil)
}
