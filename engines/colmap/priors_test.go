package colmap

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// withSegments is a JPEG with an EXIF and an XMP segment, and a comment that stays.
func withSegments(t *testing.T) []byte {
	t.Helper()
	var encoded bytes.Buffer
	m := image.NewGray(image.Rect(0, 0, 40, 30))
	m.SetGray(3, 3, color.Gray{Y: 200})
	if err := jpeg.Encode(&encoded, m, nil); err != nil {
		t.Fatal(err)
	}
	segment := func(marker byte, body string) string {
		return string([]byte{0xff, marker, 0, byte(len(body) + 2)}) + body
	}
	whole := encoded.String()
	return []byte(whole[:2] + segment(0xe1, "Exif\x00\x00MM\x00*") + segment(0xfe, "a comment") + segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00<FocalLength>") + whole[2:])
}

// photosWithPriors are n images, and a COLMAP that says of those with EXIF data that their focal length is that number of pixels of
// 1000; mapper makes a model only where there are none.
func photosWithPriors(t *testing.T, n int, focal string) (c *Colmap, plan Plan, log func() string) {
	t.Helper()
	images, dir := t.TempDir(), t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(images, fmt.Sprintf("%d.jpg", i)), withSegments(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	model := filepath.Join(t.TempDir(), "model")
	if err := ring(n, 400).Write(model); err != nil {
		t.Fatal(err)
	}
	c = fake(t, `
shift
while [ $# -gt 1 ]; do case $1 in --image_path) images=$2;; --database_path) db=$2;; --output_path) out=$2;; --image_list_path) list=$2;; esac; shift; done
echo "$command $(basename "$db")" >> "`+dir+`/log"
[ -n "$db" ] && : > "$db"
case $command in
feature_extractor)
  while read name; do
    f=850.00; grep -q Exif "$images/$name" && f=`+focal+`
    printf 'I1 1] Processed file [1/1]\nI1 1]   Name:            %s\nI1 1]   Dimensions:      1000 x 750\nI1 1]   Focal Length:    %spx (Prior)\nI1 1]   Features:        2000 (SIFT)\n' "$name" $f >&2
  done < "$list";;
mapper)
  case $(basename "$db") in bare.db) mkdir -p "$out/0"; cp "`+model+`"/* "$out/0/";; *) exit 1;; esac;;
global_mapper) exit 1;;
image_undistorter) mkdir -p "$out/sparse" "$out/images"; cp "`+model+`"/* "$out/sparse/";;
esac`)
	return c, Plan{ImagePath: images, WorkPath: dir, OutputPath: filepath.Join(dir, "out")}, func() string {
		body, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
}

func codes(warnings []fault.Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

// A focal length that no lens has is not even tried, however COLMAP came by it.
func TestNonsenseFocalLengthsAreDropped(t *testing.T) {
	for _, focal := range []string{"27.70", "0.00", "90000.00", "nan"} {
		c, plan, log := photosWithPriors(t, 9, focal)
		result, err := c.Reconstruct(t.Context(), plan)
		if focal == "nan" {
			// Not a number that COLMAP writes: nothing was reported, and nothing is known.
			continue
		}
		if err != nil || result.Mapper != incrementalMapper || codes(result.Warnings) != "focal_length_ignored" {
			t.Errorf("%s: %v, %+v", focal, err, result.Warnings)
		}
		if commands := log(); strings.Contains(commands, "exhaustive_matcher database.db") || strings.Contains(commands, "mapper database.db") {
			t.Errorf("%s: matched with it: %s", focal, commands)
		}
	}
}

// Before images are refused, the mappers run once more without what EXIF says.
func TestMappersRunOnceMoreWithoutPriors(t *testing.T) {
	c, plan, log := photosWithPriors(t, 9, "1200.00")
	result, err := c.Reconstruct(t.Context(), plan)
	if err != nil || codes(result.Warnings) != "focal_length_ignored" {
		t.Fatalf("%v, %+v", err, result.Warnings)
	}
	if commands := log(); !strings.Contains(commands, "mapper database.db") || !strings.Contains(commands, "mapper bare.db") {
		t.Errorf("ran %s", commands)
	}
	// Where EXIF said nothing else than the usual lens, there is nothing to try.
	c, plan, log = photosWithPriors(t, 9, "850.00")
	var failure *fault.Failure
	if _, err := c.Reconstruct(t.Context(), plan); !errors.As(err, &failure) || failure.Code != NoSparseModel || strings.Contains(log(), "bare.db") {
		t.Errorf("%v; ran %s", err, log())
	}
}

func TestCopyBare(t *testing.T) {
	dir := t.TempDir()
	whole := withSegments(t)
	for name, data := range map[string][]byte{"a.jpg": whole, "cut.jpg": whole[:20], "b.png": []byte("\x89PNG Exif"), "empty": nil} {
		from, to := filepath.Join(dir, name), filepath.Join(dir, "bare "+name)
		if err := os.WriteFile(from, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := copyBare(to, from); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "a.jpg":
			m, err := jpeg.Decode(bytes.NewReader(got))
			if err != nil || m.Bounds().Dx() != 40 || bytes.Contains(got, []byte("Exif")) || bytes.Contains(got, []byte("adobe")) || !bytes.Contains(got, []byte("a comment")) {
				t.Errorf("%s: %v, %q", name, err, got[:60])
			}
		case "b.png", "empty":
			if !bytes.Equal(got, data) {
				t.Errorf("%s became %q", name, got)
			}
		}
	}
}

// Models with cameras that no lens makes never pass without a report: the focal length is held, or they are refused.
func TestImplausibleCameras(t *testing.T) {
	for name, test := range map[string]struct {
		held    bool // mapper makes a right model when the focal length is held
		code    string
		warning string
	}{
		"held":    {true, "", "focal_length_held"},
		"nothing": {false, ImplausibleCameras, ""},
	} {
		images, dir := t.TempDir(), t.TempDir()
		for i := range 25 {
			if err := os.WriteFile(filepath.Join(images, fmt.Sprintf("%d.jpg", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		wrong, right := filepath.Join(dir, "wrong"), filepath.Join(dir, "wrong")
		if err := telescope(ring(25, 400)).Write(wrong); err != nil {
			t.Fatal(err)
		}
		if test.held {
			right = filepath.Join(dir, "right")
			if err := ring(25, 400).Write(right); err != nil {
				t.Fatal(err)
			}
		}
		c := fake(t, `
model="`+wrong+`"
case "$*" in *ba_refine_focal_length*0*) model="`+right+`";; esac
while [ $# -gt 1 ]; do case $1 in --output_path) out=$2;; esac; shift; done
: > "`+dir+`/database.db"
case $command in
mapper|global_mapper) mkdir -p "$out/0"; cp "$model"/* "$out/0/";;
image_undistorter) mkdir -p "$out/sparse" "$out/images"; cp "$model"/* "$out/sparse/";;
esac`)
		result, err := c.Reconstruct(t.Context(), Plan{ImagePath: images, WorkPath: dir, OutputPath: dir + "/out"})
		var failure *fault.Failure
		switch {
		case test.code == "" && err != nil, test.code != "" && (!errors.As(err, &failure) || failure.Code != test.code || failure.Kind != fault.Input):
			t.Errorf("%s: %v", name, err)
		case codes(result.Warnings) != test.warning:
			t.Errorf("%s: warnings %+v", name, result.Warnings)
		}
	}
}

// Two models without any evidence that disagree are in doubt; models that share few cameras do not agree on every one.
func TestAgreementNeedsCommonCameras(t *testing.T) {
	both := func(global, incremental *scene.Reconstruction, n int) choice {
		return chooseModel([]model{{mapper: globalMapper, reconstruction: global, models: 1}, {mapper: incrementalMapper, reconstruction: incremental, models: 1}}, n, nil)
	}
	var some []string
	for i := range 15 {
		some = append(some, fmt.Sprintf("%d.jpg", i))
	}
	c := both(ring(25, 60), ring(25, 60).Without(some), 25)
	if c.agreement.Agree || !(c.agreement.Common == 0.4) || strings.Contains(c.reason, "every camera") || !strings.Contains(c.reason, "on the 10 cameras that both placed") || c.doubtful() {
		t.Errorf("%+v because %q", c.agreement, c.reason)
	}
	c = both(ring(25, 60), ring(25, 60).Without(some[:2]), 25)
	if !c.agreement.Agree || !strings.Contains(c.reason, "on the 23 cameras that both placed") {
		t.Errorf("%+v because %q", c.agreement, c.reason)
	}
	c = both(telescope(misplace(ring(25, 60), 4)), telescope(ring(25, 60)), 25)
	if c.candidates[0].Score != 0 || c.candidates[1].Score != 0 || !c.doubtful() {
		t.Errorf("scores %v and %v, in doubt: %v", c.candidates[0].Score, c.candidates[1].Score, c.doubtful())
	}
}

// A probe that is killed is not the reconstruction.
func TestKilledProbe(t *testing.T) {
	var failure *fault.Failure
	if _, err := fake(t, `kill -KILL $$`).Version(t.Context()); !errors.As(err, &failure) || failure.Kind != fault.Broken || strings.Contains(failure.Message, "help") {
		t.Errorf("got %+v", failure)
	}
}

// Names in COLMAP's words reach no terminal as they are, and one is one.
func TestFailureWords(t *testing.T) {
	if f := fail(Failed, "", "\x1b]0;x\x07 %s", "\u009b"); strings.ContainsAny(f.Message, "\x1b\x07\u009b") {
		t.Errorf("%q", f.Message)
	}
	if say(1, "image shares", "images share") != "1 image shares" || say(2, "image shares", "images share") != "2 images share" {
		t.Error("grammar")
	}
}
