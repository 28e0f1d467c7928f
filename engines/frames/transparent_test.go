package frames

import (
	"fmt"
	"image"
	"image/color"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
)

// Photos that are transparent throughout, with nothing below, are not called black or without detail.
func TestTransparentPhotosAreNotCalledBlack(t *testing.T) {
	filled := func(c color.NRGBA, part int) image.Image {
		m := image.NewNRGBA(image.Rect(0, 0, 320, 240))
		for i := 0; i < len(m.Pix); i += 4 {
			copy(m.Pix[i:], []byte{c.R, c.G, c.B, 0})
		}
		for i := range part * len(m.Pix) / 400 {
			copy(m.Pix[4*i:], []byte{byte(i), byte(i >> 3), 90, 255})
		}
		return m
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 320, 240))
	table := image.NewPaletted(image.Rect(0, 0, 320, 240), color.Palette{color.NRGBA{}, color.NRGBA{R: 255, A: 255}})
	opaque := image.NewNRGBA(image.Rect(0, 0, 320, 240))
	for i := 3; i < len(opaque.Pix); i += 4 {
		opaque.Pix[i] = 255
	}
	for name, test := range map[string]struct {
		photo image.Image
		want  string
	}{
		"nothing":         {filled(color.NRGBA{}, 0), BadMask},
		"white below":     {filled(color.NRGBA{R: 255, G: 255, B: 255}, 0), BadMask},
		"a speck":         {filled(color.NRGBA{}, 2), BadMask},
		"16 bits":         {deep, BadMask},
		"a table":         {table, BadMask},
		"black, opaque":   {opaque, AllBlack},
		"opaque, no mask": {image.NewGray(image.Rect(0, 0, 320, 240)), AllBlack},
	} {
		dir := t.TempDir()
		for i := range 4 {
			put(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), pngOf(t, test.photo))
		}
		c, err := Open(t.Context(), Tools{}, dir, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Choose(t.Context(), choose.Options{}, nil)
		if code(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if test.want == BadMask && !strings.Contains(err.Error(), "transparency of 4 of 4 photos") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A colour table whose entries are all transparent, and differ, says nothing about what counts.
func TestTransparentTableIsMadeOpaque(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 16, 16), color.Palette{color.NRGBA{R: 10}, color.NRGBA{G: 200}})
	for i := range m.Pix {
		m.Pix[i] = byte(i & 1)
	}
	path := filepath.Join(t.TempDir(), "a.png")
	put(t, path, pngOf(t, m))
	got, err := decodePicture(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if transparent(got) != 0 || color.NRGBAModel.Convert(got.At(1, 0)) != (color.NRGBA{G: 200, A: 255}) {
		t.Errorf("%v", got.At(1, 0))
	}
}
