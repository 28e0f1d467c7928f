package splat

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDefaultLevels(t *testing.T) {
	for gaussians, want := range map[int]int{0: 0, 1: 0, 1_000_000: 0, 1_000_001: 1, 2_000_000: 1, 2_000_001: 2, 4_000_000: 2, 259_000_000: 9} {
		if got := DefaultLevels(gaussians); got != want {
			t.Errorf("%d levels for %d Gaussians, want %d", got, gaussians, want)
		}
	}
}

// byPlace is the cloud in an order that does not depend on how it was stored.
func byPlace(c *Cloud) *Cloud {
	order := make([]int, c.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(c.Means[3*a], c.Means[3*b]) })
	return c.Picked(order)
}

// spaced is a scene whose Gaussians differ so much in x that no format changes their order.
func spaced(n int) *Cloud {
	c := scene(n, 1, Mip)
	for i := range n {
		c.Means[3*i] = float32(i%n)*0.01 - 1
	}
	return c
}

func TestFoldersReadWhatTheyWrite(t *testing.T) {
	c := spaced(300)
	for _, f := range Folders() {
		dir := filepath.Join(t.TempDir(), "made")
		if err := f.Write(dir, c, 2); err != nil {
			t.Fatal(err)
		}
		got, format, err := ReadFile(filepath.Join(dir, f.File))
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		tol := tolerances["sog"]
		if f.Name == "3d-tiles" {
			tol = tolerances["glb"]
		}
		if format.Name != f.Name || got.Mode != Mip {
			t.Errorf("%s was read as %s, for %v", f.Name, format.Name, got.Mode)
		}
		within(t, f.Name, byPlace(got), byPlace(c), tol)
		if err := f.Write(filepath.Join(t.TempDir(), "none"), New(0, 0, Mip), -1); err != nil {
			t.Errorf("%s of nothing: %v", f.Name, err)
		}
	}
}

// Each Gaussian of each level is in one leaf, inside the leaf's box, at the place that the leaf says.
func TestStreamedTree(t *testing.T) {
	levels, err := spaced(700).levels(2)
	if err != nil || len(levels) != 3 || levels[1].Len() != 350 || levels[2].Len() != 175 {
		t.Fatalf("%d levels, %v", len(levels), err)
	}
	s := layStreamed(levels, 100, 150)
	found := make([]int, len(levels))
	leaves := 0
	var visit func(n *streamedNode)
	visit = func(n *streamedNode) {
		for _, child := range n.Children {
			b := n.Bound
			if b.add(child.Bound); b != n.Bound {
				t.Errorf("a child's box %+v leaves its parent's %+v", child.Bound, n.Bound)
			}
			visit(child)
		}
		if len(n.Children) == 0 {
			leaves++
		}
		for name, at := range n.Levels {
			part := s.files[at.File]
			level := strings.Index("012", name)
			if level != part.level || !strings.HasPrefix(s.meta.Filenames[at.File], name+"_") {
				t.Errorf("level %s is in %s", name, s.meta.Filenames[at.File])
			}
			found[level] += at.Count
			for _, i := range part.order[at.Offset : at.Offset+at.Count] {
				b := n.Bound
				if b.add(levels[level].boxOf(i)); b != n.Bound {
					t.Errorf("Gaussian %d of level %d is not in its leaf's box", i, level)
				}
			}
		}
	}
	visit(s.meta.Tree)
	for level, l := range levels {
		if found[level] != l.Len() || s.meta.Counts[level] != l.Len() {
			t.Errorf("level %d: leaves have %d Gaussians, the index says %d, there are %d", level, found[level], s.meta.Counts[level], l.Len())
		}
	}
	if leaves < 1225/100 || len(s.files) < 4 {
		t.Errorf("%d leaves in %d files", leaves, len(s.files))
	}
	dir := t.TempDir()
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readStreamed(dir)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "streamed in several files", byPlace(got), byPlace(levels[0]), tolerances["sog"])
}

