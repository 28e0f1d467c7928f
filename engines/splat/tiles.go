package splat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// 3D Tiles 1.1: tileset.json has a tree of boxes, each with a GLB (KHR_gaussian_splatting) that stands for all below it and is
// replaced by its two children where it would look coarse. A level of detail has twice the Gaussians of the one above it, so that
// all tiles have about as many. The axes of tiles are x right, y away, z up, in the unit of the cloud: a runtime turns glTF's y up
// to z up. Source: OGC 22-025r4, "3D Tiles".

const tilesetName = "tileset.json"

type (
	tileset struct {
		Asset          tilesetAsset   `json:"asset"`
		GeometricError float64        `json:"geometricError"`
		ExtensionsUsed []string       `json:"extensionsUsed,omitempty"`
		Extensions     map[string]any `json:"extensions,omitempty"`
		Root           *tile          `json:"root"`
	}
	tilesetAsset struct {
		Version   string `json:"version"`
		Generator string `json:"generator,omitempty"`
	}
	tile struct {
		BoundingVolume struct {
			Box []float64 `json:"box"`
		} `json:"boundingVolume"`
		GeometricError float64      `json:"geometricError"`
		Refine         string       `json:"refine,omitempty"`
		Content        *tileContent `json:"content,omitempty"`
		Transform      []float64    `json:"transform,omitempty"`
		Children       []*tile      `json:"children,omitempty"`
	}
	tileContent struct {
		URI string `json:"uri"`
	}
)

// tiles is a tileset that is being written.
type tiles struct {
	dir    string
	levels []*Cloud
	errors []float64 // of each level
	count  int
}

// writeTiles writes tileset.json and its GLBs.
func (c *Cloud) writeTiles(dir string, coarser int) error {
	levels, err := c.levels(coarser)
	if err != nil {
		return err
	}
	w := &tiles{dir: dir, levels: levels, errors: make([]float64, len(levels))}
	members := make([][]int, len(levels))
	for level, l := range levels {
		if level > 0 { // what a level blurs is as large as its Gaussians
			w.errors[level] = math.Max(w.errors[level-1], l.usualSize())
		}
		for i := range l.Len() {
			members[level] = append(members[level], i)
		}
	}
	root, err := w.tile(members)
	if err != nil {
		return err
	}
	set := tileset{Asset: tilesetAsset{"1.1", "Splatworks"}, Root: root, GeometricError: 2 * root.GeometricError,
		ExtensionsUsed: []string{"3DTILES_content_gltf"},
		Extensions:     map[string]any{"3DTILES_content_gltf": map[string][]string{"extensionsUsed": {khrSplatting}}}}
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, tilesetName), text, 0o644)
}

