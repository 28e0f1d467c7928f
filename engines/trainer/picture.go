package trainer

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the formats that COLMAP writes
	_ "image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/simd"
)

// Levels of the resolution pyramid: full, half, quarter.
const Levels = 3

// View is one image and its camera at every level of the pyramid.
type View struct {
	Name   string
	Levels [Levels]Picture
	// Matched lists the points, by index into Dataset.Points, that structure from motion recognised in the image.
	Matched []int32
}

// Picture is an image of one level, Camera.Width × Camera.Height pixels.
type Picture struct {
	Camera raster.Camera
	Pix    [3][]uint8 // red, green, blue
	Alpha  []uint8    // 255 where the image is opaque; Pix has the background behind the rest; nil: it is opaque everywhere
	Mask   []uint8    // 255 where the image counts, 0 where it does not; nil: it counts everywhere
	// inverseDepth is the prior of AttachInverseDepth, or nil.
	inverseDepth []float32
}

// hidden is true when no pixel counts.
func (p *Picture) hidden() bool {
	return p.Mask != nil && !slices.ContainsFunc(p.Mask, func(m uint8) bool { return m >= maskHalf })
}

// Image is the picture as the standard library has it.
func (p *Picture) Image() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, p.Camera.Width, p.Camera.Height))
	for i := range p.Pix[0] {
		img.SetNRGBA(i%p.Camera.Width, i/p.Camera.Width, color.NRGBA{p.Pix[0][i], p.Pix[1][i], p.Pix[2][i], 255})
	}
	return img
}

// newView makes the pyramid of an image.
func newView(name string, pic Picture) *View {
	v := &View{Name: name}
	for level := range v.Levels {
		v.Levels[level] = pic
		if level+1 < Levels {
			pic = pic.halved()
		}
	}
	return v
}

// loadView reads an image, and its mask when there is one, at the size that training uses.
func loadView(model *scene.Reconstruction, im *scene.Image, dir string, cfg *Config, shrink float64) (*View, error) {
	cam := model.Camera(im.CameraID)
	if cam == nil {
		return nil, fmt.Errorf("image %s: camera %d is missing", im.Name, im.CameraID)
	}
	fx, fy, cx, cy, err := cam.Pinhole()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", im.Name, err)
	}
	name := filepath.FromSlash(im.Name)
	decoded, err := decode(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", im.Name, err)
	}
	size := decoded.Bounds()
	// The same picture at another size keeps its proportions to within the rounding of its sides.
	scaleX, scaleY := float64(size.Dx())/float64(cam.Width), float64(size.Dy())/float64(cam.Height)
	if !(math.Abs(scaleX/scaleY-1) <= 1/float64(min(size.Dx(), size.Dy(), cam.Width, cam.Height))) {
		return nil, fmt.Errorf("image %s has %dx%d pixels but its camera has %dx%d", im.Name, size.Dx(), size.Dy(), cam.Width, cam.Height)
	}
	pic := Picture{Camera: raster.Camera{
		R: im.CamFromWorld.Matrix(), T: im.CamFromWorld.Translation,
		Fx: fx * scaleX, Fy: fy * scaleY, Cx: cx * scaleX, Cy: cy * scaleY,
		Width: size.Dx(), Height: size.Dy(),
	}}
	pic.Pix, _, _ = simd.Planes(decoded)
	pic.composite(decoded, cfg.Background)
	mask, err := decode(filepath.Join(masksOf(dir), name+".png"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("mask of image %s: %w", im.Name, err)
	case mask.Bounds().Size() != size.Size():
		return nil, fmt.Errorf("mask of image %s has %v pixels, the image %v", im.Name, mask.Bounds().Size(), size.Size())
	default:
		planes, _, _ := simd.Planes(mask)
		if cfg.BackgroundMode == BackgroundEmpty {
			pic.cutOut(planes[0], cfg.Background)
		} else {
			pic.Mask = planes[0]
		}
	}
	if factor := max(float64(max(size.Dx(), size.Dy()))/float64(cfg.MaxSide), shrink); factor > 1 {
		pic = pic.shrunk(factor)
	}
	return newView(im.Name, pic), nil
}

// masksOf is the folder of the masks of a folder of images. COLMAP's convention: the mask of images/a/b.jpg is
// masks/a/b.jpg.png, black where to look away.
func masksOf(images string) string { return filepath.Join(filepath.Dir(images), "masks") }

const mostPixels = 200_000_000 // of an image file

