package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/web"
)

type convertCommand struct {
	Files     []string `arg:"" name:"file" help:"Splats to read, merged if there are several, then the file to write. Its extension sets the format."`
	Crop      string   `placeholder:"X,Y,Z,X,Y,Z" help:"Keep what is centred in this box: its lowest and its highest corner, in the units of the file."`
	Up        string   `placeholder:"X,Y,Z" help:"Direction that is up in the splat, which is turned so that this is up in the format, too."`
	Rotate    string   `placeholder:"X,Y,Z,DEGREES" help:"Turn about an axis through the origin."`
	Scale     float64  `default:"1" help:"Multiply all sizes and distances by this."`
	Translate string   `placeholder:"X,Y,Z" help:"Move by this, after turning and scaling."`
	Count     int      `placeholder:"N" help:"Merge Gaussians until at most N are left, first those whose loss shows least."`
	Levels    int      `default:"-1" placeholder:"N" help:"Number of coarser levels of detail in lod-meta.json and tileset.json, each of half as many Gaussians; by default as many as it takes to come down to a million."`
	Place     string   `placeholder:"REPORT" help:"Place 3D Tiles on the Earth, by the report.json that came with the splat (of photos with GPS)."`
	Degree    int      `default:"-1" placeholder:"D" help:"Highest degree of the spherical harmonics to keep, 0 to 3."`
}

func (convertCommand) Help() string {
	var b strings.Builder
	b.WriteString(`    splatworks convert out/splat.ply room.sog
    splatworks convert --count 200000 out/splat.ply phone.spz
    splatworks convert out/splat.ply room.html
    splatworks convert out/splat.ply streamed/lod-meta.json
    splatworks convert --crop=-1,-1,-1,1,1,1 --rotate 1,0,0,180 out/splat.ply toy.glb

A crop is applied first, then up, rotation, scale and translation, then the count. Formats, by the end of the name:
`)
	for _, f := range splat.Formats() {
		fmt.Fprintf(&b, "\n    %-16s %s", f.Suffix, f.Opens)
	}
	fmt.Fprintf(&b, "\n    %-16s every browser, from a disk too: a viewer and the splat in one page", pageSuffix)
	b.WriteString("\n\nFolders, by the name of their first file:\n")
	for _, f := range splat.Folders() {
		fmt.Fprintf(&b, "\n    %-16s %s: %s", f.File, f.Opens, f.Keeps)
	}
	return b.String()
}

func (cmd convertCommand) Run(c console) error {
	if len(cmd.Files) < 2 {
		return usageError{errors.New("name at least one splat to read, and the file to write")}
	}
	inputs, out := cmd.Files[:len(cmd.Files)-1], cmd.Files[len(cmd.Files)-1]
	write, err := cmd.writer(out)
	if err != nil {
		return usageError{err}
	}
	if cmd.Levels > splat.MostLevels {
		return usageError{fmt.Errorf("--levels %d: up to %d are possible", cmd.Levels, splat.MostLevels)}
	}
	var clouds []*splat.Cloud
	for _, name := range inputs {
		cloud, _, err := readSplat(c, name)
		if err != nil {
			return err
		}
		clouds = append(clouds, cloud)
	}
	cloud, err := splat.Merged(clouds...)
	if err != nil {
		return err
	}
	if cloud, err = cmd.edit(cloud); err != nil {
		return err
	}
	size, err := write(cloud)
	if err != nil {
		return err
	}
	said := fmt.Sprintf("%s: %d Gaussians", out, cloud.Len())
	if size > 0 {
		said += ", " + megabytes(size)
	}
	_, err = fmt.Fprintln(c.out, said)
	return err
}

// writer is how a splat is written to out, by the end of that name. The size of a folder is not counted: 0.
func (cmd convertCommand) writer(out string) (func(*splat.Cloud) (size int64, err error), error) {
	folder, ok := splat.FolderOf(out)
	place, err := cmd.place(folder)
	if err != nil {
		return nil, err
	}
	if ok {
		return func(cloud *splat.Cloud) (int64, error) {
			if err := folder.Write(filepath.Dir(out), cloud, cmd.Levels); err != nil || place == nil {
				return 0, err
			}
			return 0, splat.PlaceTiles(filepath.Dir(out), place.EarthFixed)
		}, nil
	}
	if strings.HasSuffix(strings.ToLower(out), pageSuffix) {
		return func(cloud *splat.Cloud) (int64, error) { return writePage(out, cloud) }, nil
	}
	format, err := splat.FormatOf(out)
	if err != nil {
		return nil, fmt.Errorf("%w, or %s", err, pageSuffix)
	}
	return func(cloud *splat.Cloud) (int64, error) { return writeSplat(out, format, cloud) }, nil
}

// pageSuffix is that of a page with a viewer and the splat in it.
const pageSuffix = ".html"

func writePage(path string, cloud *splat.Cloud) (size int64, err error) {
	sog, err := splat.FormatNamed("sog")
	if err != nil {
		return 0, err
	}
	var held bytes.Buffer
	if err := sog.Write(&held, cloud); err != nil {
		return 0, err
	}
	title := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	page := web.Standalone{Title: title, Name: "splat" + sog.Suffix}
	return writeWhole(path, func(w io.Writer) error { return page.Write(w, &held) })
}

