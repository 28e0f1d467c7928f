package splat

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Levels of detail: level 0 is the cloud, each further one has half as many Gaussians, merged from those of the level before.

// wholeGaussians is what a phone draws whole; the coarsest level has at most as many.
const wholeGaussians = 1_000_000

// DefaultLevels is the number of levels above the finest: ceil(log2(n / 1 M)), and none up to a million Gaussians.
func DefaultLevels(gaussians int) int {
	if gaussians <= wholeGaussians {
		return 0
	}
	return int(math.Ceil(math.Log2(float64(gaussians) / wholeGaussians)))
}

// MostLevels bounds what may be asked for: the coarsest of a million Gaussians is one.
const MostLevels = 20

// levels makes the levels, the finest first; a negative number is the default.
func (c *Cloud) levels(coarser int) ([]*Cloud, error) {
	if coarser < 0 {
		coarser = DefaultLevels(c.Len())
	}
	if coarser > MostLevels {
		return nil, fmt.Errorf("%d levels are more than %d", coarser, MostLevels)
	}
	all := []*Cloud{c}
	for len(all) <= coarser && all[len(all)-1].Len() > 1 {
		next, err := all[len(all)-1].Reduced((all[len(all)-1].Len() + 1) / 2)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return all, nil
}

// Streamed SOG: lod-meta.json has a tree of boxes. A leaf says for each level where its Gaussians are: in which SOG folder, from
// which place on, how many. A viewer loads for each leaf the level that suits its distance.
// Source: github.com/playcanvas/splat-transform, src/lib/writers/write-lod.ts.

const (
	streamedName = "lod-meta.json"
	streamedLeaf = 1 << 16 // Gaussians of all levels: what is drawn in one level of detail
	streamedFile = 1 << 19 // Gaussians after which the next file begins: what is loaded at once
)

type (
	streamedMeta struct {
		Version int `json:"version"`
		Asset   struct {
			Generator string `json:"generator,omitempty"`
		} `json:"asset"`
		Count     int           `json:"count"`
		Counts    []int         `json:"counts"`
		Levels    int           `json:"lodLevels"`
		Filenames []string      `json:"filenames"`
		Tree      *streamedNode `json:"tree"`
	}
	streamedNode struct {
		Bound    box                      `json:"bound"`
		Children []*streamedNode          `json:"children,omitempty"`
		Levels   map[string]streamedRange `json:"lods,omitempty"`
	}
	streamedRange struct {
		File   int `json:"file"`
		Offset int `json:"offset"`
		Count  int `json:"count"`
	}
	box struct {
		Min [3]float64 `json:"min"`
		Max [3]float64 `json:"max"`
	}
)

// add grows a box.
func (b *box) add(o box) {
	for k := range 3 {
		b.Min[k], b.Max[k] = math.Min(b.Min[k], o.Min[k]), math.Max(b.Max[k], o.Max[k])
	}
}

func emptyBox() (b box) {
	for k := range 3 {
		b.Min[k], b.Max[k] = math.Inf(1), math.Inf(-1)
	}
	return b
}

// boxOf is around a Gaussian, its standard deviations included.
func (c *Cloud) boxOf(i int) (b box) {
	r, p := matrixOf(c.unitQuat(i)), triple(c.Means, i)
	for k := range 3 {
		half := 0.0
		for axis := range 3 {
			half += math.Abs(r[k][axis]) * math.Exp(float64(c.LogScales[3*i+axis]))
		}
		b.Min[k], b.Max[k] = p[k]-half, p[k]+half
	}
	return b
}

// ofLevel is a Gaussian of a level.
type ofLevel struct{ level, i int32 }

// streamed is a streamed SOG that is being laid out.
type streamed struct {
	levels []*Cloud
	leaf   int // Gaussians of all levels in a leaf, at most
	file   int // Gaussians after which the next file of a level begins
	meta   streamedMeta
	files  []streamedPart // in the order of meta.Filenames
	open   []int          // of each level, the file that takes more; -1: none
}

type streamedPart struct {
	level int
	order []int // of the Gaussians
}

// writeStreamed writes lod-meta.json and its folders.
func (c *Cloud) writeStreamed(dir string, coarser int) error {
	levels, err := c.levels(coarser)
	if err != nil {
		return err
	}
	return layStreamed(levels, streamedLeaf, streamedFile).write(dir)
}

// layStreamed decides which Gaussian goes where.
func layStreamed(levels []*Cloud, leaf, file int) *streamed {
	s := &streamed{levels: levels, leaf: leaf, file: file}
	s.meta.Version, s.meta.Levels, s.meta.Asset.Generator = 1, len(levels), "Splatworks"
	var all []ofLevel
	for level, l := range levels {
		s.open = append(s.open, -1)
		s.meta.Counts = append(s.meta.Counts, l.Len())
		s.meta.Count += l.Len()
		for i := range l.Len() {
			all = append(all, ofLevel{int32(level), int32(i)})
		}
	}
	s.meta.Filenames = []string{}
	s.meta.Tree = s.node(all)
	return s
}

func (s *streamed) write(dir string) error {
	for k, part := range s.files {
		name := filepath.Dir(s.meta.Filenames[k])
		if err := s.levels[part.level].Picked(part.order).writeSOGFolder(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	text, err := json.Marshal(s.meta)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, streamedName), text, 0o644)
}

// node splits Gaussians at the median of the longest side of their centres until few are left.
func (s *streamed) node(all []ofLevel) *streamedNode {
	if len(all) > s.leaf {
		left, right := s.split(all)
		n := &streamedNode{Bound: emptyBox(), Children: []*streamedNode{s.node(left), s.node(right)}}
		for _, child := range n.Children {
			n.Bound.add(child.Bound)
		}
		return n
	}
	n := &streamedNode{Levels: map[string]streamedRange{}}
	if len(all) > 0 {
		n.Bound = emptyBox()
	}
	members := make([][]int, len(s.levels))
	for _, g := range all {
		n.Bound.add(s.levels[g.level].boxOf(int(g.i)))
		members[g.level] = append(members[g.level], int(g.i))
	}
	for level, of := range members {
		if len(of) > 0 {
			n.Levels[strconv.Itoa(level)] = s.take(level, of)
		}
	}
	return n
}

func (s *streamed) split(all []ofLevel) (left, right []ofLevel) {
	b := emptyBox()
	for _, g := range all {
		p := triple(s.levels[g.level].Means, int(g.i))
		b.add(box{p, p})
	}
	axis := 0
	for k := range 3 {
		if b.Max[k]-b.Min[k] > b.Max[axis]-b.Min[axis] {
			axis = k
		}
	}
	selectNth(all, len(all)/2, func(g ofLevel) float32 { return s.levels[g.level].Means[3*int(g.i)+axis] })
	return all[:len(all)/2], all[len(all)/2:]
}

// take puts a leaf's Gaussians of a level into the level's file, along a Z curve.
func (s *streamed) take(level int, members []int) streamedRange {
	k := s.open[level]
	if k < 0 || len(s.files[k].order) >= s.file {
		number := 0
		for _, f := range s.files {
			if f.level == level {
				number++
			}
		}
		k = len(s.files)
		s.open[level] = k
		s.files = append(s.files, streamedPart{level: level})
		s.meta.Filenames = append(s.meta.Filenames, fmt.Sprintf("%d_%d/%s", level, number, sogMetaName))
	}
	f := &s.files[k]
	at := streamedRange{File: k, Offset: len(f.order), Count: len(members)}
	slices.Sort(members)
	for _, i := range s.levels[level].Picked(members).mortonOrder() {
		f.order = append(f.order, members[i])
	}
	return at
}

// readStreamed reads the finest level.
func readStreamed(dir string) (*Cloud, error) {
	text, err := readSmall(filepath.Join(dir, streamedName))
	if err != nil {
		return nil, err
	}
	var meta streamedMeta
	if err := json.Unmarshal(text, &meta); err != nil || meta.Tree == nil {
		return nil, formatErrorf("%s: no tree, or %v", streamedName, err)
	}
	finest := map[int]bool{}
	meta.Tree.filesOf("0", finest)
	var parts []*Cloud
	for k, name := range meta.Filenames {
		if !finest[k] {
			continue
		}
		if !filepath.IsLocal(name) || filepath.Base(name) != sogMetaName {
			return nil, formatErrorf("%s names %.80q, which is no part of it", streamedName, name)
		}
		part, err := readSOGFolder(filepath.Join(dir, filepath.Dir(name)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, formatErrorf("%s has no Gaussians in its finest level", streamedName)
	}
	return Merged(parts...)
}

func (n *streamedNode) filesOf(level string, files map[int]bool) {
	if at, ok := n.Levels[level]; ok {
		files[at.File] = true
	}
	for _, child := range n.Children {
		if child != nil {
			child.filesOf(level, files)
		}
	}
}

// maxIndex bounds an index of other files: that of a hundred million Gaussians has 2 MB.
const maxIndex = 1 << 26

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxIndex {
		return nil, formatErrorf("%s has %d bytes, more than %d", filepath.Base(path), info.Size(), maxIndex)
	}
	return os.ReadFile(path)
}
