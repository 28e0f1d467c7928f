package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // formats of photos
	_ "image/png"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gen2brain/heic"
	_ "golang.org/x/image/webp"
)

// Formats of photos, as Photo.Format names them.
const (
	formatJPEG = "jpeg"
	formatPNG  = "png"
	formatWebP = "webp"
	formatHEIC = "heic"
)

// Kind is what an input is, by its content.
type Kind string

const (
	KindFolder  Kind = "folder"  // of photos, videos or both
	KindArchive Kind = "archive" // a ZIP of them
	KindPhoto   Kind = "photo"   // one picture
	KindVideo   Kind = "video"   // until Probe finds no video in it
)

// Detect distinguishes the kinds of input by their first bytes, never by the name.
func Detect(path string) (Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("opening the input: %w", err)
	}
	if info.IsDir() {
		return KindFolder, nil
	}
	head, err := headOf(path)
	if err != nil {
		return "", fmt.Errorf("reading the input: %w", err)
	}
	return kindOf(head), nil
}

// kindOf is what a file is that starts like this.
func kindOf(head string) Kind {
	switch {
	case strings.HasPrefix(head, "PK\x03\x04"), strings.HasPrefix(head, "PK\x05\x06"):
		return KindArchive
	case photoFormat(head) != "":
		return KindPhoto
	}
	return KindVideo
}

// headOf is the start of a file, enough to detect its format.
func headOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return headFrom(file)
}

func headFrom(r io.Reader) (string, error) {
	var head [512]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(head[:n]), nil
}

// photoFormat names the format of a photo by its first bytes, "" for anything else.
func photoFormat(head string) string {
	switch {
	case strings.HasPrefix(head, "\xff\xd8\xff"):
		return formatJPEG
	case strings.HasPrefix(head, "\x89PNG\r\n\x1a\n"):
		return formatPNG
	case strings.HasPrefix(head, "RIFF") && len(head) >= 12 && head[8:12] == "WEBP":
		return formatWebP
	case len(head) >= 12 && head[4:8] == "ftyp":
		// ISO/IEC 23008-12, 10.2: the brands of single pictures coded with HEVC. mif1 and msf1 leave the codec open.
		brands := brandsOf(head)
		any := func(of ...string) bool {
			return slices.ContainsFunc(of, func(b string) bool { return slices.Contains(brands, b) })
		}
		switch head[8:12] {
		case "heic", "heix", "heim", "heis":
			return formatHEIC
		case "mif1", "msf1", "hevc", "hevx":
			if any("heic", "heix", "heim", "heis") || head[8:12] == "mif1" && !any("avif", "avis") {
				return formatHEIC
			}
		}
	}
	return ""
}

// videoContainer says whether a file starts like one of the containers that ffmpeg may open. In a folder, only such
// files are given to it.
func videoContainer(head string) bool {
	if photoFormat(head) != "" || otherKind(head) != nil {
		return false
	}
	for _, start := range []string{
		"\x1a\x45\xdf\xa3",                 // Matroska, WebM
		"\x00\x00\x01\xba",                 // MPEG program stream
		"FLV\x01",                          // Flash
		"\x30\x26\xb2\x75\x8e\x66\xcf\x11", // ASF, WMV
		"OggS",
	} {
		if strings.HasPrefix(head, start) {
			return true
		}
	}
	switch {
	case len(head) >= 8 && isBox(head[4:8]):
		return true
	case strings.HasPrefix(head, "RIFF") && len(head) >= 11 && head[8:11] == "AVI":
		return true
	case strings.HasPrefix(head, "\x47\x40") || len(head) >= 6 && head[4] == 0x47: // MPEG transport stream, with 4 bytes before each packet in M2TS
		return true
	}
	return false
}

// isBox knows the types of the boxes that an MP4 or QuickTime file starts with (ISO/IEC 14496-12, 4.2).
func isBox(kind string) bool {
	switch kind {
	case "ftyp", "styp", "moov", "moof", "mdat", "free", "skip", "wide", "pnot", "uuid":
		return true
	}
	return false
}

// decodeSize reads the size of a picture from its header, as it is stored.
func decodeSize(format string, r io.Reader) (image.Config, error) {
	if format == formatHEIC {
		return heicConfig(r)
	}
	config, got, err := image.DecodeConfig(r)
	if err == nil && got != format {
		err = fmt.Errorf("starts like %s and is %s", format, got)
	}
	return config, err
}

// decodePicture decodes a photo. The caller has checked its size.
func decodePicture(ctx context.Context, path string) (image.Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	head, err := headFrom(file)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if photoFormat(head) == formatHEIC {
		return decodeHEIC(ctx, file)
	}
	picture, format, err := image.Decode(file)
	if err != nil {
		return nil, err
	}
	if format == formatWebP {
		picture = webpCoding.asJPEG(picture)
	}
	return withoutNothing(picture), nil
}

// withoutNothing makes a picture opaque whose every pixel is transparent and that shows something nevertheless, as some
// renderers and converters write them: such a channel says nothing about what counts.
func withoutNothing(m image.Image) image.Image {
	n, pixel, opaque := opacityOf(m)
	if transparent(m) < hiddenAll {
		return m
	}
	least, most := 1<<20, -1
	for i := range n {
		_, value := pixel(i)
		least, most = min(least, value), max(most, value)
	}
	if most-least > 24 { // more than one colour
		return opaque()
	}
	return m
}