// PlaceTiles puts a tileset that was written to dir on the Earth. earthFixed is a matrix of 4 x 4, columns first, that takes points of the
// cloud to metres in the earth-fixed axes of WGS 84; the root's transform takes those of tiles, whose axes are the cloud's x, z and -y.
func PlaceTiles(dir string, earthFixed [16]float64) error {
	path := filepath.Join(dir, tilesetName)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var set tileset
	if err := json.Unmarshal(text, &set); err != nil {
		return err
	}
	m := earthFixed
	set.Root.Transform = []float64{
		m[0], m[1], m[2], 0,
		m[8], m[9], m[10], 0,
		0 - m[4], 0 - m[5], 0 - m[6], 0, // no -0
		m[12], m[13], m[14], 1,
	}
	if text, err = json.Marshal(set); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// usualSize is the median of the longest standard deviations.
func (c *Cloud) usualSize() float64 {
	sizes := make([]float64, c.Len())
	for i := range sizes {
		l := triple(c.LogScales, i)
		sizes[i] = math.Exp(max(l[0], l[1], l[2]))
	}
	slices.Sort(sizes)
	if len(sizes) == 0 {
		return 0
	}
	return sizes[len(sizes)/2]
}

// tile writes the coarsest of the levels whose members are given, and the tiles below it.
func (w *tiles) tile(members [][]int) (*tile, error) {
	level := len(members) - 1
	t := &tile{Refine: "REPLACE", GeometricError: w.errors[level]}
	b := emptyBox()
	for l, of := range members {
		for _, i := range of {
			b.add(w.levels[l].boxOf(i))
		}
	}
	t.BoundingVolume.Box = tileBox(b)
	if len(members[level]) > 0 {
		name := fmt.Sprintf("%d.glb", w.count)
		w.count++
		t.Content = &tileContent{name}
		if err := w.write(name, w.levels[level].Picked(members[level])); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if level == 0 {
		return t, nil
	}
	left, right := w.split(members[:level])
	for _, half := range [][][]int{left, right} {
		if len(half[0]) == 0 {
			continue
		}
		child, err := w.tile(half)
		if err != nil {
			return nil, err
		}
		t.Children = append(t.Children, child)
	}
	return t, nil
}

// split parts all levels at the middle of the finest one's longest side.
func (w *tiles) split(members [][]int) (left, right [][]int) {
	finest := w.levels[0]
	b := emptyBox()
	for _, i := range members[0] {
		p := triple(finest.Means, i)
		b.add(box{p, p})
	}
	axis := 0
	for k := range 3 {
		if b.Max[k]-b.Min[k] > b.Max[axis]-b.Min[axis] {
			axis = k
		}
	}
	sorted := slices.Clone(members[0])
	selectNth(sorted, len(sorted)/2, func(i int) float32 { return finest.Means[3*i+axis] })
	var at float32
	if len(sorted) > 0 {
		at = finest.Means[3*sorted[len(sorted)/2]+axis]
	}
	left, right = make([][]int, len(members)), make([][]int, len(members))
	for level, of := range members {
		for _, i := range of {
			if w.levels[level].Means[3*i+axis] < at {
				left[level] = append(left[level], i)
			} else {
				right[level] = append(right[level], i)
			}
		}
	}
	return left, right
}

func (w *tiles) write(name string, c *Cloud) error {
	f, err := os.Create(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	return errors.Join(c.WriteGLB(f), f.Close())
}

// tileBox is a box of ours in the axes of tiles, x, z, -y: centre and half axes.
func tileBox(b box) []float64 {
	if !(b.Max[0] >= b.Min[0]) {
		b = box{}
	}
	centre, half := [3]float64{}, [3]float64{}
	for k := range 3 {
		centre[k], half[k] = (b.Min[k]+b.Max[k])/2, (b.Max[k]-b.Min[k])/2
	}
	return []float64{centre[0], centre[2], -centre[1], half[0], 0, 0, 0, half[2], 0, 0, 0, half[1]}
}

// readTiles reads the finest tiles: those that nothing replaces.
func readTiles(dir string) (*Cloud, error) {
	text, err := readSmall(filepath.Join(dir, tilesetName))
	if err != nil {
		return nil, err
	}
	var set tileset
	if err := json.Unmarshal(text, &set); err != nil || set.Root == nil {
		return nil, formatErrorf("%s: no root, or %v", tilesetName, err)
	}
	var parts []*Cloud
	set.Root.Transform = nil // where it is on the Earth
	if err := set.Root.read(dir, &parts); err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, formatErrorf("%s has no tile with content", tilesetName)
	}
	return Merged(parts...)
}

func (t *tile) read(dir string, parts *[]*Cloud) error {
	if len(t.Transform) > 0 && !slices.Equal(t.Transform, []float64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}) {
		return formatErrorf("a tile is moved by a transform, which is not read")
	}
	for _, child := range t.Children {
		if child != nil {
			if err := child.read(dir, parts); err != nil {
				return err
			}
		}
	}
	if t.Content == nil || len(t.Children) > 0 && t.Refine != "ADD" {
		return nil
	}
	name, err := url.PathUnescape(t.Content.URI)
	if err != nil || !filepath.IsLocal(name) {
		return formatErrorf("%s names %.80q, which is no part of it", tilesetName, t.Content.URI)
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	c, err := ReadGLB(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*parts = append(*parts, c)
	return nil
}