func decode(name string) (image.Image, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A few bytes can promise gigabytes.
	if head, _, err := image.DecodeConfig(file); err == nil && head.Width*head.Height > mostPixels {
		return nil, fmt.Errorf("%dx%d pixels are more than can be trained on (%d million)", head.Width, head.Height, mostPixels/1_000_000)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(file)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return img, nil
}

// composite lays an image with transparency over the background and keeps how opaque it was; the planes hold
// premultiplied colours.
func (p *Picture) composite(img image.Image, background [3]float32) {
	if o, ok := img.(interface{ Opaque() bool }); !ok || o.Opaque() {
		return
	}
	b := img.Bounds()
	p.Alpha = make([]uint8, len(p.Pix[0]))
	for y := range p.Camera.Height {
		for x := range p.Camera.Width {
			_, _, _, a := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			p.Alpha[y*p.Camera.Width+x] = uint8(a >> 8)
			for channel := range p.Pix {
				v := &p.Pix[channel][y*p.Camera.Width+x]
				*v = uint8(min(255, float32(*v)+255*background[channel]*(1-float32(a)/0xffff)+0.5))
			}
		}
	}
}

// cutOut makes what a mask hides transparent.
func (p *Picture) cutOut(mask []uint8, background [3]float32) {
	if p.Alpha == nil {
		p.Alpha = bytes.Repeat([]byte{255}, len(mask))
	}
	for i, m := range mask {
		p.Alpha[i] = uint8(int(p.Alpha[i]) * int(m) / 255)
		for channel := range p.Pix {
			v := &p.Pix[channel][i]
			*v = uint8(float32(*v)*float32(m)/255 + background[channel]*float32(255-m) + 0.5)
		}
	}
}

// solid is 255 where the picture shows something that counts: its mask, or else its opacity; nil: everywhere.
func (p *Picture) solid() []uint8 {
	if p.Mask != nil {
		return p.Mask
	}
	return p.Alpha
}

// planes lists the channels, those of transparency and mask included.
func (p *Picture) planes() []*[]uint8 {
	planes := []*[]uint8{&p.Pix[0], &p.Pix[1], &p.Pix[2]}
	if p.Alpha != nil {
		planes = append(planes, &p.Alpha)
	}
	if p.Mask != nil {
		planes = append(planes, &p.Mask)
	}
	return planes
}

// halved makes the next level: areas of 2×2, an odd last row or column left out. A side of one pixel stays.
func (p Picture) halved() Picture {
	w, h := p.Camera.Width, p.Camera.Height
	if w < 2 || h < 2 {
		return p
	}
	cam := &p.Camera
	for _, plane := range p.planes() {
		*plane, cam.Width, cam.Height = simd.Halve(*plane, w, h)
	}
	cam.Fx, cam.Fy, cam.Cx, cam.Cy = cam.Fx/2, cam.Fy/2, cam.Cx/2, cam.Cy/2
	return p
}

// shrunk averages areas of factor × factor pixels, factor not whole in general.
func (p Picture) shrunk(factor float64) Picture {
	w, h := p.Camera.Width, p.Camera.Height
	tw, th := max(1, int(float64(w)/factor)), max(1, int(float64(h)/factor))
	p.Camera = p.Camera.Scaled(tw, th)
	for _, plane := range p.planes() {
		*plane = averageAreas(*plane, w, h, tw, th)
	}
	return p
}

// averageAreas resizes a channel by exact area coverage, separably.
func averageAreas(src []uint8, w, h, tw, th int) []uint8 {
	rows := make([]float32, tw*h)
	for x := range tw {
		lo, hi := float64(x)*float64(w)/float64(tw), float64(x+1)*float64(w)/float64(tw)
		for sx := int(lo); sx < min(w, int(math.Ceil(hi))); sx++ {
			weight := float32((min(hi, float64(sx+1)) - max(lo, float64(sx))) / (hi - lo))
			for y := range h {
				rows[y*tw+x] += weight * float32(src[y*w+sx])
			}
		}
	}
	dst := make([]uint8, tw*th)
	sum := make([]float32, tw)
	for y := range th {
		clear(sum)
		lo, hi := float64(y)*float64(h)/float64(th), float64(y+1)*float64(h)/float64(th)
		for sy := int(lo); sy < min(h, int(math.Ceil(hi))); sy++ {
			weight := float32((min(hi, float64(sy+1)) - max(lo, float64(sy))) / (hi - lo))
			for x, v := range rows[sy*tw : (sy+1)*tw] {
				sum[x] += weight * v
			}
		}
		for x, v := range sum {
			dst[y*tw+x] = uint8(min(v+0.5, 255))
		}
	}
	return dst
}