const (
	// hiddenAll is the part of the pixels from which on nothing of a picture is left, mostHidden that from which on it is too
	// too little to be distinguished from a black picture.
	hiddenAll  = 0.995
	mostHidden = blackPart
)

// transparent is the part of a picture's pixels that are wholly transparent.
func transparent(m image.Image) float64 {
	n, pixel, _ := opacityOf(m)
	hidden := 0
	for i := range n {
		if alpha, _ := pixel(i); alpha == 0 {
			hidden++
		}
	}
	return float64(hidden) / float64(max(1, n))
}

// opacityOf gives the opacity and some measure of the colour below it for the n pixels of a picture, and the picture without
// its opacity. n is 0 for pictures that have none.
func opacityOf(m image.Image) (n int, pixel func(i int) (alpha, value int), opaque func() image.Image) {
	switch m := m.(type) {
	case *image.NRGBA:
		return len(m.Pix) / 4, func(i int) (alpha, value int) {
				return int(m.Pix[4*i+3]), int(m.Pix[4*i]) + int(m.Pix[4*i+1]) + int(m.Pix[4*i+2])
			}, func() image.Image {
				for i := 3; i < len(m.Pix); i += 4 {
					m.Pix[i] = 255
				}
				return m
			}
	case *image.NRGBA64:
		return len(m.Pix) / 8, func(i int) (alpha, value int) {
				return int(m.Pix[8*i+6]), int(m.Pix[8*i]) + int(m.Pix[8*i+2]) + int(m.Pix[8*i+4])
			}, func() image.Image {
				for i := 6; i < len(m.Pix); i += 8 {
					m.Pix[i], m.Pix[i+1] = 255, 255
				}
				return m
			}
	case *image.NYCbCrA:
		return len(m.A), func(i int) (alpha, value int) { return int(m.A[i]), int(m.Y[min(i, len(m.Y)-1)]) },
			func() image.Image { return &m.YCbCr }
	case *image.Paletted:
		table := make([]color.NRGBA, 256)
		for i, c := range m.Palette {
			table[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		return len(m.Pix), func(i int) (alpha, value int) {
				c := table[m.Pix[i]]
				return int(c.A), int(c.R) + int(c.G) + int(c.B)
			}, func() image.Image {
				for i := range m.Palette {
					table[i].A = 255
					m.Palette[i] = table[i]
				}
				return m
			}
	}
	return 0, nil, nil
}

// heicTurn lets one HEIC picture be decoded at a time: each takes up to 30 bytes a pixel in the sandbox.
var heicTurn = make(chan struct{}, 1)

// heicCompiled makes the decoder's machine code once, on first use (a second of processor time).
var heicCompiled = sync.OnceValue(func() error {
	// A decoder in C is only run as WebAssembly, where it can reach nothing but the picture. Builds without the tag
	// nodynamic prefer a libheif that developers of it have installed.
	if heic.Dynamic() == nil {
		return errors.New("the decoder would run outside of its sandbox: build with -tags nodynamic")
	}
	heic.Init()
	return nil
})

// decodeHEIC turns the picture upright itself: the file's own transformations are applied, whatever EXIF says.
func decodeHEIC(ctx context.Context, r io.Reader) (picture image.Image, err error) {
	if err := heicCompiled(); err != nil {
		return nil, err
	}
	select {
	case heicTurn <- struct{}{}:
		defer func() { <-heicTurn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("decoding HEIC: %v", problem)
		}
	}()
	head, err := io.ReadAll(io.LimitReader(r, heicHead))
	if err != nil {
		return nil, err
	}
	if picture, err = heic.Decode(io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return nil, err
	}
	return heicCoding(head).asJPEG(picture), nil
}

// heicHead is what is read of a HEIC file for its size and colours: the boxes stand in front of the pixels, and cameras need
// a few thousand bytes for them.
const heicHead = 1 << 20

// heicConfig reads the largest size that the image spatial extents (ispe, ISO/IEC 23008-12, 6.5.3) of a file name, which
// is the size of the whole picture when it is composed of tiles, and applies a turn by a quarter (irot, 6.5.10). Nothing
// is decoded.
func heicConfig(r io.Reader) (image.Config, error) {
	head, err := io.ReadAll(io.LimitReader(r, heicHead))
	if err != nil {
		return image.Config{}, err
	}
	w, h, turned := 0, 0, false
	for at := 0; ; {
		i := bytes.Index(head[at:], []byte("ispe\x00\x00\x00\x00"))
		if i < 0 || at+i+16 > len(head) {
			break
		}
		at += i + 8
		x, y := int(min(1<<30, be32(head[at:]))), int(min(1<<30, be32(head[at+4:])))
		if int64(x)*int64(y) > int64(w)*int64(h) {
			w, h = x, y
		}
	}
	if i := bytes.Index(head, []byte("\x00\x00\x00\x09irot")); i >= 0 && i+8 < len(head) {
		turned = head[i+8]&1 == 1
	}
	if w == 0 || h == 0 {
		return image.Config{}, errors.New("no size in the file")
	}
	if turned {
		w, h = h, w
	}
	return image.Config{Width: w, Height: h}, nil
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
