package frames

import (
	"encoding/binary"
	"image"
	"image/color"
	"path/filepath"
	"testing"
)

// kindOfJPEG is what a JPEG stores: components by their names, each with its factors of sampling, and what they hold of a colour.
type kindOfJPEG struct {
	progressive bool
	adobe       int // the transform that Adobe's segment names; -1: there is no such segment
	names       string
	factors     [][2]int
	values      func(c color.RGBA) []byte
}

// flatJPEG encodes patched() in blocks of one value each, Recommendation ITU-T T.81: only DC coefficients, quantized by 1. Codes
// of DC are four bits, their category; the one code of AC ends a block.
func flatJPEG(k kindOfJPEG) []byte {
	const w, h = 256, 128
	picture := patched()
	segment := func(marker byte, body ...byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(body))), body...)
	}
	file := []byte{0xff, 0xd8}
	if k.adobe >= 0 {
		file = append(file, segment(0xee, append([]byte("Adobe\x00d\x00\x00\x00\x00"), byte(k.adobe))...)...)
	}
	quantizers := make([]byte, 65)
	for i := range 64 {
		quantizers[1+i] = 1
	}
	file = append(file, segment(0xdb, quantizers...)...)
	frame, scan := []byte{8, 0, h, w >> 8, w & 255, byte(len(k.names))}, []byte{byte(len(k.names))}
	most := [2]int{}
	for i, f := range k.factors {
		frame = append(frame, k.names[i], byte(f[0]<<4|f[1]), 0)
		scan = append(scan, k.names[i], 0)
		most = [2]int{max(most[0], f[0]), max(most[1], f[1])}
	}
	start, last := byte(0xc0), byte(63)
	if k.progressive {
		start, last = 0xc2, 0
	}
	file = append(file, segment(start, frame...)...)
	file = append(file, segment(0xc4, 0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)...)
	file = append(file, segment(0xc4, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...)
	file = append(file, segment(0xda, append(scan, 0, last, 0)...)...)

	held, n := uint64(0), 0
	put := func(value uint64, length int) {
		for held, n = held<<length|value&(1<<length-1), n+length; n >= 8; n -= 8 {
			if file = append(file, byte(held>>(n-8))); file[len(file)-1] == 0xff {
				file = append(file, 0)
			}
		}
	}
	before := make([]int, len(k.factors))
	for top := 0; top < h; top += 8 * most[1] {
		for left := 0; left < w; left += 8 * most[0] {
			for c, f := range k.factors {
				for block := range f[0] * f[1] {
					x := left + (2*(block%f[0])+1)*4*most[0]/f[0] // its centre
					y := top + (2*(block/f[0])+1)*4*most[1]/f[1]
					dc := 8 * (int(k.values(picture.RGBAAt(x, y))[c]) - 128)
					difference := dc - before[c]
					before[c] = dc
					category := 0 // the length of its binary number
					for absolute(difference)>>category > 0 {
						category++
					}
					if difference < 0 {
						difference--
					}
					put(uint64(category), 4)
					put(uint64(difference), category)
					if !k.progressive {
						put(0, 1)
					}
				}
			}
		}
	}
	put(0x7f, 7)
	return append(file, 0xff, 0xd9)
}

// Every kind of JPEG and PNG that cameras, scanners and editors write has its colours.
func TestColoursOfOddJPEGs(t *testing.T) {
	full := func(n int) (all [][2]int) {
		for range n {
			all = append(all, [2]int{1, 1})
		}
		return all
	}
	ycc := func(c color.RGBA) []byte {
		y, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
		return []byte{y, cb, cr, 255}
	}
	// Adobe stores ink upside down, none of it as 255, and in YCCK what is left of the three colours as it is.
	ycck := func(c color.RGBA) []byte { return ycc(color.RGBA{R: 255 - c.R, G: 255 - c.G, B: 255 - c.B}) }
	rgb := func(c color.RGBA) []byte { return []byte{c.R, c.G, c.B, 255} }
	dir := t.TempDir()
	for name, k := range map[string]kindOfJPEG{
		"4:2:0":              {names: "\x01\x02\x03", factors: [][2]int{{2, 2}, {1, 1}, {1, 1}}, adobe: -1, values: ycc},
		"4:1:1":              {names: "\x01\x02\x03", factors: [][2]int{{4, 1}, {1, 1}, {1, 1}}, adobe: -1, values: ycc},
		"4:4:0":              {names: "\x01\x02\x03", factors: [][2]int{{1, 2}, {1, 1}, {1, 1}}, adobe: -1, values: ycc},
		"progressive":        {names: "\x01\x02\x03", factors: [][2]int{{2, 2}, {1, 1}, {1, 1}}, adobe: -1, progressive: true, values: ycc},
		"RGB by its names":   {names: "RGB", factors: full(3), adobe: -1, values: rgb},
		"RGB by its segment": {names: "\x01\x02\x03", factors: full(3), adobe: 0, values: rgb},
		"CMYK":               {names: "\x01\x02\x03\x04", factors: full(4), adobe: 0, values: rgb},
		"YCCK":               {names: "\x01\x02\x03\x04", factors: full(4), adobe: 2, values: ycck},
	} {
		path := filepath.Join(dir, "a.jpg")
		put(t, path, flatJPEG(k))
		m, err := decodePicture(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkPatches(t, name, m, 3)
		checkPatches(t, name+", prepared", scaledTo(m, 256, 128), 3)
	}
	picture := patched()
	gray, deep := flatJPEG(kindOfJPEG{names: "\x01", factors: full(1), adobe: -1, values: ycc}), image.NewGray16(image.Rect(0, 0, 256, 128))
	for i := range 256 * 128 {
		deep.Set(i%256, i/256, picture.RGBAAt(i%256, i/256))
	}
	for name, data := range map[string][]byte{"gray.jpg": gray, "gray of 16 bits.png": pngOf(t, deep)} {
		path := filepath.Join(dir, name)
		put(t, path, data)
		m, err := decodePicture(t.Context(), path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, c := range patches {
			want, _, _ := color.RGBToYCbCr(c.R, c.G, c.B)
			if r, g, b, _ := m.At(i%4*64+32, i/4*64+32).RGBA(); r != g || g != b || absolute(int(r>>8)-int(want)) > 2 {
				t.Errorf("%s: patch %d is %d, %d, %d, want %d", name, i, r>>8, g>>8, b>>8, want)
			}
		}
	}
}
