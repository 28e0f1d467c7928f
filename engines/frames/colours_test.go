package frames

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

var patches = []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}, {128, 128, 128, 255}, {255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {230, 120, 40, 255}, {20, 20, 20, 255}}

// patched is a picture of patches of 64 pixels, two rows of four.
func patched() *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 256, 128))
	for i, c := range patches {
		at := image.Pt(i%4*64, i/4*64)
		draw.Draw(m, image.Rectangle{at, at.Add(image.Pt(64, 64))}, image.NewUniform(c), image.Point{}, draw.Src)
	}
	return m
}

func checkPatches(t *testing.T, name string, m image.Image, tolerance int) {
	t.Helper()
	for i, c := range patches {
		r, g, b, _ := m.At(i%4*64+32, i/4*64+32).RGBA()
		got := [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
		for k, want := range [3]int{int(c.R), int(c.G), int(c.B)} {
			if absolute(got[k]-want) > tolerance {
				t.Errorf("%s: patch %d is %v, want %v", name, i, got, c)
				break
			}
		}
	}
}

// Every decoder gives the colours that ffmpeg gives, whatever the format stores: black is 0 and white 255.
func TestColoursOfEveryFormat(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "source.png")
	put(t, source, pngOf(t, patched()))
	for name, args := range map[string][]string{
		"a.jpg":            {"-q:v", "2", "-pix_fmt", "yuvj420p"},
		"444.jpg":          {"-q:v", "2", "-pix_fmt", "yuvj444p"},
		"rgb.png":          {"-pix_fmt", "rgb24"},
		"deep.png":         {"-pix_fmt", "rgba64be"},
		"lossy.webp":       {"-c:v", "libwebp", "-quality", "95", "-pix_fmt", "yuv420p"},
		"lossy alpha.webp": {"-c:v", "libwebp", "-quality", "95", "-pix_fmt", "yuva420p"},
		"lossless.webp":    {"-c:v", "libwebp", "-lossless", "1", "-pix_fmt", "bgra"},
	} {
		path := filepath.Join(dir, name)
		// A translucent edge makes the alpha channel one that is kept.
		args = append(append([]string{"-v", "error", "-i", source}, args...), path)
		if name == "lossy alpha.webp" {
			args = append([]string{"-v", "error", "-i", source, "-vf", "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,4),100,255)'"}, args[4:]...)
		}
		if out, err := exec.Command(tools.FFmpeg, args...).CombinedOutput(); err != nil {
			t.Logf("%s: this ffmpeg cannot write it: %s", name, out)
			continue
		}
		m, err := decodePicture(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkPatches(t, name, m, 5)
		checkPatches(t, name+", made smaller", scaledTo(m, m.Bounds().Dx(), m.Bounds().Dy()), 5)
		raw, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1").Output()
		if err != nil {
			t.Fatal(err)
		}
		b := m.Bounds()
		for i := range patches {
			x, y := i%4*64+32, i/4*64+32
			r, g, bl, _ := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
			at := 3 * (y*b.Dx() + x)
			for k, got := range []uint32{r, g, bl} {
				if absolute(int(got>>8)-int(raw[at+k])) > 4 {
					t.Errorf("%s: patch %d, channel %d: %d, ffmpeg has %d", name, i, k, got>>8, raw[at+k])
				}
			}
		}
		gray := grayOf(m, 256)
		if black, white := gray.Pix[32*256+32], gray.Pix[32*256+96]; black > 4 || white < 251 {
			t.Errorf("%s: luma of black %d, of white %d", name, black, white)
		}
	}
	table := image.NewPaletted(patched().Rect, nil)
	for _, c := range patches {
		table.Palette = append(table.Palette, c)
	}
	draw.Draw(table, table.Rect, patched(), image.Point{}, draw.Src)
	put(t, filepath.Join(dir, "table.png"), pngOf(t, table))
	if m, err := decodePicture(t.Context(), filepath.Join(dir, "table.png")); err != nil {
		t.Error(err)
	} else {
		checkPatches(t, "a PNG with a table", m, 0)
	}
	// What says its range and matrix in the stream's parameters, or nothing.
	for name, coded := range map[string][3]string{
		"full":              {"pc", "bt601", "range=full"},
		"limited":           {"tv", "bt601", "range=limited"},
		"no word":           {"tv", "bt601", "aq-mode=0"},
		"full, BT.709":      {"pc", "bt709", "range=full:colormatrix=bt709"},
		"limited, BT.709":   {"tv", "bt709", "range=limited:colorprim=bt709:transfer=bt709:colormatrix=bt709"},
		"with scaling list": {"tv", "bt601", "range=limited:scaling-list=default"},
	} {
		path := filepath.Join(dir, "x.heic")
		put(t, path, heicCoded(t, patched(), 0, nil, coded[0], coded[1], coded[2]))
		m, err := decodePicture(t.Context(), path)
		if err != nil {
			t.Fatalf("HEIC, %s: %v", name, err)
		}
		checkPatches(t, "HEIC, "+name, m, 8)
	}
}

func TestNCLXOfHEIC(t *testing.T) {
	box := func(matrix, range_ byte) []byte {
		return append([]byte("....colrnclx"), 0, 1, 0, 13, 0, matrix, range_, 0, 0, 0)
	}
	if c := heicCoding(box(9, 0x80)); !c.full || c.matrix != 9 {
		t.Errorf("%+v", c)
	}
	if c := heicCoding(box(1, 0)); c.full || c.matrix != 1 {
		t.Errorf("%+v", c)
	}
	if c := heicCoding([]byte("hvcC")); c.full {
		t.Errorf("%+v", c)
	}
}

func FuzzParameterSet(f *testing.F) {
	f.Add([]byte{0x01, 0x01, 0x60, 0, 0, 3, 0, 0x90})
	f.Fuzz(func(t *testing.T, set []byte) {
		parameterSetCoding(set)
		heicCoding(append([]byte("hvcC"), set...))
	})
}

// A channel that hides everything hides nothing where there is something below it; a subject that is cut out stays so.
func TestTransparentThroughout(t *testing.T) {
	seen, cut, nothing := image.NewNRGBA(image.Rect(0, 0, 160, 160)), image.NewNRGBA(image.Rect(0, 0, 160, 160)), image.NewNRGBA(image.Rect(0, 0, 160, 160))
	shown := textured(160, 160, 1)
	for i := range shown.Pix {
		v := shown.Pix[i]
		copy(seen.Pix[4*i:], []byte{v, v, v, 0})
		copy(cut.Pix[4*i:], []byte{v, v, v, 255 * byte(i%160/80)})
		copy(nothing.Pix[4*i:], []byte{7, 7, 7, 0})
	}
	for name, m := range map[string]struct {
		m    image.Image
		want bool
	}{"everything": {seen, true}, "half": {cut, false}, "nothing below": {nothing, false}} {
		path := filepath.Join(t.TempDir(), "a.png")
		put(t, path, pngOf(t, m.m))
		got, err := decodePicture(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if opaque := scaledTo(got, 160, 160).Opaque(); opaque != m.want {
			t.Errorf("%s: opaque %v", name, opaque)
		}
	}
}

// Masks that leave nothing are named as the reason, before anything expensive runs.
func TestMasksThatHideEverything(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"1", "2", "3", "4"} {
		put(t, filepath.Join(dir, name+".jpg"), jpegOf(t, textured(160, 160, uint64(i)), nil))
		put(t, filepath.Join(dir, "masks", name+".png"), pngOf(t, image.NewGray(image.Rect(0, 0, 160, 160))))
	}
	c, err := Open(t.Context(), Tools{}, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	selection, _, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "images")
	if _, err := c.Extract(t.Context(), selection, out, 0, nil); code(err) != BadMask {
		t.Errorf("got %v", err)
	}
	if left := files(t, filepath.Dir(out)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// Photos in a folder of masks are named as such.
	only := t.TempDir()
	put(t, filepath.Join(only, "Mask", "1.jpg"), jpegOf(t, textured(160, 160, 1), nil))
	if _, err := Open(t.Context(), Tools{}, only, "", Limits{}); code(err) != TooFewPhotos || !strings.Contains(fault.Of(err).Message, "taken for masks") {
		t.Errorf("got %v", err)
	}
}

// Pictures that are large together are decoded one after the other, whatever their number of pixels is.
func TestDecodingIsBoundedByBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // four at once, but for their size
	photos := make([]Photo, 12)
	for size, want := range map[int64]int64{20: 80, 40: 80, 60: 60} { // of 100 bytes
		for i := range photos {
			photos[i] = Photo{Name: strconv.Itoa(i), Width: 1, Height: 1, memory: size}
		}
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int64
			err := eachWithin(t.Context(), 100, photos, func(context.Context, int) error {
				n := now.Add(size)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second) // all that can begin has begun then
				now.Add(-size)
				return nil
			})
			if err != nil || most.Load() != want {
				t.Errorf("pictures of %d bytes: %d bytes at once, want %d; %v", size, most.Load(), want, err)
			}
		})
	}
	// Larger than all that is allowed: alone.
	photos[0].memory = 1000
	if err := eachWithin(t.Context(), 100, photos[:1], func(context.Context, int) error { return nil }); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "deep.png")
	put(t, path, pngOf(t, image.NewNRGBA64(image.Rect(0, 0, 200, 200))))
	if p, reason := probePhoto(path, Limits{}.withDefaults()); reason != "" || p.memory < 8*200*200 {
		t.Errorf("16-bit RGBA takes %d bytes, %s", p.memory, reason)
	}
}
