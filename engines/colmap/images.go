package colmap

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // sizes of photos
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// listImages names the files in a folder and its subfolders, in order, with slashes. Hidden files are left out.
func listImages(folder string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && path != folder {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			name, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// writeList writes one name a line, as COLMAP's image_list_path wants it.
func writeList(file string, names []string) error {
	return os.WriteFile(file, []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

// cameraGroup is a set of images for one call of feature_extractor.
type cameraGroup struct {
	names  []string
	single bool // they share one camera
}

// cameraGroups decides which images share a camera. Frames of a video do. Photos with EXIF data are left to COLMAP,
// which lets those share a camera whose maker, model, focal length and size agree. Other photos share one if their
// sizes agree: separate cameras for each would leave mappers too many unknowns.
func cameraGroups(folder string, names []string, video bool) ([]cameraGroup, error) {
	if video {
		return []cameraGroup{{names: names, single: true}}, nil
	}
	withEXIF := cameraGroup{}
	bySize := make(map[image.Point]*cameraGroup)
	var sizes []image.Point
	for _, name := range names {
		size, exif, err := inspect(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		if exif {
			withEXIF.names = append(withEXIF.names, name)
			continue
		}
		if bySize[size] == nil {
			bySize[size] = &cameraGroup{single: true}
			sizes = append(sizes, size)
		}
		bySize[size].names = append(bySize[size].names, name)
	}
	var groups []cameraGroup
	if len(withEXIF.names) > 0 {
		groups = append(groups, withEXIF)
	}
	for _, size := range sizes {
		groups = append(groups, *bySize[size])
	}
	return groups, nil
}

// inspect reads an image's size, which is 0×0 if the format is not known here (COLMAP may know it), and whether it
// carries EXIF data, which stands near the start of the file.
func inspect(file string) (size image.Point, exif bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return image.Point{}, false, err
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return image.Point{}, false, err
	}
	head = head[:n]
	exif = bytes.Contains(head, []byte("Exif\x00\x00")) || bytes.Contains(head, []byte("eXIf"))
	if config, _, err := image.DecodeConfig(io.MultiReader(bytes.NewReader(head), f)); err == nil {
		size = image.Pt(config.Width, config.Height)
	}
	return size, exif, nil
}
