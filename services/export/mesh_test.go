package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/mesh"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/export"

	"image/png"
)

// ball leaves what the stages before do of a striped ball of discs: trained.ply, and a scene seen from all around.
func ball(t *testing.T, opacity float32) map[artifacts.Kind]string {
	t.Helper()
	const n, px = 4000, 80
	cloud := splat.New(n, 0, splat.Classic)
	model := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: px, Height: px, Params: []float64{px, px, px / 2, px / 2}}}}
	spiral := func(i, n int) [3]float64 {
		z := 1 - 2*(float64(i)+0.5)/float64(n)
		s, c := math.Sincos(float64(i) * math.Pi * (3 - math.Sqrt(5)))
		return [3]float64{math.Sqrt(1-z*z) * c, math.Sqrt(1-z*z) * s, z}
	}
	for i := range n {
		p := spiral(i, n)
		for k, scale := range [3]float64{0.035, 0.035, 0.001} {
			cloud.Means[3*i+k], cloud.LogScales[3*i+k] = float32(p[k]), float32(math.Log(scale))
			cloud.DC[3*i+k] = float32(math.Sin(6*p[k] + float64(k)))
		}
		copy(cloud.Quats[4*i:], []float32{float32(1 + p[2]), float32(-p[1]), float32(p[0]), 0})
		cloud.Opacities[i] = opacity
		if i%10 == 0 {
			model.Points3D = append(model.Points3D, scene.Point3D{Point3DID: uint64(i + 1), XYZ: p})
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	painter := trainer.NewPainter(cloud, &trainer.Config{Threads: 1})
	for i := range 20 {
		back := spiral(i, 20)
		r := looking([3]float64{-back[0], -back[1], -back[2]})
		im := scene.Image{ImageID: uint32(i + 1), CameraID: 1, Name: fmt.Sprintf("%02d.png", i),
			CamFromWorld: scene.Rigid3FromCenter(r, [3]float64{3 * back[0], 3 * back[1], 3 * back[2]})}
		for j := range model.Points3D {
			p := &model.Points3D[j]
			if q := im.CamFromWorld.Apply(p.XYZ); q[2] < 2.6 {
				p.Track = append(p.Track, scene.TrackElement{ImageID: im.ImageID, Point2DIdx: uint32(len(im.Points2D))})
				im.Points2D = append(im.Points2D, scene.Point2D{X: px*q[0]/q[2] + px/2, Y: px*q[1]/q[2] + px/2, Point3DID: p.Point3DID})
			}
		}
		model.Images = append(model.Images, im)
		save(t, filepath.Join(dir, "images", im.Name), painter.Paint(&raster.Camera{R: im.CamFromWorld.Matrix(), T: im.CamFromWorld.Translation,
			Fx: px, Fy: px, Cx: px / 2, Cy: px / 2, Width: px, Height: px, Near: 0.1}))
	}
	if err := model.Write(filepath.Join(dir, "sparse")); err != nil {
		t.Fatal(err)
	}
	ply := filepath.Join(t.TempDir(), "trained.ply")
	var b bytes.Buffer
	if err := cloud.WritePLY(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ply, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[artifacts.Kind]string{artifacts.Trained: ply, artifacts.Scene: dir}
}

// looking is the rotation of a camera that looks along a unit vector.
func looking(forward [3]float64) [3][3]float64 {
	l := math.Hypot(forward[0], forward[1])
	right := [3]float64{forward[1] / l, -forward[0] / l, 0}
	down := [3]float64{forward[1]*right[2] - forward[2]*right[1], forward[2]*right[0] - forward[0]*right[2], forward[0]*right[1] - forward[1]*right[0]}
	return [3][3]float64{right, down, forward}
}

func save(t *testing.T, path string, img image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

var meshFiles = []artifacts.Kind{artifacts.Mesh, artifacts.MeshOBJ, artifacts.MeshSTL, artifacts.MeshCollision}

// Who asks for a mesh gets its four files and its report, in the unit that structure from motion found; who does not, does not.
func TestMeshIsAnOutput(t *testing.T) {
	input := ball(t, 3)
	w := stagetest.New(t, pipeline.Options{Outputs: []string{"mesh"}}, export.Stage(export.Config{Threads: 2}))
	w.Known.SfM = &artifacts.SfMReport{World: scene.World{Unit: scene.UnitMetre}}
	w.GiveAll(input)
	w.Work()
	report := w.Report()
	text, err := json.Marshal(report.Mesh)
	if err != nil {
		t.Fatal(err)
	}
	var got mesh.Report
	if err := json.Unmarshal(text, &got); err != nil || !got.Watertight || got.Faces < 1000 || !(got.Seen > 0.9) || got.TexturePx == 0 {
		t.Errorf("%s, %v", text, err)
	}
	for kind, begins := range map[artifacts.Kind]string{artifacts.Mesh: "glTF", artifacts.MeshOBJ: "PK", artifacts.MeshSTL: "Splatworks, z up, millimetres, watertight", artifacts.MeshCollision: "glTF"} {
		if body := w.Body(kind); !bytes.HasPrefix(body, []byte(begins)) {
			t.Errorf("%s begins with %.60q", kind, body)
		}
	}
	if !bytes.Contains(w.Body(artifacts.Mesh), []byte(`"unit":"metre"`)) || len(w.Body(artifacts.MeshCollision)) > len(w.Body(artifacts.Mesh))/2 {
		t.Error("the GLB states no metre, or the mesh for collisions is no lighter")
	}

	without := stagetest.New(t, pipeline.Options{Outputs: []string{}}, export.Stage(export.Config{Threads: 2}))
	without.GiveAll(input)
	without.Work()
	if m := without.Manifest(); slices.ContainsFunc(m.Outputs, func(a artifacts.Artifact) bool { return slices.Contains(meshFiles, a.Kind) }) || without.Report().Mesh != nil {
		t.Error("a mesh that nobody asked for")
	}
}

// Fog has no surface: the request gets its splat, and a warning that says why there is no mesh.
func TestAFailedMeshIsAWarning(t *testing.T) {
	w := stagetest.New(t, pipeline.Options{Outputs: []string{"mesh", "spz"}}, export.Stage(export.Config{Threads: 2}))
	w.GiveAll(ball(t, -6))
	w.Work()
	report := w.Report()
	if len(w.Body(artifacts.Splat)) == 0 || len(w.Body(artifacts.SPZ)) == 0 || report.Mesh != nil {
		t.Errorf("%+v", report)
	}
	if !slices.ContainsFunc(report.Warnings, func(w pipeline.Warning) bool {
		return w.Code == "no_mesh" && strings.Contains(w.Message, "surface") && w.Advice != ""
	}) {
		t.Errorf("%+v", report.Warnings)
	}
}

// A box cuts the splat and the mesh; one that holds nothing leaves them whole, with a warning.
func TestCrop(t *testing.T) {
	input := ball(t, 3)
	made := func(box string, outputs []string) (*stagetest.World, *artifacts.ReportDocument, *splat.Cloud) {
		w := stagetest.New(t, pipeline.Options{Outputs: outputs, Crop: box}, export.Stage(export.Config{Threads: 2}))
		w.GiveAll(input)
		w.Work()
		report := w.Report()
		cloud, err := splat.ReadPLY(bytes.NewReader(w.Body(artifacts.Splat)))
		if err != nil {
			t.Fatal(err)
		}
		return w, report, cloud
	}
	w, report, cloud := made("-2,-2,-2,2,0.5,2", []string{"mesh"})
	if n := report.Splat.Cropped; n < 990 || n > 1010 || report.Splat.Gaussians != 4000-n || cloud.Len() != 4000-n || len(w.Body(artifacts.Mesh)) == 0 {
		t.Errorf("three quarters of a ball are %+v", report.Splat)
	}
	for i := range cloud.Len() {
		if cloud.Means[3*i+1] > 0.5 {
			t.Fatalf("a Gaussian at y = %g", cloud.Means[3*i+1])
		}
	}
	_, report, cloud = made("5,5,5,6,6,6", []string{})
	if cloud.Len() != 4000 || !slices.ContainsFunc(report.Warnings, func(w pipeline.Warning) bool { return w.Code == "empty_crop" }) {
		t.Errorf("an empty box leaves %d Gaussians, %+v", cloud.Len(), report.Warnings)
	}
}
