package export

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/pipeline"
)

func TestEveryOutputHasAFormatAndAnArtifact(t *testing.T) {
	for _, name := range splatFormats() {
		f, err := splat.FormatNamed(name)
		if err != nil {
			t.Error(err)
		}
		kind := kinds[name]
		if kind.FileName() != "splat"+f.Suffix || !slices.Contains(artifacts.ForClients(), kind) {
			t.Errorf("%s is stored as %q", name, kind.FileName())
		}
	}
	if len(kinds) != len(splatFormats()) || len(kinds)+len(folders)+2 != len(pipeline.OutputFormats()) {
		t.Errorf("%d artifacts for %d outputs", len(kinds)+len(folders), len(pipeline.OutputFormats()))
	}
	for name, kind := range folders {
		if !slices.Contains(pipeline.OutputFormats(), name) || kind.ContentType() != "application/zip" || !slices.Contains(artifacts.ForClients(), kind) {
			t.Errorf("%s is stored as %q", name, kind.FileName())
		}
	}
	for _, kind := range meshes() {
		if kind.FileName() == "" || kind.ContentType() == "" || !slices.Contains(artifacts.ForClients(), kind) {
			t.Errorf("%s is stored as %q and not for clients", kind, kind.FileName())
		}
	}
	for _, name := range pipeline.DefaultOutputs() {
		if !slices.Contains(pipeline.OutputFormats(), name) {
			t.Errorf("%s is a default and no output", name)
		}
	}
}

// splatFormats are the outputs that are formats of the splat.
func splatFormats() []string {
	return slices.DeleteFunc(pipeline.OutputFormats(), func(name string) bool {
		return name == pipeline.OutputMesh || name == pipeline.OutputViewer || folders[name] != ""
	})
}

func TestTheFileHoldsEveryGaussian(t *testing.T) {
	cloud := splat.New(7, 3, splat.Mip)
	for i := range 7 {
		cloud.Quats[4*i], cloud.Means[3*i] = 1, float32(i)
	}
	for _, name := range splatFormats() {
		f, err := splat.FormatNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), kinds[name].FileName())
		var b bytes.Buffer
		if err := f.Write(&b, cloud); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		read, found, err := splat.ReadFile(path)
		if err != nil || read.Len() != 7 || found.Name != name {
			t.Errorf("%s: %v, read as %s", name, err, found.Name)
		}
	}
}
