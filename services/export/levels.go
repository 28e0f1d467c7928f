package export

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// folders are the artifacts of those of Options.Outputs that are folders of many files: a zip each.
var folders = map[string]artifacts.Kind{"streamed-sog": artifacts.StreamedSOG, "3d-tiles": artifacts.Tiles}

// wanted are the folders to make. Where SOG is an output, a splat that is too large to be drawn whole gets its levels of detail, too.
func wanted(outputs []string, gaussians int) []splat.Folder {
	return slices.DeleteFunc(splat.Folders(), func(f splat.Folder) bool {
		large := folders[f.Name] == artifacts.StreamedSOG && slices.Contains(outputs, "sog") && splat.DefaultLevels(gaussians) > 0
		return !large && !slices.Contains(outputs, f.Name)
	})
}

// levels publishes the splat in levels of detail. They are extras: one that fails is a warning.
func levels(ctx context.Context, job *stage.Job, cloud *splat.Cloud) error {
	for _, f := range wanted(job.Options.Outputs, cloud.Len()) {
		kind := folders[f.Name]
		job.Progress(pipeline.Progress{Step: "writing " + kind.FileName(), Percent: 33})
		err := publishFolder(ctx, job, cloud, f, kind)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			job.Warn(pipeline.Warning{Code: "format_failed", Message: fmt.Sprintf("The splat could not be written as %s: %v.", f.Name, err),
				Advice: "splat.ply is complete; splatworks convert makes other formats of it."})
		}
	}
	return nil
}

// publishFolder fills a folder, reads it back, packs it and publishes that.
func publishFolder(ctx context.Context, job *stage.Job, cloud *splat.Cloud, f splat.Folder, kind artifacts.Kind) error {
	dir := filepath.Join(job.Dir, f.Name)
	defer os.RemoveAll(dir)
	if err := f.Write(dir, cloud, -1); err != nil {
		return err
	}
	again, err := f.Read(dir)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if again.Len() != cloud.Len() {
		return fmt.Errorf("read back: %d Gaussians of %d", again.Len(), cloud.Len())
	}
	if kind == artifacts.Tiles {
		if err := place(job, dir); err != nil {
			return err
		}
	}
	path := filepath.Join(job.Dir, kind.FileName())
	if err := writeFile(path, func(w io.Writer) error { return pack(w, dir, f.File) }); err != nil {
		return err
	}
	return job.Publish(ctx, kind, path)
}

// place puts 3D Tiles on the Earth, where photos said where that is.
func place(job *stage.Job, dir string) error {
	world, err := worldOf(job)
	if err != nil || world.Place == nil {
		return err
	}
	return splat.PlaceTiles(dir, world.Place.EarthFixed)
}

// pack writes a folder as a zip, the file that viewers open first. Files are stored as they are: a viewer reads one as a range of
// bytes of the zip.
func pack(w io.Writer, dir, first string) error {
	names := []string{first}
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if name != first {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, name := range names {
		if err := store(z, name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return z.Close()
}

func store(z *zip.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	to, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err != nil {
		return err
	}
	_, err = io.Copy(to, f)
	return err
}
