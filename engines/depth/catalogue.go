package depth

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
)

//go:embed models/*.json
var builtIn embed.FS

// DefaultModel is the best one whose licence allows every use.
const DefaultModel = "depth-anything-v2-small"

// Catalogue lists the models that are known without any file, by name.
func Catalogue() []Descriptor {
	entries, err := builtIn.ReadDir("models")
	if err != nil {
		panic(err) // what was embedded cannot be missing
	}
	var all []Descriptor
	for _, entry := range entries {
		body, err := builtIn.ReadFile("models/" + entry.Name())
		if err != nil {
			panic(err)
		}
		var d Descriptor
		if err := json.Unmarshal(body, &d); err != nil {
			panic(fmt.Sprintf("models/%s: %v", entry.Name(), err))
		}
		all = append(all, d)
	}
	return all
}

// Models lists the models of a folder, NAME.json each, and those of the catalogue, by name. A descriptor in the folder
// replaces the catalogue's of the same name. Files that are no descriptors come back as an error; the list is valid all
// the same. A folder that does not exist is empty.
func Models(folder string) ([]Descriptor, error) {
	all := Catalogue()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	problems := []error{err}
	for _, file := range files {
		d, err := ReadDescriptor(file)
		if err == nil && d.Name != strings.TrimSuffix(filepath.Base(file), ".json") {
			err = fmt.Errorf("the descriptor %s is of %q: the file has to be named like the model", file, d.Name)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if i := slices.IndexFunc(all, func(known Descriptor) bool { return known.Name == d.Name }); i >= 0 {
			all[i] = d
		} else {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Descriptor) int { return cmp.Compare(a.Name, b.Name) })
	return all, errors.Join(problems...)
}

// FindModel gives the descriptor of a name: the folder's, else the catalogue's.
func FindModel(folder, name string) (Descriptor, error) {
	if d, err := ReadDescriptor(filepath.Join(folder, filepath.Base(name)+".json")); err == nil && d.Name == name {
		return d, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Descriptor{}, &fault.Failure{Code: ModelUnsuitable, Message: fmt.Sprintf("The descriptor of %s cannot be used.", name), Advice: "Correct it, or delete it.", Err: err}
	}
	all := Catalogue()
	names := make([]string, len(all))
	for i, d := range all {
		if names[i] = d.Name; d.Name == name {
			return d, nil
		}
	}
	return Descriptor{}, &fault.Failure{Code: ModelMissing, Message: fmt.Sprintf("There is no depth model %q.", name),
		Advice: "Use one of " + strings.Join(names, ", ") + ", or put a descriptor into the models' folder."}
}

// writeDescriptor puts NAME.json beside the weights.
func writeDescriptor(folder string, d Descriptor) error {
	body, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, d.Name+".json")
	if err := os.WriteFile(path+".part", append(body, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
