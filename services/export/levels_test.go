package export

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
)

// row is a cloud of Gaussians along an axis.
func row(n int) *splat.Cloud {
	c := splat.New(n, 0, splat.Mip)
	for i := range n {
		c.Quats[4*i], c.Means[3*i] = 1, float32(i)
	}
	return c
}

// publishing runs levels as a stage of its own.
func publishing(t *testing.T, cloud *splat.Cloud, outputs ...string) *stagetest.World {
	t.Helper()
	w := stagetest.New(t, pipeline.Options{Outputs: outputs}, stage.Definition{Stage: pipeline.Export,
		Run: func(ctx context.Context, job *stage.Job) error { return levels(ctx, job, cloud) }})
	earth := [16]float64{0: 2, 5: 2, 10: 2, 12: 6_378_137, 15: 1}
	w.Known.SfM = &artifacts.SfMReport{World: scene.World{Unit: scene.UnitMetre, Place: &scene.Place{EarthFixed: earth}}}
	w.GiveAll(nil)
	w.Work()
	return w
}

// unpacked writes a zip to a folder. The file that viewers open must be the first, and none may be compressed.
func unpacked(t *testing.T, body []byte, first string) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if z.File[0].Name != first {
		t.Errorf("the first file is %s, not %s", z.File[0].Name, first)
	}
	for _, f := range z.File {
		at, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		held, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(held, body[at:at+int64(f.UncompressedSize64)]) {
			t.Errorf("%s is no range of bytes of the zip", f.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, held, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Levels of detail that were asked for come as zips with every Gaussian; tiles are where GPS says.
func TestLevelsAreOutputs(t *testing.T) {
	cloud := row(7)
	w := publishing(t, cloud, "streamed-sog", "3d-tiles")
	for _, f := range splat.Folders() {
		kind, ok := folders[f.Name]
		if !ok {
			continue
		}
		dir := unpacked(t, w.Body(kind), f.File)
		read, err := f.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if read.Len() != cloud.Len() {
			t.Errorf("%s: %d Gaussians of %d", f.Name, read.Len(), cloud.Len())
		}
		if kind != artifacts.Tiles {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.File))
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Root struct{ Transform []float64 } }
		if err := json.Unmarshal(text, &set); err != nil || len(set.Root.Transform) != 16 || set.Root.Transform[12] != 6_378_137 {
			t.Errorf("%v, the root's transform is %v", err, set.Root.Transform)
		}
	}
}

// The web set has levels of detail where a splat is too large to be drawn whole.
func TestLargeSplatsGetLevels(t *testing.T) {
	names := func(outputs []string, gaussians int) (names []string) {
		for _, f := range wanted(outputs, gaussians) {
			names = append(names, f.Name)
		}
		return names
	}
	for _, c := range []struct {
		outputs   []string
		gaussians int
		want      []string
	}{
		{pipeline.DefaultOutputs(), 1_000_000, nil},
		{pipeline.DefaultOutputs(), 1_000_001, []string{"streamed-sog"}},
		{[]string{"spz"}, 5_000_000, nil},
		{[]string{"streamed-sog"}, 10, []string{"streamed-sog"}},
		{[]string{"sog", "3d-tiles"}, 3_000_000, []string{"streamed-sog", "3d-tiles"}},
	} {
		if got := names(c.outputs, c.gaussians); !slices.Equal(got, c.want) {
			t.Errorf("%v of %d Gaussians: %v, not %v", c.outputs, c.gaussians, got, c.want)
		}
	}
}

// Levels that cannot be written are a warning each.
func TestFailedLevelsAreWarnings(t *testing.T) {
	cloud := row(3)
	cloud.Means[0] = float32(math.NaN())
	w := publishing(t, cloud, "streamed-sog", "3d-tiles")
	report := w.Report()
	if len(report.Warnings) != 2 || len(w.Manifest().Outputs) != 0 {
		t.Fatalf("%+v", report.Warnings)
	}
	for i, name := range []string{"streamed-sog", "3d-tiles"} {
		if warning := report.Warnings[i]; warning.Code != "format_failed" || !strings.Contains(warning.Message, name) {
			t.Errorf("%+v", warning)
		}
	}
}
