package frames

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
)

// A mask says which pixels of an image count: where it is 0, the image shows something that is no part of the scene (a
// passer-by, the turntable, the sky) and neither matching nor training looks there. Clients send masks as pictures in a
// folder called masks beside their photos or video, or as the transparent parts of PNG and WebP photos.

// MasksBeside is the folder that the masks of the images in dir are written to: COLMAP's mask_path. The mask of NAME
// is called NAME.png and has the size of the image, 0 and 255. Images without one count in full.
func MasksBeside(dir string) string { return filepath.Join(filepath.Dir(dir), "masks") }

// MaskName is the file name of an image's mask, COLMAP's convention.
func MaskName(image string) string { return image + ".png" }

// maskFiles are a client's masks, by the name of what they belong to; see maskKey.
type maskFiles map[string]File

// takeMasks separates the masks from the files of an input. Of two masks of one photo the second is left out.
func takeMasks(files []File) (rest []File, masks maskFiles, doubled []Skipped) {
	masks = maskFiles{}
	for _, f := range files {
		key, ok := maskKey(f.Name)
		first, have := masks[key]
		switch {
		case !ok:
			rest = append(rest, f)
		case have:
			doubled = append(doubled, Skipped{Name: f.Name, Reason: "is a second mask of what " + first.Name + " belongs to"})
		default:
			masks[key] = f
		}
	}
	return rest, masks, doubled
}

// maskKey is what a mask's path has in common with that of its photo: masks/a/IMG_1.png, a/masks/IMG_1.jpg.png and
// a/IMG_1.jpg all give a/img_1. ok says whether the path is that of a mask.
func maskKey(name string) (key string, ok bool) {
	var kept []string
	folders := strings.Split(strings.ToLower(name), "/")
	base := folders[len(folders)-1]
	for _, folder := range folders[:len(folders)-1] {
		switch folder {
		case "masks", "mask":
			ok = true
		case "images", "photos":
		default:
			kept = append(kept, folder)
		}
	}
	for range 2 {
		switch path.Ext(base) {
		case ".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif":
			base = strings.TrimSuffix(base, path.Ext(base))
		}
	}
	return strings.Join(append(kept, base), "/"), ok
}

// of finds the mask of the first of several names that has one: of a photo by its own name, of a frame by the name that
// it is extracted under.
func (m maskFiles) of(names ...string) (File, bool) {
	for _, name := range names {
		key, _ := maskKey(name)
		if f, ok := m[key]; ok {
			return f, true
		}
	}
	return File{}, false
}

// prepareMask writes a client's mask for an upright image of w by h pixels. A mask that is as wide and high as the photo
// is stored, but not as it is shown, lies on its side like the photo.
func prepareMask(ctx context.Context, mask File, p Photo, w, h int, target string) error {
	m, reason := probePhoto(mask.Path, Limits{MinEdge: 1}.withDefaults())
	if reason != "" {
		return fmt.Errorf("the mask %s %s", mask.Name, reason)
	}
	picture, err := decodePicture(ctx, mask.Path)
	if err != nil {
		return fmt.Errorf("the mask %s: %w", mask.Name, err)
	}
	turn := m.Exif.Orientation
	if turn <= 1 && p.Exif.sideways() && m.Width == p.Height && m.Height == p.Width && m.Width != m.Height {
		turn = p.Exif.Orientation
	}
	sw, sh := w, h
	if turn >= 5 {
		sw, sh = h, w
	}
	return writeMask(target, thresholdOf(orient(scaledTo(picture, sw, sh), turn), false))
}

// thresholdOf makes a mask of a picture's brightness, or of its opacity.
func thresholdOf(m *image.RGBA, opacity bool) *image.Gray {
	out := image.NewGray(m.Rect)
	for i := range out.Pix {
		p := m.Pix[4*i:]
		level := max(p[0], p[1], p[2])
		if opacity {
			level = p[3]
		}
		if level >= 128 {
			out.Pix[i] = 255
		}
	}
	return out
}

func writeMask(target string, mask *image.Gray) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
		return err
	}
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(out, mask); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// leastSeen is the part of an image that its mask must leave for there to be anything to match.
const leastSeen = 0.005

// refuseHidden says so where the masks leave next to nothing of nearly all images: they are inverted, or the photos are
// transparent throughout.
func refuseHidden(images []Image, dir string) error {
	hidden := 0
	for _, m := range images {
		if m.Mask == "" {
			continue
		}
		mask, err := readMask(filepath.Join(MasksBeside(dir), m.Mask))
		if err != nil {
			return err
		}
		seen := 0
		for _, v := range mask.Pix {
			seen += int(v >> 7)
		}
		if !(float64(seen) >= leastSeen*float64(len(mask.Pix))) {
			hidden++
		}
	}
	if hidden == 0 || 10*hidden < 9*len(images) {
		return nil
	}
	return hiddenThroughout(hidden, count(len(images), "image"))
}

// hiddenThroughout is the failure of a capture of whose images n show next to nothing through their masks or transparency.
func hiddenThroughout(n int, of string) *fault.Failure {
	return fail(BadMask, "Masks are light where the image counts and dark elsewhere, photos opaque where they count: invert the masks, or send the photos without transparency.",
		"The masks or the transparency of %d of %s hide all, or nearly all, of the picture.", n, of)
}

func readMask(file string) (*image.Gray, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	picture, err := png.Decode(in)
	if err != nil {
		return nil, fmt.Errorf("reading the mask %s: %w", filepath.Base(file), err)
	}
	mask, ok := picture.(*image.Gray)
	if !ok {
		return nil, fmt.Errorf("the mask %s is no grey picture", filepath.Base(file))
	}
	return mask, nil
}