// place reads where the splat is on the Earth, if that was asked for.
func (cmd convertCommand) place(folder splat.Folder) (*scene.Place, error) {
	if cmd.Place == "" {
		return nil, nil
	}
	if folder.Name != "3d-tiles" || cmd.Up != "" || cmd.Rotate != "" || cmd.Translate != "" || cmd.Scale != 1 {
		return nil, errors.New("--place is for a tileset.json, without --up, --rotate, --scale and --translate: what the report says is about the splat as it came")
	}
	text, err := os.ReadFile(cmd.Place)
	if err != nil {
		return nil, err
	}
	var report struct {
		SfM struct {
			World scene.World `json:"world"`
		} `json:"sfm"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("%s is no report: %w", cmd.Place, err)
	}
	if report.SfM.World.Place == nil {
		return nil, fmt.Errorf("%s does not say where the splat is on the Earth: that takes photos with GPS that fit their poses", cmd.Place)
	}
	return report.SfM.World.Place, nil
}

// edit applies what was asked for.
func (cmd convertCommand) edit(cloud *splat.Cloud) (*splat.Cloud, error) {
	if cmd.Crop != "" {
		box, err := numbers("--crop", cmd.Crop, 6)
		if err != nil {
			return nil, err
		}
		cloud = cloud.Cropped([3]float64(box[:3]), [3]float64(box[3:]))
		if cloud.Len() == 0 {
			return nil, usageError{fmt.Errorf("--crop %s: no Gaussian is centred in this box; 'splatworks info' says where they are", cmd.Crop)}
		}
	}
	move := splat.Transform{Scale: cmd.Scale, Rotation: [4]float64{1, 0, 0, 0}}
	if cmd.Up != "" {
		up, err := numbers("--up", cmd.Up, 3)
		if err != nil {
			return nil, err
		}
		turn, err := splat.Upright([3]float64(up))
		if err != nil {
			return nil, usageError{fmt.Errorf("--up: %w", err)}
		}
		if cloud, err = cloud.Moved(splat.Transform{Scale: 1, Rotation: turn}); err != nil {
			return nil, usageError{err}
		}
	}
	if cmd.Rotate != "" {
		turn, err := numbers("--rotate", cmd.Rotate, 4)
		if err != nil {
			return nil, err
		}
		if move.Rotation, err = splat.AxisAngle([3]float64(turn[:3]), turn[3]); err != nil {
			return nil, usageError{fmt.Errorf("--rotate: %w", err)}
		}
	}
	if cmd.Translate != "" {
		by, err := numbers("--translate", cmd.Translate, 3)
		if err != nil {
			return nil, err
		}
		move.Translation = [3]float64(by)
	}
	if move != (splat.Transform{Scale: 1, Rotation: [4]float64{1, 0, 0, 0}}) {
		moved, err := cloud.Moved(move)
		if err != nil {
			return nil, usageError{err}
		}
		cloud = moved
	}
	if cmd.Degree > splat.MaxDegree {
		return nil, usageError{fmt.Errorf("--degree %d: 0 to %d are possible", cmd.Degree, splat.MaxDegree)}
	}
	if cmd.Degree >= 0 {
		cloud = cloud.WithDegree(min(cmd.Degree, cloud.Degree))
	}
	if cmd.Count < 0 {
		return nil, usageError{fmt.Errorf("--count %d: give how many Gaussians may be left", cmd.Count)}
	}
	if cmd.Count > 0 {
		return cloud.Reduced(cmd.Count)
	}
	return cloud, nil
}

// numbers reads n numbers with commas between them.
func numbers(flag, text string, n int) ([]float64, error) {
	parts := strings.Split(text, ",")
	values := make([]float64, 0, n)
	for _, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || v != v || len(parts) != n {
			return nil, usageError{fmt.Errorf("%s %s: give %d numbers with commas between them", flag, text, n)}
		}
		values = append(values, v)
	}
	return values, nil
}

func writeSplat(path string, format splat.Format, cloud *splat.Cloud) (size int64, err error) {
	return writeWhole(path, func(w io.Writer) error { return format.Write(w, cloud) })
}

// writeWhole writes a file beside its place and moves it there when it is whole.
func writeWhole(path string, write func(w io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".splatworks-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync()); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), path)
}

type infoCommand struct {
	File string `arg:"" help:"A splat in any format that 'splatworks convert' reads."`
	JSON bool   `help:"Print JSON for scripts."`
}

func (cmd infoCommand) Run(c console) error {
	cloud, format, err := readSplat(c, cmd.File)
	if err != nil {
		return err
	}
	s := cloud.Summarise()
	if cmd.JSON {
		return printJSON(c, struct {
			Format string `json:"format"`
			splat.Summary
		}{format.Name, s})
	}
	_, err = fmt.Fprintf(c.out, `format      %s
gaussians   %d
sh degree   %d
trained for %s
box         %.4g to %.4g
size        %.3g to %.3g (middle 90 %%)
opacity     %.2f to %.2f (middle 90 %%)
needles     %d, more than 30 times as long as wide
faint       %d, of an opacity under 0.02
`, format.Name, s.Gaussians, s.Degree, s.Mode, s.Low, s.High, s.Size[0], s.Size[1], s.Opacity[0], s.Opacity[1], s.Needles, s.Faint)
	return err
}
