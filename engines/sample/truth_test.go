package sample

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/scene"
)

// The two files tell the same truth, in COLMAP's words and in NeRF's.
func TestTruthAgrees(t *testing.T) {
	c, err := New(Options{Frames: 12, Width: 160, Height: 90})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.writeTransforms(filepath.Join(dir, TransformsFile)); err != nil {
		t.Fatal(err)
	}
	nerf, err := scene.ReadTransforms(filepath.Join(dir, TransformsFile))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	colmap := c.Reconstruction()
	t.Log(time.Since(start))
	if err := colmap.Write(filepath.Join(dir, SparseFolder)); err != nil {
		t.Fatal(err)
	}
	got, err := scene.Compare(colmap, nerf)
	if err != nil {
		t.Fatal(err)
	}
	if got.Images != 12 || !(got.PositionMax < 1e-9) || !(got.RotationMaxDeg < 1e-5) || !(got.Similarity.Scale > 1-1e-9 && got.Similarity.Scale < 1+1e-9) {
		t.Errorf("transforms.json and sparse/ differ: %+v", got)
	}
	q := colmap.Quality()
	t.Logf("%+v", q)
}

func TestCmp(t *testing.T) {
	dir := os.Getenv("CMP")
	if dir == "" {
		t.Skip()
	}
	truth, _ := scene.ReadTransforms(dir + "/transforms.json")
	est, err := scene.Read(dir + "/work/g/0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := scene.Compare(est, truth)
	t.Logf("%+v %v", c, err)
	t.Logf("rmse %.3f%% of radius, max %.3f%%; cam %+v", 100*c.PositionRMSE/OrbitRadius, 100*c.PositionMax/OrbitRadius, est.Cameras[0])
}
