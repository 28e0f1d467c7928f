package posed

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
)

// Picture is an image of the capture whose pose is looked for.
type Picture struct {
	Name          string // path within the capture, with slashes
	Width, Height int    // as it is stored
	OnItsSide     bool   // it is shown with width and height swapped, by its EXIF orientation
}

// Found is the pose of a picture.
type Found struct {
	Pose int // index of the pose; -1: it has none
	// Stored says that the pose is of the pixels as they are stored, which is what programs for photogrammetry take; else of the
	// picture as it is shown.
	Stored bool
}

// Match finds the pose of each picture, by name: the one whose path has most in common with the picture's, from the end on and
// whatever the extension; of several copies of an image that with the size of the camera. The error is a *fault.Failure.
func (p *Poses) Match(pictures []Picture) ([]Found, error) {
	found := make([]Found, len(pictures))
	for i := range found {
		found[i].Pose = -1
	}
	taken := make([]bool, len(p.poses))
	matched := 0
	for _, m := range p.pairs(pictures) {
		if found[m.picture].Pose >= 0 || taken[m.pose] {
			continue
		}
		stored, err := p.fits(m.pose, pictures[m.picture])
		if err != nil {
			return nil, err
		}
		found[m.picture], taken[m.pose] = Found{m.pose, stored}, true
		matched++
	}
	switch {
	case matched == 0 && len(pictures) > 0:
		return nil, fail(OtherImages, adviceNames, "None of the %d poses in %s is of one of the %d images: the first pose is of %s, the first image is %s.",
			len(p.poses), p.From, len(pictures), p.poses[0].name, pictures[0].Name)
	case matched < leastPosed:
		return nil, fail(TooFewPosed, adviceNames, "Only %d of %d images have a pose in %s; at least %d are needed.", matched, len(pictures), p.From, leastPosed)
	}
	return found, nil
}

// leastPosed is the number of images from which a scene has any shape.
const leastPosed = 3

// pair is a pose and a picture of one name, without folder and extension.
type pair struct {
	pose, picture int
	common        int  // parts of their paths, from the end on
	size          bool // the picture has the camera's
	depth         int  // folders above the picture
}

// pairs are all that may belong together, the likeliest first.
func (p *Poses) pairs(pictures []Picture) []pair {
	byStem := map[string][]int{}
	for i, m := range pictures {
		key := stem(path.Base(m.Name))
		byStem[key] = append(byStem[key], i)
	}
	var pairs []pair
	for i := range p.poses {
		of := parts(p.poses[i].name)
		for _, k := range byStem[of[len(of)-1]] {
			m := pictures[k]
			q := pair{pose: i, picture: k, depth: strings.Count(m.Name, "/")}
			for its := parts(m.Name); q.common < min(len(of), len(its)) && of[len(of)-1-q.common] == its[len(its)-1-q.common]; {
				q.common++
			}
			if c, err := p.Camera(i, m.Width, m.Height); err == nil {
				q.size = c.Width == m.Width && c.Height == m.Height
			}
			pairs = append(pairs, q)
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if a.size != b.size && a.common == b.common {
			if a.size {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.common, a.common), cmp.Compare(a.depth, b.depth))
	})
	return pairs
}

// parts are the folders of a path and its name without extension, in small letters.
func parts(name string) []string {
	all := strings.Split(strings.ToLower(name), "/")
	all[len(all)-1] = stem(all[len(all)-1])
	return all
}

func stem(base string) string {
	base = strings.ToLower(base)
	switch path.Ext(base) {
	case ".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".jfif", ".jpe":
		return strings.TrimSuffix(base, path.Ext(base))
	}
	return base
}

// fits says whether a pose is of a picture as it is stored, or as it is shown. The error is a *fault.Failure: of neither.
func (p *Poses) fits(i int, m Picture) (stored bool, err error) {
	c, err := p.Camera(i, m.Width, m.Height)
	if err != nil {
		return false, err
	}
	switch {
	case alike(c.Width, c.Height, m.Width, m.Height):
		return true, nil
	case m.OnItsSide && alike(c.Width, c.Height, m.Height, m.Width):
		return false, nil
	}
	return false, fail(BadPoses, "Send the images that the poses are of: neither cropped, nor turned, nor undistorted afterwards.",
		"The camera of %s in %s takes pictures of %dx%d, but the image has %dx%d: another shape.", m.Name, p.From, c.Width, c.Height, m.Width, m.Height)
}

