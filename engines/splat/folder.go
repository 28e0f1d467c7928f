package splat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Folder is a kind of folder that holds a splat. It is named by the file with which a viewer begins.
type Folder struct {
	Name  string // as Format.Name
	File  string // that viewers open
	Opens string // what opens it, for people
	Keeps string // what is in it
	write func(c *Cloud, dir string, levels int) error
	read  func(dir string) (*Cloud, error)
}

var folders = []Folder{
	{"sog-folder", sogMetaName, "PlayCanvas, SuperSplat, Babylon.js", "what a SOG bundle has, as files",
		func(c *Cloud, dir string, _ int) error { return c.Picked(c.mortonOrder()).writeSOGFolder(dir) }, readSOGFolder},
	{"streamed-sog", streamedName, "PlayCanvas, SuperSplat, Babylon.js", "levels of detail as SOG, which load by distance",
		(*Cloud).writeStreamed, readStreamed},
	{"3d-tiles", tilesetName, "CesiumJS", "levels of detail as GLB, in a tree of tiles",
		(*Cloud).writeTiles, readTiles},
}

// Folders lists them.
func Folders() []Folder { return append([]Folder(nil), folders...) }

// FolderOf finds the kind of folder that a path to its first file stands for.
func FolderOf(path string) (f Folder, ok bool) {
	for _, f := range folders {
		if strings.EqualFold(filepath.Base(path), f.File) {
			return f, true
		}
	}
	return Folder{}, false
}

// Write fills a folder, which it makes where there is none. Levels above the finest are made where the kind has them: as many as
// asked for, DefaultLevels where levels is negative. The first file is written last.
func (f Folder) Write(dir string, c *Cloud, levels int) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := f.write(c, dir, levels); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	return nil
}

// Read reads a folder, its finest level.
func (f Folder) Read(dir string) (*Cloud, error) {
	c, err := f.read(dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return c, nil
}
