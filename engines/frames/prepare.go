package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/image/draw"

	"github.com/splatworks/splatworks/engines/choose"
)

// jpegQuality is what pictures are written with: visually lossless for reconstruction, a third of the size of 100.
const jpegQuality = 95

// preparePhotos writes the selected photos into dir (made if missing) as JPEG, upright, the longer edge at most maxEdge
// pixels (0: as they are). A photo that is that already is copied bit by bit. EXIF data stay, since COLMAP takes the
// focal length and the place from them; only the orientation is set to "upright" where the pixels were turned, and a focal
// length that is not the picture's is taken out. Transparent parts of a photo become its mask; see MasksBeside.
//
// Spherical photos are left to Capture.Extract, which has the tool to cut views from them.
//
// The files sort in the order of the selection. On an error dir holds none of them.
func preparePhotos(ctx context.Context, tools Tools, set Photos, selection choose.Selection, dir, prefix string, maxEdge int, progress func(done, total int)) ([]Image, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("preparing photos: %w", err)
	}
	chosen := make([]Photo, len(selection.Frames))
	for i, f := range selection.Frames {
		if f.Index < 0 || f.Index >= len(set.Photos) {
			return nil, errors.New("preparing photos: the selection was made from other photos")
		}
		chosen[i] = set.Photos[f.Index]
	}
	names := imageNames(chosen, prefix != "")
	made := make([][]Image, len(chosen))
	var mu sync.Mutex
	done := 0
	err := eachPhoto(ctx, chosen, func(ctx context.Context, i int) error {
		if chosen[i].Spherical {
			views, err := prepareViews(ctx, tools, chosen[i], dir, names[i], maxEdge)
			made[i] = views
			if err != nil {
				return fmt.Errorf("%s: %w", chosen[i].Name, err)
			}
		} else {
			m, err := preparePhoto(ctx, chosen[i], dir, names[i], maxEdge)
			made[i] = []Image{m}
			if err != nil {
				return fmt.Errorf("%s: %w", chosen[i].Name, err)
			}
		}
		for k := range made[i] {
			made[i][k].Index, made[i][k].Source = selection.Frames[i].Index, selection.Frames[i].Source
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		if progress != nil {
			progress(done, len(chosen))
		}
		return nil
	})
	images := slices.Concat(made...)
	if err != nil {
		for _, m := range images {
			os.Remove(filepath.Join(dir, m.Name))
			os.Remove(filepath.Join(MasksBeside(dir), MaskName(m.Name)))
		}
		return nil, fmt.Errorf("preparing photos: %w", err)
	}
	return images, nil
}

func preparePhoto(ctx context.Context, p Photo, dir, name string, maxEdge int) (Image, error) {
	w, h := fit(p.Width, p.Height, maxEdge)
	m := Image{Name: name, Width: w, Height: h, GPS: p.Exif.GPS}
	target := filepath.Join(dir, name)
	if p.Format == formatJPEG && p.Exif.Orientation <= 1 && !p.asStored && !p.misleading() && w == p.Width && h == p.Height {
		return m, copyFile(p.Path, target)
	}
	picture, err := decodePicture(ctx, p.Path)
	if err != nil {
		return m, err
	}
	// Shrink first, lying as stored: there is less to turn then.
	sw, sh := w, h
	if p.Exif.sideways() {
		sw, sh = h, w
	}
	small := orient(scaledTo(picture, sw, sh), p.Exif.Orientation)
	if !small.Opaque() {
		m.Mask = MaskName(name)
		if err := writeMask(filepath.Join(MasksBeside(dir), m.Mask), thresholdOf(small, true)); err != nil {
			return m, err
		}
		uncover(small)
	}
	var encoded bytes.Buffer
	if err := jpeg.Encode(&encoded, small, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return m, err
	}
	return m, os.WriteFile(target, insertExif(encoded.Bytes(), uprightExif(p)), 0o666)
}

// scaledTo is a picture at another size, or the same, colours multiplied with their opacity.
func scaledTo(picture image.Image, w, h int) *image.RGBA {
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	b := picture.Bounds()
	if b.Dx() == w && b.Dy() == h {
		draw.Draw(small, small.Bounds(), picture, b.Min, draw.Src)
		return small
	}
	picture = shrink(picture, min(b.Dx()/w, b.Dy()/h))
	draw.CatmullRom.Scale(small, small.Bounds(), picture, picture.Bounds(), draw.Src, nil)
	return small
}

// uncover makes a picture opaque: half transparent pixels at the edge of a subject get its colour, not that of the
// nothing behind it.
func uncover(m *image.RGBA) {
	for i := 0; i < len(m.Pix); i += 4 {
		if p := m.Pix[i : i+4]; p[3] > 0 && p[3] < 255 {
			for k := range 3 {
				p[k] = byte(min(255, 255*int(p[k])/int(p[3])))
			}
		}
		m.Pix[i+3] = 255
	}
}

// shrink averages k by k pixels of a camera's JPEG, which leaves the slow, good scaling a fraction of the pixels; other
// pictures stay as they are.
func shrink(m image.Image, k int) image.Image {
	in, ok := m.(*image.YCbCr)
	if !ok || k < 2 {
		return m
	}
	out := image.NewYCbCr(image.Rect(0, 0, in.Rect.Dx()/k, in.Rect.Dy()/k), image.YCbCrSubsampleRatio444)
	w, h := out.Rect.Dx(), out.Rect.Dy()
	half := k * k / 2
	for y := range h {
		for x := range w {
			var sy, sb, sr int
			for v := range k {
				for u := range k {
					px, py := in.Rect.Min.X+x*k+u, in.Rect.Min.Y+y*k+v
					sy += int(in.Y[in.YOffset(px, py)])
					c := in.COffset(px, py)
					sb += int(in.Cb[c])
					sr += int(in.Cr[c])
				}
			}
			at := y*w + x
			out.Y[at], out.Cb[at], out.Cr[at] = byte((sy+half)/(k*k)), byte((sb+half)/(k*k)), byte((sr+half)/(k*k))
		}
	}
	return out
}

// uprightExif is the EXIF payload of a photo for its upright copy, nil when it has none.
func uprightExif(p Photo) []byte {
	file, err := os.Open(p.Path)
	if err != nil {
		return nil
	}
	defer file.Close()
	payload := metadataOf(p.Format, file).exif
	e := parseExif(payload)
	if p.misleading() {
		payload = e.withoutFocal(payload)
	}
	return e.upright(payload)
}

// misleading says whether the focal length in the photo's EXIF data is not the picture's; see Exif.misleading.
func (p Photo) misleading() bool {
	if p.Exif.sideways() {
		return p.Exif.misleading(p.Height, p.Width)
	}
	return p.Exif.misleading(p.Width, p.Height)
}

// orient turns and mirrors a stored picture into the one that is shown (TIFF 6.0, tag Orientation: which sides of the
// shown picture the stored first row and first column are).
func orient(m *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return m
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ow, oh := w, h
	if orientation >= 5 {
		ow, oh = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, ow, oh))
	for y := range h {
		for x := range w {
			u, v := x, y
			switch orientation {
			case 2:
				u, v = w-1-x, y
			case 3:
				u, v = w-1-x, h-1-y
			case 4:
				u, v = x, h-1-y
			case 5:
				u, v = y, x
			case 6:
				u, v = h-1-y, x
			case 7:
				u, v = h-1-y, w-1-x
			case 8:
				u, v = y, w-1-x
			}
			copy(out.Pix[out.PixOffset(u, v):][:4], m.Pix[m.PixOffset(x, y):][:4])
		}
	}
	return out
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
