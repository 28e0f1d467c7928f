package frames

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/posed"
	"github.com/splatworks/splatworks/engines/scene"
)

// posedImages are the poses that came with a capture; see engines/posed. The zero value has none.
type posedImages struct {
	poses    *posed.Poses
	photos   []posed.Found   // by photo
	frames   []int           // by frame of the one video; -1 without one
	depth    map[string]File // depth maps and their confidence, by name
	warnings []fault.Warning
}

// Poses is the name of the poses that came with the capture; "": there are none.
func (c *Capture) Poses() string { return c.posed.from() }

func (p posedImages) from() string {
	if p.poses == nil {
		return ""
	}
	return p.poses.From
}

// takePoses reads the poses among the files of an input, and separates these and depth maps from the rest.
func (c *Capture) takePoses(files []File) ([]File, error) {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	sets := posed.Find(names)
	if len(sets) == 0 {
		return files, nil
	}
	var err error
	if c.posed.poses, err = sets[0].Read(func(i int) ([]byte, error) {
		info, err := os.Stat(files[i].Path)
		if err == nil && info.Size() > posed.MostBytes(files[i].Name) {
			return nil, fail(posed.BadPoses, "Export the poses without the features of images.", "%s is larger than %d MiB.", files[i].Name, posed.MostBytes(files[i].Name)>>20)
		}
		if err != nil {
			return nil, err
		}
		return os.ReadFile(files[i].Path)
	}); err != nil {
		return nil, err
	}
	if len(sets) > 1 {
		c.posed.warnings = append(c.posed.warnings, fault.Warn("more_poses", "Send one set of poses alone, where another one is meant.",
			"There are %d sets of poses; %s was used, %s was not.", len(sets), sets[0].Name, sets[1].Name))
	}
	used := map[int]bool{}
	for _, s := range sets {
		for _, i := range s.Files() {
			used[i] = true
		}
	}
	declared := map[string]bool{}
	for i := range c.posed.poses.Len() {
		if name, _ := c.posed.poses.Depth(i); name != "" {
			declared[name], declared[ConfidenceOf(name)] = true, true
		}
	}
	c.posed.depth = map[string]File{}
	var rest []File
	for i, f := range files {
		switch {
		case declared[f.Name]:
			c.posed.depth[f.Name] = f
		case !used[i]:
			rest = append(rest, f)
		}
	}
	return rest, nil
}

// ConfidenceOf is where apps put the confidence of a depth map: a folder beside that of the maps.
func ConfidenceOf(depth string) string {
	folder, base := path.Split(depth)
	return path.Join(path.Dir(strings.TrimSuffix(folder, "/")), "confidence", base)
}

// matchPoses finds out which photos, or frames of the video, the poses are of. Photos without one are left out.
func (c *Capture) matchPoses() error {
	p := &c.posed
	if p.poses == nil {
		return nil
	}
	switch {
	case c.Video():
		v := c.videos[0]
		var err error
		p.frames, err = p.poses.MatchFrames(v.Frames, v.Width, v.Height)
		return err
	case len(c.videos) > 0:
		return fail(posed.OtherImages, "Send the images that the poses are of, without videos.", "There are poses in %s beside %s: which of their frames they are of is not known.", p.from(), count(len(c.videos), "video"))
	}
	pictures := make([]posed.Picture, len(c.photos.Photos))
	for i, m := range c.photos.Photos {
		pictures[i] = posed.Picture{Name: m.Name, Width: m.Width, Height: m.Height, OnItsSide: m.Exif.sideways()}
		if m.Exif.sideways() {
			pictures[i].Width, pictures[i].Height = m.Height, m.Width
		}
	}
	found, err := p.poses.Match(pictures)
	if err != nil {
		return err
	}
	p.warnings = append(p.warnings, p.poses.Missing(pictures, found)...)
	var kept []Photo
	for i, m := range c.photos.Photos {
		if found[i].Pose < 0 {
			continue
		}
		if found[i].Stored && m.Exif.Orientation > 1 {
			m.turned, m.asStored, m.Exif.Orientation = m.Exif.Orientation, true, 1
			m.Width, m.Height = pictures[i].Width, pictures[i].Height
		}
		kept, p.photos = append(kept, m), append(p.photos, found[i])
	}
	c.photos.Photos = kept
	return nil
}

// checkPoses refuses poses of 360 degree pictures, of which views are cut that they are not of.
func (c *Capture) checkPoses() error {
	spherical := slices.ContainsFunc(c.photos.Photos, func(p Photo) bool { return p.Spherical }) || slices.ContainsFunc(c.videos, func(v Video) bool { return v.Spherical })
	if c.posed.poses != nil && spherical {
		return fail(posed.UnknownCameraModel, "Leave the poses out, and they are computed; or say that the pictures are flat (projection).", "The poses in %s are of pictures of 360 degrees, which is not supported.", c.posed.from())
	}
	return nil
}

// posedFrames says which frames of the video have a pose; nil where no poses came with it.
func (c *Capture) posedFrames() func(index int) bool {
	if c.posed.poses == nil {
		return nil
	}
	return func(index int) bool { return index < len(c.posed.frames) && c.posed.frames[index] >= 0 }
}

// Posed is what is known of extracted images by the poses that came with the capture.
type Posed struct {
	// Model has exactly the images, with cameras of their sizes; points where a COLMAP model has some.
	Model *scene.Reconstruction
	// Turned are the EXIF orientations of images that lie on their side or stand on their head, as the poses want them.
	Turned map[string]int
	// Depth are depth maps by the names of their images.
	Depth map[string]posed.DepthMap
}

// Posed makes the model of images that Extract wrote, with the poses that came with the capture.
func (c *Capture) Posed(images []Image) (Posed, error) {
	out := Posed{Turned: map[string]int{}, Depth: map[string]posed.DepthMap{}}
	placed := make([]posed.Placed, len(images))
	for i, m := range images {
		at := -1
		if c.IsFrame(m) && m.Index < len(c.posed.frames) {
			at = c.posed.frames[m.Index]
		} else if !c.IsFrame(m) && m.Index < len(c.posed.photos) {
			at = c.posed.photos[m.Index].Pose
			if turned := c.photos.Photos[m.Index].turned; turned > 1 {
				out.Turned[m.Name] = turned
			}
		}
		if at < 0 {
			return out, fmt.Errorf("no pose of %s: the selection was made from another capture", m.Name)
		}
		placed[i] = posed.Placed{Pose: at, Name: m.Name, Width: m.Width, Height: m.Height}
		name, unit := c.posed.poses.Depth(at)
		if f, ok := c.posed.depth[name]; ok && name != "" {
			out.Depth[m.Name] = posed.DepthMap{Path: f.Path, Confidence: c.posed.depth[ConfidenceOf(name)].Path, Unit: unit}
		}
	}
	var err error
	out.Model, err = c.posed.poses.Model(placed)
	return out, err
}