// alike says whether two sizes have the same proportions, to what rounding does to an eighth of a picture.
func alike(w, h, u, v int) bool {
	a, b := int64(w)*int64(v), int64(h)*int64(u)
	return 80*max(a-b, b-a) <= max(a, b)
}

// MatchFrames finds the pose of each of a number of frames of a film, by the number in the pose's name: frame_000012.jpg, as this
// program calls them, is the twelfth. Under other names there must be as many poses as frames, which are then in the order of these
// numbers; else they may be of pictures that were taken out of the film, of which nothing is known. The error is a *fault.Failure.
func (p *Poses) MatchFrames(frames, width, height int) ([]int, error) {
	numbers, own := make([]int, len(p.poses)), true
	for i := range p.poses {
		base := stem(path.Base(p.poses[i].name))
		n, err := strconv.Atoi(base[len(strings.TrimRight(base, "0123456789")):])
		if err != nil {
			return nil, fail(OtherImages, adviceFrames, "The pose of %s in %s names no frame of the video: its name does not end with a number.", p.poses[i].name, p.From)
		}
		own = own && base == fmt.Sprintf("frame_%06d", n)
		numbers[i] = n
	}
	order := make([]int, len(p.poses)) // poses by their numbers
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(numbers[a], numbers[b]) })
	least, most := numbers[order[0]], numbers[order[len(order)-1]]
	if fits := own && least >= 1 && most <= frames || !own && len(p.poses) == frames; !fits {
		return nil, fail(OtherImages, adviceFrames, "The %s in %s %s of images numbered from %d to %d, and the video has %d frames: which of them are meant is not known.",
			count(len(p.poses), "pose"), p.From, isAre(len(p.poses)), least, most, frames)
	}
	found := slices.Repeat([]int{-1}, frames)
	for rank, i := range order {
		if _, err := p.fits(i, Picture{Name: p.poses[i].name, Width: width, Height: height}); err != nil {
			return nil, err
		}
		if own {
			rank = numbers[i] - 1
		}
		found[rank] = i
	}
	if len(p.poses) < leastPosed {
		return nil, fail(TooFewPosed, adviceFrames, "Only %d of %d frames have a pose in %s; at least %d are needed.", len(p.poses), frames, p.From, leastPosed)
	}
	return found, nil
}

const adviceFrames = "Send the images that the poses are of instead of the video, or poses of its frames named frame_000001.jpg for the first."

// Missing are the warnings about pictures without a pose and poses without a picture, which names tell apart.
func (p *Poses) Missing(pictures []Picture, found []Found) []fault.Warning {
	has, hasStem := make([]bool, len(p.poses)), map[string]bool{}
	for i, f := range found {
		if f.Pose >= 0 {
			has[f.Pose], hasStem[stem(path.Base(pictures[i].Name))] = true, true
		}
	}
	var without, lost []string
	for i, f := range found {
		// Another size of an image is not missed.
		if f.Pose < 0 && !hasStem[stem(path.Base(pictures[i].Name))] {
			without = append(without, pictures[i].Name)
		}
	}
	for i := range p.poses {
		if !has[i] {
			lost = append(lost, p.poses[i].name)
		}
	}
	var warnings []fault.Warning
	if n := len(without); n > 0 {
		warnings = append(warnings, fault.Warn("images_without_pose", "Nothing needs to be done if they are not wanted; else export poses of all images.",
			"%s without a pose in %s %s left out: %s.", count(n, "image"), p.From, wasWere(n), some(without)))
	}
	if n := len(lost); n > 0 {
		warnings = append(warnings, fault.Warn("poses_without_image", adviceNames, "%s in %s %s of images that are not there: %s.", count(n, "pose"), p.From, isAre(n), some(lost)))
	}
	return warnings
}

// some names the first few.
func some(names []string) string {
	const most = 5
	if n := len(names) - most; n > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
