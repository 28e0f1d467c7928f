package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/splat"
)

// enough is how near a viewer's picture of a file is to this project's picture of what it reads from the same file, in dB.
const enough = 38

// TestAViewerOpensOurs is TestViewers in small: the package that splat-transform brings opens one format.
func TestAViewerOpensOurs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s := newStand(t, "viewers/node_modules/three/build/three.module.js", "splat-transform/node_modules/.bin/splat-transform")
	e := s.exhibits(showpiece(t), "sog")[0]
	got, picture := s.look("playcanvas", e.file, e.yUp(), nil)
	if picture == nil {
		t.Fatal(got.Error)
	}
	if db := psnrOf(t, picture, e.want); got.Count != e.read.Len() || !(db >= enough) {
		t.Errorf("%d Gaussians instead of %d, %.1f dB", got.Count, e.read.Len(), db)
	}
}

// TestViewers has every viewer open every format with its own loaders: what opens is what the formats say, with all Gaussians, and looks like
// this project's picture of the same file.
func TestViewers(t *testing.T) {
	if !*everyViewer {
		t.Skip("a minute: make viewers")
	}
	s := newStand(t, "viewers/node_modules/three/build/three.module.js")
	cloud := showpiece(t)
	s.sensitive(cloud)
	versions := s.versions()
	t.Log(versions)
	if !strings.Contains(formatsPage(t), versions) {
		t.Errorf("docs/formats.md does not name the viewers as they are here: %s", versions)
	}
	for _, e := range s.exhibits(cloud) {
		s.keep("ours-"+e.name, e.want)
		for _, v := range viewers {
			got, picture := s.look(v.name, e.file, e.yUp(), nil)
			if opened := got.Error == ""; opened != e.opensIn(v) {
				t.Errorf("%s in %s: opened %v %s, the format says: opened by %s", e.name, v.title, opened, got.Error, e.opens)
			}
			if picture == nil {
				t.Logf("%-14s %-11s does not open: %s", e.name, v.title, got.Error)
				continue
			}
			db := psnrOf(t, picture, s.wantIn(v, &e))
			t.Logf("%-14s %-11s %d Gaussians %.1f dB", e.name, v.title, got.Count, db)
			if want := v.counted(e.read.Len()); got.Count != want {
				t.Errorf("%s in %s: %d Gaussians instead of %d", e.name, v.title, got.Count, want)
			}
			if !(db >= enough) {
				t.Errorf("%s in %s: %.1f dB, want %d", e.name, v.title, db, enough)
			}
		}
	}
	s.asTheyCome(painted(cloud))
}

// wantIn is what a viewer is to show: this project's picture or, for three.js, which cuts every Gaussian at two standard deviations, the
// picture of Spark that cuts there too, of what this project reads from the file.
func (s *stand) wantIn(v viewer, e *exhibit) image.Image {
	s.t.Helper()
	if v.name != "three" {
		return e.want
	}
	file, err := os.Create(filepath.Join(s.files, "read.ply"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(e.read.WritePLY(file), file.Close()); err != nil {
		s.t.Fatal(err)
	}
	got, picture := s.look("spark", "read.ply", false, map[string]any{"cut": 2})
	if picture == nil {
		s.t.Fatalf("%s in Spark: %s", e.name, got.Error)
	}
	return picture
}

// sensitive makes sure that the bound is one: neither a splat without view-dependent colour nor one that is a pixel too far to the side passes.
func (s *stand) sensitive(c *splat.Cloud) {
	s.t.Helper()
	flat, aside := *c, *c
	flat.Degree, flat.Rest = 0, nil
	aside.Means = append([]float32(nil), c.Means...)
	for i := 0; i < len(aside.Means); i += 3 {
		aside.Means[i] += 0.015
	}
	want := painted(c)
	for name, other := range map[string]*splat.Cloud{"without view-dependent colour": &flat, "moved by a pixel": &aside} {
		if db := psnrOf(s.t, painted(other), want); !(db < enough-1) {
			s.t.Errorf("the splat %s is within %.1f dB of itself: this test could not see that", name, db)
		}
	}
}

// asTheyCome measures what a person sees who sets nothing: the docs say it.
func (s *stand) asTheyCome(want image.Image) {
	s.t.Helper()
	var said []string
	for _, v := range viewers {
		got, picture := s.look(v.name, "a.ply", false, map[string]any{"asItComes": true})
		if picture == nil {
			s.t.Fatalf("%s: %s", v.title, got.Error)
		}
		db := psnrOf(s.t, picture, want)
		s.t.Logf("as it comes: %s %.1f dB", v.title, db)
		said = append(said, fmt.Sprintf("%s %.0f", v.title, db))
	}
	if sentence := strings.Join(said, ", ") + " dB"; *viewersSplat == "" && !strings.Contains(formatsPage(s.t), sentence) {
		s.t.Errorf("docs/formats.md does not say what the viewers show as they come: %s", sentence)
	}
}

// versions names the viewers as they are installed.
func (s *stand) versions() string {
	s.t.Helper()
	var names []string
	for _, v := range viewers {
		var is struct{ Version string }
		raw, err := os.ReadFile(filepath.Join(s.modules, v.module, "package.json"))
		if err = errors.Join(err, json.Unmarshal(raw, &is)); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, v.title+" "+is.Version)
	}
	return strings.Join(names, ", ")
}

func formatsPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// TestTableOfViewers: the page's table is what the formats say, which TestViewers compares with what viewers do.
func TestTableOfViewers(t *testing.T) {
	var table strings.Builder
	table.WriteString("| format |")
	for _, v := range viewers {
		table.WriteString(" " + v.title + " |")
	}
	table.WriteString("\n| --- |" + strings.Repeat(" --- |", len(viewers)) + "\n")
	row := func(e exhibit) {
		fmt.Fprintf(&table, "| %s |", e.name)
		for _, v := range viewers {
			table.WriteString(map[bool]string{true: " yes |", false: " no |"}[e.opensIn(v)])
		}
		table.WriteString("\n")
	}
	for _, f := range splat.Formats() {
		row(exhibit{name: f.Name, opens: f.Opens})
	}
	for _, f := range splat.Folders() {
		row(exhibit{name: f.Name, opens: f.Opens})
	}
	if !strings.Contains(formatsPage(t), table.String()) {
		t.Errorf("docs/formats.md has another table of viewers; it should be:\n%s", table.String())
	}
}
