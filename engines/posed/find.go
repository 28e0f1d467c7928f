// Package posed reads camera poses that a capture brings with it, and finds which of its images they are of.
//
// It is between the files of a capture (engines/frames) and everything that needs cameras: what it makes takes the place of
// structure from motion. A set of poses is a COLMAP model, binary or text, as RealityScan, Metashape and Pix4D export it too, or a
// transforms.json of instant-ngp, nerfstudio and the apps that export for them.
package posed

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/scene"
)

// Set is where one set of poses is among the files of a capture, as indexes into their names; -1: there is no such file.
type Set struct {
	Name                    string // of the folder of a COLMAP model, or the path of transforms.json
	Cameras, Images, Points int    // of a COLMAP model
	Text                    bool   // it is in text
	Transforms              int
	files                   []int // all that belong to it
}

// transformsNames are the files with NeRF's matrices, the usual name first. Of a set that is split, the part for training is used.
var transformsNames = []string{"transforms.json", "transforms_train.json"}

// Is says whether a file is part of a set of poses, by its name.
func Is(name string) bool {
	base := path.Base(name)
	return colmapPart[base] || slices.Contains(transformsNames, base)
}

// colmapPart are the names of the files of a COLMAP model, those included that are not needed.
var colmapPart = map[string]bool{
	scene.CamerasFile: true, scene.ImagesFile: true, scene.Points3DFile: true,
	scene.CamerasTextFile: true, scene.ImagesTextFile: true, scene.Points3DTextFile: true,
	"rigs.bin": true, "frames.bin": true, "rigs.txt": true, "frames.txt": true,
}

// Find lists the sets of poses among files, the one to be used first: of those nearest to the top a COLMAP model, which has
// points, before a transforms.json. A model without cameras or images is not a set.
func Find(names []string) []Set {
	folders := map[string]map[string]int{}
	var sets []Set
	for i, name := range names {
		base, folder := path.Base(name), path.Dir(name)
		if slices.Contains(transformsNames, base) {
			sets = append(sets, Set{Name: name, Cameras: -1, Images: -1, Points: -1, Transforms: i, files: []int{i}})
		}
		if colmapPart[base] {
			if folders[folder] == nil {
				folders[folder] = map[string]int{}
			}
			folders[folder][base] = i
		}
	}
	for folder, files := range folders {
		if s, ok := model(folder, files); ok {
			sets = append(sets, s)
		}
	}
	slices.SortFunc(sets, func(a, b Set) int {
		return cmp.Or(cmp.Compare(a.depth(), b.depth()), cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Name, b.Name))
	})
	return sets
}

// model is the set of a folder with files of a COLMAP model, by their names.
func model(folder string, files map[string]int) (Set, bool) {
	find := func(name string) int {
		if i, ok := files[name]; ok {
			return i
		}
		return -1
	}
	s := Set{Name: folder, Cameras: find(scene.CamerasFile), Images: find(scene.ImagesFile), Points: find(scene.Points3DFile), Transforms: -1}
	if s.Cameras < 0 || s.Images < 0 {
		s.Cameras, s.Images, s.Points, s.Text = find(scene.CamerasTextFile), find(scene.ImagesTextFile), find(scene.Points3DTextFile), true
	}
	for _, i := range files {
		s.files = append(s.files, i)
	}
	return s, s.Cameras >= 0 && s.Images >= 0
}

// Files are the indexes of all files that belong to the set.
func (s Set) Files() []int { return s.files }

// depth is the number of folders above the set's files.
func (s Set) depth() int {
	if s.Transforms < 0 && s.Name != "." {
		return strings.Count(s.Name, "/") + 1
	}
	return strings.Count(s.Name, "/")
}

func (s Set) rank() int {
	if s.Transforms < 0 {
		return 0
	}
	return 1 + slices.Index(transformsNames, path.Base(s.Name))
}
