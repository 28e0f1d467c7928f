package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// TestRunWithTruePoses: the sample's own poses beside its video. Nothing is looked for, and the poses come out as they went in.
func TestRunWithTruePoses(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	capture := t.TempDir()
	if code, _, stderr := splatworks(t, "sample", "-o", capture, "--frames", "16", "--width", "320", "--height", "180"); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	truth, err := scene.Read(filepath.Join(capture, sample.SparseFolder))
	if err != nil {
		t.Fatal(err)
	}
	known := knownDistance(t, truth)
	dir, r := reconstruct(t, filepath.Join(capture, sample.VideoFile), "--poses", filepath.Join(capture, sample.SparseFolder), "--preset", "preview", "--train-budget", "4s", "--long-edge", "320",
		"--up=0.2,-1,0", "--scale", asOption(known))
	if r.SfM.Mapper != "given" || r.Images.Registered != 16 || r.SfM.Points < 1000 {
		t.Errorf("images %+v, poses %+v", *r.Images, *r.SfM)
	}
	if c := poses(t, dir, truth); c.Images != 16 || !(c.PositionMax < 1e-5) || !(c.RotationMaxDeg < 1e-4) {
		t.Errorf("the poses moved: %+v", c)
	}
	if c := poses(t, dir, truth); !(math.Abs(100*(c.Similarity.Scale-1)) < 3*scaleErrorPct(t, r)) {
		t.Errorf("the unit is off by %.2f %%", 100*(c.Similarity.Scale-1))
	}
	if !(r.Quality.PSNRdB > 20) {
		t.Errorf("%.1f dB", r.Quality.PSNRdB)
	}
}

// knownDistance is a distance in the sample, where two of its images show the ends, in whole pixels as a person marks them. A unit of the
// sample is taken for a metre.
func knownDistance(t *testing.T, truth *scene.Reconstruction) scene.Distance {
	t.Helper()
	images := [2]*scene.Image{&truth.Images[1], &truth.Images[1+len(truth.Images)/8]}
	seen := map[uint64]int{}
	for _, im := range images {
		for _, p := range im.Points2D {
			seen[p.Point3DID]++
		}
	}
	var d scene.Distance
	for i := range truth.Points3D {
		for j := range i {
			p, q := &truth.Points3D[i], &truth.Points3D[j]
			if seen[p.Point3DID] < 2 || seen[q.Point3DID] < 2 {
				continue
			}
			if length := distance(p.XYZ, q.XYZ); length > d.Metres {
				d.Metres, d.Ends[0].Point, d.Ends[1].Point = length, p.XYZ, q.XYZ
			}
		}
	}
	if d.Metres == 0 {
		t.Fatal("two images of the sample have no two points in common")
	}
	for e := range d.Ends {
		for k, im := range images {
			fx, fy, cx, cy, err := truth.Camera(im.CameraID).Pinhole()
			if err != nil {
				t.Fatal(err)
			}
			p := im.CamFromWorld.Apply(d.Ends[e].Point)
			d.Ends[e].Seen[k] = scene.Sight{Image: im.Name, X: math.Round(fx*p[0]/p[2] + cx), Y: math.Round(fy*p[1]/p[2] + cy), SigmaPx: 2}
		}
	}
	return d
}

// on is the same distance, with places in pixels of a model whose images are larger or smaller by a factor.
func on(d scene.Distance, factor float64) *scene.Distance {
	for e := range d.Ends {
		for k := range d.Ends[e].Seen {
			s := &d.Ends[e].Seen[k]
			s.X, s.Y, s.SigmaPx = s.X*factor, s.Y*factor, s.SigmaPx*factor
		}
	}
	return &d
}

// asOption is what a person writes for the option scale.
func asOption(d scene.Distance) string {
	end := func(e scene.End) string {
		a, b := e.Seen[0], e.Seen[1]
		return fmt.Sprintf("%s@%g,%g+%s@%g,%g", a.Image, a.X, a.Y, b.Image, b.X, b.Y)
	}
	return fmt.Sprintf("%.6f=%s/%s", d.Metres, end(d.Ends[0]), end(d.Ends[1]))
}

// scaleErrorPct is how far off a report says that the metre may be, of a result with a known distance.
func scaleErrorPct(t *testing.T, r artifacts.ReportDocument) float64 {
	t.Helper()
	raw, err := json.Marshal(r.SfM.World)
	if err != nil {
		t.Fatal(err)
	}
	var world scene.World
	if err := json.Unmarshal(raw, &world); err != nil {
		t.Fatal(err)
	}
	t.Logf("world: %s", raw)
	if world.Unit != scene.UnitMetre || world.ScaleFrom != "distance" || world.ScaleM != 1 || !(world.ScaleErrorPct > 0 && world.ScaleErrorPct < 5) || world.UpFrom != "asked" {
		t.Errorf("the report says %s", raw)
	}
	return world.ScaleErrorPct
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

// TestRunWithPosesOfFox: images with the transforms.json that another program made, some of whose poses have no image.
func TestRunWithPosesOfFox(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	transforms := capturetest.Find(t, "fox/transforms.json")
	all, images := t.TempDir(), filepath.Join(t.TempDir(), "images")
	if out, err := exec.Command(ffmpeg, "-v", "error", "-i", capturetest.Find(t, "fox/fox.mp4"), "-vf", "scale=-2:480", "-q:v", "2", filepath.Join(all, "%02d.jpg")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list, err := os.ReadFile("../../engines/colmap/testdata/fox_frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(images, 0o755); err != nil {
		t.Fatal(err)
	}
	frames, err := filepath.Glob(filepath.Join(all, "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range strings.Fields(string(list)) {
		if i%3 > 0 {
			continue
		}
		if err := os.Rename(frames[i], filepath.Join(images, name+".jpg")); err != nil {
			t.Fatal(err)
		}
	}
	dir, r := reconstruct(t, images, "--poses", transforms, "--preset", "preview", "--train-budget", "5s", "--long-edge", "320")
	if r.SfM.Mapper != "given" || r.Images.Registered != 17 || r.SfM.Points < 200 || r.SfM.Matcher != "poses" {
		t.Errorf("images %+v, poses %+v", *r.Images, *r.SfM)
	}
	truth, err := scene.ReadTransforms(transforms)
	if err != nil {
		t.Fatal(err)
	}
	if c := poses(t, dir, truth); c.Images != 17 || !(c.PositionMax < 1e-4) || !(c.RotationMaxDeg < 1e-3) {
		t.Errorf("the poses moved: %+v", c)
	}
	if !(r.Quality.PSNRdB > 15) {
		t.Errorf("%.1f dB", r.Quality.PSNRdB)
	}
	warned := ""
	for _, w := range r.Warnings {
		warned += w.Code + ": " + w.Message + "\n"
	}
	if !strings.Contains(warned, "poses_without_image: 50 poses in poses/transforms.json are of images that are not there: ") {
		t.Errorf("warnings:\n%s", warned)
	}
}
