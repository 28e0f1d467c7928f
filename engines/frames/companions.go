package frames

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
)

// Cameras, phones and programs put files of the same name beside a photo or a film: its short clip (Live Photo), its small
// copy for a phone's screen, its thumbnail, its raw data, its edited version, its settings. All of them are one capture,
// of which the still or the film itself is used.

// Extensions, in small letters: of what may have companions, and of companions.
var (
	stillExtensions = words("jpg jpeg jpe jfif heic heif hif png webp")
	filmExtensions  = words("mp4 mov m4v mkv webm avi mts m2ts mpg mpeg 3gp insv 360 mp")
	rawExtensions   = words("raw dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 pef srw x3f gpr iiq 3fr erf mrw rwl insp")
	// Settings of editors, subtitles with a drone's flight, metadata of exports.
	sidecarExtensions = words("aae xmp json srt pp3 dop on1 cos xml vtt lrcat wav")
	proxyExtensions   = words("lrv lrf")
	thumbExtensions   = words("thm")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set["."+w] = true
	}
	return set
}

// goPro is how GoPro numbers a film and its small copy: GX010001.MP4 and GL010001.LRV, GH010001.MP4, GOPR0001.MP4.
var goPro = regexp.MustCompile(`^g[xhl]([0-9]{6})$`)

// edited are the names of what phones' editors make of IMG_1: IMG_E1 beside IMG_1 (Apple), IMG_1-edited (Google),
// IMG_1_edited.
var (
	editedSuffix = regexp.MustCompile(`^(.+)[-_ ]edited(\([0-9]+\))?$`)
	editedApple  = regexp.MustCompile(`^img_e([0-9]+)$`)
)

// stem is what the names of a capture's files have in common: folder and name without its extensions, of which some
// programs write two (IMG_1.MP.jpg, IMG_1.HEIC.json).
func stem(name string) (key, extension string) {
	base := strings.ToLower(path.Base(name))
	extension = path.Ext(base)
	for range 2 {
		e := path.Ext(base)
		if stillExtensions[e] || filmExtensions[e] || rawExtensions[e] || sidecarExtensions[e] || proxyExtensions[e] || thumbExtensions[e] {
			base = strings.TrimSuffix(base, e)
		}
	}
	if m := goPro.FindStringSubmatch(base); m != nil {
		base = "gopro " + m[1]
	}
	return path.Join(strings.ToLower(path.Dir(name)), base), extension
}

// original is the stem of what an edited version was made from; ok is false for the name of anything else.
func original(key string) (of string, ok bool) {
	folder, base := path.Split(key)
	if m := editedSuffix.FindStringSubmatch(base); m != nil {
		return folder + m[1], true
	}
	if m := editedApple.FindStringSubmatch(base); m != nil {
		return folder + "img_" + m[1], true
	}
	return "", false
}

// setAside separates the companions of photos and films from the files of an input. Clips are left to isClipOf, which has to
// look into them; stills says by stem which photos there are.
func setAside(files []File) (rest []File, aside []Skipped, stills map[string]File) {
	stills = map[string]File{}
	films := map[string]File{}
	for _, f := range files {
		key, extension := stem(f.Name)
		switch {
		case stillExtensions[extension]:
			if _, have := stills[key]; !have {
				stills[key] = f
			}
		case filmExtensions[extension]:
			if _, have := films[key]; !have {
				films[key] = f
			}
		}
	}
	of := func(key string, kinds ...map[string]File) (File, bool) {
		for _, kind := range kinds {
			if f, ok := kind[key]; ok {
				return f, true
			}
		}
		return File{}, false
	}
	for _, f := range files {
		key, extension := stem(f.Name)
		var owner File
		var found bool
		what := ""
		switch {
		case rawExtensions[extension]:
			what = "the raw data"
			owner, found = of(key, stills)
		case proxyExtensions[extension]:
			what = "the small copy"
			owner, found = of(key, films)
		case thumbExtensions[extension]:
			what = "the thumbnail"
			owner, found = of(key, films, stills)
		case sidecarExtensions[extension]:
			what = "a description"
			owner, found = of(key, stills, films)
			if before, ok := original(key); ok && !found {
				owner, found = of(before, stills, films)
			}
		default:
			if before, ok := original(key); ok {
				what = "an edited version"
				owner, found = of(before, map[bool]map[string]File{true: stills, false: films}[stillExtensions[extension]])
			} else if first, ok := stills[key]; ok && stillExtensions[extension] && first != f && samePicture(first, f) {
				what, owner, found = "another format", first, true
			}
		}
		if found {
			aside = append(aside, Skipped{Name: f.Name, Reason: fmt.Sprintf("is %s of %s", what, owner.Name)})
		} else {
			rest = append(rest, f)
		}
	}
	return rest, aside, stills
}

// samePicture says whether two photos of one stem are the same in two formats: not where the shapes differ.
func samePicture(a, b File) bool {
	if path.Base(a.Name) == path.Base(b.Name) {
		return false // two members of one name in an archive, which may be anything
	}
	any := Limits{MinEdge: 1}.withDefaults()
	p, why := probePhoto(a.Path, any)
	q, whyNot := probePhoto(b.Path, any)
	if why != "" || whyNot != "" {
		return false
	}
	return sameShape(p.Width, p.Height, q.Width, q.Height)
}

// sameShape says whether two sizes have the same proportions, to a hundredth.
func sameShape(w, h, u, v int) bool {
	a, b := int64(w)*int64(v), int64(h)*int64(u)
	return 100*max(a-b, b-a) <= max(a, b)
}

const (
	// longestClip is what a still's own clip lasts, seconds: 3 on iPhones; up to 5 on other phones, and a little more.
	longestClip = 6
	// largestClip is more than any phone writes in that time: 160 Mbit/s.
	largestClip = 120 << 20
)

// isClipOf says whether a film is the clip of a photo of its stem. Where the file's own header gives its duration, no program is
// started to find it out: there may be as many clips as photos.
func (c *Capture) isClipOf(ctx context.Context, f File, stills map[string]File) (owner File, ok bool, err error) {
	key, _ := stem(f.Name)
	owner, ok = stills[key]
	if !ok {
		return owner, false, nil
	}
	if _, reason := probePhoto(owner.Path, c.limits); reason != "" {
		return owner, false, nil
	}
	if lasts, bytes, err := movieDuration(f.Path); err != nil {
		return owner, false, err
	} else if lasts > 0 && bytes <= largestClip {
		return owner, lasts <= longestClip, nil
	}
	v, err := Probe(ctx, c.tools, f.Path, c.limits)
	if refused := fault.Of(err); refused != nil {
		switch refused.Code {
		case VideoTooLong, TooManyFrames, PictureTooLarge, TooMuchMemory:
			return owner, false, nil
		}
		// Too short, too small or damaged: nothing to reconstruct from, beside its photo.
		return owner, true, nil
	}
	return owner, err == nil && v.DurationS <= longestClip, err
}

// warnAside names the companions that were set aside.
func (r *Report) warnAside(aside []Skipped) {
	if len(aside) == 0 {
		return
	}
	aside = slices.Clone(aside)
	slices.SortStableFunc(aside, func(a, b Skipped) int { return natural(a.Name, b.Name) })
	r.warn("companions_set_aside", "Nothing needs to be done; to use one of them, send it without the other.",
		"%s beside a photo or film of the same name %s not used; the first, %s, %s.", count(len(aside), "file"), wasWere(len(aside)), aside[0].Name, aside[0].Reason)
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
