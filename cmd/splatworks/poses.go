package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/posed"
)

// posesFolder is where poses from elsewhere are in the zip that is made of them and the input.
const posesFolder = "poses"

// underPoses are the folders below the one that --poses names in which programs leave a COLMAP model, the nearest first.
var underPoses = []string{".", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse"}

// openPosed is openInput with the poses of a folder or file beside the input, packed into one zip. Poses that the input holds itself
// are left out.
func openPosed(ctx context.Context, input, poses string, notes io.Writer, leaveOut ...string) (r io.ReaderAt, size int64, done func(), err error) {
	if poses == "" {
		return openInput(ctx, input, notes, leaveOut...)
	}
	set, err := findPoses(poses)
	if err != nil {
		return nil, 0, nil, usageError{err}
	}
	f, err := os.CreateTemp("", "splatworks-*.zip")
	if err != nil {
		return nil, 0, nil, err
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	z := zip.NewWriter(f)
	if err = packInput(ctx, z, input, notes, set, append(leaveOut, f.Name())); err != nil {
		return nil, 0, nil, fmt.Errorf("pack %s with its poses: %w", input, err)
	}
	for _, file := range set {
		file.Name = path.Join(posesFolder, file.Name)
		if err = packWhole(ctx, z, file); err != nil {
			return nil, 0, nil, err
		}
	}
	if err = z.Close(); err != nil {
		return nil, 0, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, err
	}
	return f, info.Size(), done, nil
}

// findPoses are the files of the set that --poses names, with depth maps. Their names are relative to that of the poses.
func findPoses(poses string) ([]frames.File, error) {
	info, err := os.Stat(poses)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if path.Ext(poses) == ".json" {
			return transformsFiles(poses)
		}
		return modelIn(filepath.Dir(poses))
	}
	for _, below := range underPoses {
		folder := filepath.Join(poses, filepath.FromSlash(below))
		if found, err := modelIn(folder); err == nil {
			return found, nil
		}
		if file := filepath.Join(folder, "transforms.json"); isFile(file) {
			return transformsFiles(file)
		}
	}
	return nil, fmt.Errorf("--poses: %s holds no poses: cameras and images of COLMAP (.bin or .txt), or transforms.json, there or in sparse/0", poses)
}

// modelIn are the files of the COLMAP model in a folder.
func modelIn(folder string) ([]frames.File, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".bin") || strings.HasSuffix(e.Name(), ".txt") {
			names = append(names, e.Name())
		}
	}
	sets := posed.Find(names)
	if len(sets) == 0 {
		return nil, fmt.Errorf("--poses: %s lacks cameras or images of a COLMAP model (.bin or .txt)", folder)
	}
	var files []frames.File
	for _, i := range []int{sets[0].Cameras, sets[0].Images, sets[0].Points} {
		if i >= 0 {
			files = append(files, frames.File{Path: filepath.Join(folder, names[i]), Name: names[i]})
		}
	}
	return files, nil
}

// transformsFiles are a transforms.json, whatever its name, and the depth maps that it names with their confidence.
func transformsFiles(file string) ([]frames.File, error) {
	const name = "transforms.json"
	set := posed.Find([]string{name})[0]
	poses, err := set.Read(func(int) ([]byte, error) { return os.ReadFile(file) })
	if err != nil {
		return nil, err
	}
	files := []frames.File{{Path: file, Name: name}}
	for i := range poses.Len() {
		depth, _ := poses.Depth(i)
		for _, d := range []string{depth, frames.ConfidenceOf(depth)} {
			if at := filepath.Join(filepath.Dir(file), filepath.FromSlash(d)); depth != "" && filepath.IsLocal(filepath.FromSlash(d)) && isFile(at) {
				files = append(files, frames.File{Path: at, Name: d})
			}
		}
	}
	return files, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// packInput packs a video, a photo, a zip or a folder, without its own poses and without files that are packed with the poses.
func packInput(ctx context.Context, z *zip.Writer, input string, notes io.Writer, set []frames.File, leaveOut []string) error {
	info, err := os.Stat(input)
	if err != nil {
		return usageError{err}
	}
	if info.IsDir() {
		for _, file := range set {
			leaveOut = append(leaveOut, file.Path)
		}
		files, skipped, err := frames.FindFiles(ctx, input, leaveOut...)
		if err != nil {
			return err
		}
		noteSkipped(notes, skipped)
		for _, file := range files {
			if posed.Is(file.Name) {
				continue
			}
			if err := packWhole(ctx, z, file); err != nil {
				return err
			}
		}
		return nil
	}
	archive, err := zip.OpenReader(input)
	if errors.Is(err, zip.ErrFormat) {
		return packWhole(ctx, z, frames.File{Path: input, Name: filepath.Base(input)})
	}
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, member := range archive.File {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !posed.Is(member.Name) {
			if err := z.Copy(member); err != nil {
				return err
			}
		}
	}
	return nil
}

// packWhole packs a file that must be readable.
func packWhole(ctx context.Context, z *zip.Writer, file frames.File) error {
	opened, err := packFile(ctx, z, file)
	if err == nil && !opened {
		err = fmt.Errorf("%s cannot be read", file.Path)
	}
	return err
}