func tilesOf(t *testing.T, text []byte) (set tileset) {
	t.Helper()
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// A tile's box holds what is below it, its children are finer, and the finest have no error.
func TestTiles(t *testing.T) {
	dir := t.TempDir()
	c := spaced(400)
	if err := c.writeTiles(dir, 3); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, tilesetName))
	if err != nil || !bytes.Contains(text, []byte(`"version":"1.1"`)) || !bytes.Contains(text, []byte("REPLACE")) {
		t.Fatalf("%v\n%s", err, text)
	}
	set := tilesOf(t, text)
	if set.GeometricError < set.Root.GeometricError {
		t.Errorf("errors %g and %g", set.GeometricError, set.Root.GeometricError)
	}
	deepest := 0
	var visit func(n *tile, depth int)
	visit = func(n *tile, depth int) {
		deepest = max(deepest, depth)
		if len(n.Children) == 0 && n.GeometricError != 0 {
			t.Errorf("a tile that nothing replaces has the error %g", n.GeometricError)
		}
		f, err := os.Open(filepath.Join(dir, n.Content.URI))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		part, err := ReadGLB(f)
		if err != nil {
			t.Fatal(err)
		}
		b := n.BoundingVolume.Box
		for i := range part.Len() {
			p := triple(part.Means, i) // ours: x right, y down, z away
			for k, v := range [3]float64{p[0], p[2], -p[1]} {
				if half := b[3+4*k]; !(v >= b[k]-half-1e-5 && v <= b[k]+half+1e-5) {
					t.Errorf("Gaussian %d at %v is outside the box %v", i, p, b)
				}
			}
		}
		for _, child := range n.Children {
			if !(child.GeometricError <= n.GeometricError) {
				t.Errorf("an error of %g below one of %g", child.GeometricError, n.GeometricError)
			}
			visit(child, depth+1)
		}
	}
	visit(set.Root, 0)
	if deepest != 3 {
		t.Errorf("%d levels below the root", deepest)
	}
}

// A path in an index that leads out of the folder is refused.
func TestFoldersStayInside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "made")
	if err := folders[0].Write(secret, spaced(3), 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range Folders() {
		dir := filepath.Join(filepath.Dir(secret), f.Name)
		if err := f.Write(dir, spaced(3), 0); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, f.File)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, swap := range [][2]string{{"means_l.webp", "../made/means_l.webp"}, {"0_0/meta.json", "../made/meta.json"}, {"0.glb", "%2e%2e/0.glb"}} {
			text = bytes.ReplaceAll(text, []byte(swap[0]), []byte(swap[1]))
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadFile(path); err == nil {
			t.Errorf("%s was read from elsewhere", f.Name)
		}
	}
}

// TestAnotherProgramReadsOurFolders has PlayCanvas's splat-transform read the folders that it can.
func TestAnotherProgramReadsOurFolders(t *testing.T) {
	converter := splatTransform(t)
	c := spaced(300)
	dir := t.TempDir()
	if err := c.writeStreamed(dir, 1); err != nil {
		t.Fatal(err)
	}
	for name, count := range map[string]int{"0_0": 300, "1_0": 150} {
		converted := filepath.Join(dir, name+".ply")
		if out, err := exec.Command(converter, filepath.Join(dir, name, sogMetaName), converted).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got, _, err := ReadFile(converted)
		if err != nil || got.Len() != count {
			t.Fatalf("%s: %v, %d Gaussians", name, err, got.Len())
		}
		if count == c.Len() {
			within(t, name, byPlace(got), byPlace(c), tolerances["sog"])
		}
	}
}

// TestTilesOnTheEarth: the root's transform takes the axes of tiles (x right, y away, z up) where the matrix takes ours, and the tiles are read
// as before.
func TestTilesOnTheEarth(t *testing.T) {
	dir, c := t.TempDir(), spaced(50)
	if err := c.writeTiles(dir, 0); err != nil {
		t.Fatal(err)
	}
	// North-east-down, as it were, at 0 N 0 E of a sphere: our x is east (earth's y), our y down (-x), our z north (z); one unit is two metres.
	const radius = 6378137
	if err := PlaceTiles(dir, [16]float64{0, 2, 0, 0, -2, 0, 0, 0, 0, 0, 2, 0, radius, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, tilesetName))
	if err != nil {
		t.Fatal(err)
	}
	m := tilesOf(t, text).Root.Transform
	for tile, want := range map[[3]float64][3]float64{{}: {radius, 0, 0}, {1, 0, 0}: {radius, 2, 0}, {0, 1, 0}: {radius, 0, 2}, {0, 0, 1}: {radius + 2, 0, 0}} {
		for k := range 3 {
			if is := m[k]*tile[0] + m[4+k]*tile[1] + m[8+k]*tile[2] + m[12+k]; is != want[k] {
				t.Errorf("%v of the tileset is at %g in axis %d, want %g", tile, is, k, want[k])
			}
		}
	}
	got, _, err := ReadFile(filepath.Join(dir, tilesetName))
	if err != nil {
		t.Fatal(err)
	}
	within(t, "placed tiles", byPlace(got), byPlace(c), tolerances["glb"])
}
