package frames

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"math"
)

// coding is how the numbers of a YCbCr picture stand for colours. Go's image.YCbCr is that of JPEG (full range, the matrix of
// ITU-R BT.601); other formats have others.
type coding struct {
	full   bool // 0 to 255; else 16 to 235 for luma and 16 to 240 for the differences (BT.601-7, 2.5)
	matrix int  // ITU-T H.273, table 4; 0 and 2 are taken for BT.601
}

// asJPEG turns a picture that was decoded to YCbCr into one that Go reads rightly. The samples are changed in place where
// that is possible; other pictures come back as they are.
func (c coding) asJPEG(m image.Image) image.Image {
	var planes *image.YCbCr
	switch m := m.(type) {
	case *image.YCbCr:
		planes = m
	case *image.NYCbCrA:
		planes = &m.YCbCr
	case *image.Gray:
		if !c.full {
			stretch(m.Pix, 16, 219, 0)
		}
		return m
	default:
		return m
	}
	if kr, kb, ok := c.weights(); ok {
		return c.toRGB(m, planes, kr, kb)
	}
	if !c.full {
		stretch(planes.Y, 16, 219, 0)
		stretch(planes.Cb, 128, 224, 128)
		stretch(planes.Cr, 128, 224, 128)
	}
	return m
}

// stretch makes full range of samples: from is moved to to, and span becomes 255.
func stretch(samples []byte, from, span, to int) {
	var table [256]byte
	for v := range table {
		table[v] = byte(min(255, max(0, math.Round(float64((v-from)*255)/float64(span)+float64(to)))))
	}
	for i, v := range samples {
		samples[i] = table[v]
	}
}

// weights are the luma weights of red and blue where the matrix is another than BT.601's (H.273, table 4).
func (c coding) weights() (kr, kb float64, ok bool) {
	switch c.matrix {
	case 1:
		return 0.2126, 0.0722, true // BT.709
	case 4:
		return 0.30, 0.11, true // FCC
	case 7:
		return 0.212, 0.087, true // SMPTE 240M
	case 9, 10:
		return 0.2627, 0.0593, true // BT.2020
	}
	return 0, 0, false
}

func (c coding) toRGB(m image.Image, planes *image.YCbCr, kr, kb float64) image.Image {
	alpha := func(x, y int) byte { return 255 }
	if with, ok := m.(*image.NYCbCrA); ok {
		alpha = func(x, y int) byte { return with.A[with.AOffset(x, y)] }
	}
	lumaFrom, luma, chroma := 0.0, 1/255.0, 1/255.0
	if !c.full {
		lumaFrom, luma, chroma = 16, 1/219.0, 1/224.0
	}
	out := image.NewNRGBA(m.Bounds())
	for y := out.Rect.Min.Y; y < out.Rect.Max.Y; y++ {
		for x := out.Rect.Min.X; x < out.Rect.Max.X; x++ {
			at := planes.COffset(x, y)
			v := (float64(planes.Y[planes.YOffset(x, y)]) - lumaFrom) * luma
			b := v + 2*(1-kb)*(float64(planes.Cb[at])-128)*chroma
			r := v + 2*(1-kr)*(float64(planes.Cr[at])-128)*chroma
			g := (v - kr*r - kb*b) / (1 - kr - kb)
			level := func(v float64) byte { return byte(math.Round(255 * min(1, max(0, v)))) }
			out.SetNRGBA(x, y, color.NRGBA{level(r), level(g), level(b), alpha(x, y)})
		}
	}
	return out
}

// webpCoding is that of lossy WebP: "the recommendation BT.601 in limited range" (RFC 9649, 2.5; RFC 6386, 9.2). Lossless
// WebP is RGB.
var webpCoding = coding{full: false, matrix: 6}

// heicCoding is what a HEIC file says: its colour box of the kind nclx (ISO/IEC 14496-12, 12.1.5) or else the first sequence
// parameter set of its HEVC configuration. Where neither says anything, the range is limited (ITU-T H.265, E.3.1).
func heicCoding(head []byte) coding {
	var c coding
	for at := 0; ; {
		i := bytes.Index(head[at:], []byte("colrnclx"))
		if i < 0 || at+i+15 > len(head) {
			break
		}
		at += i + 8
		c.matrix = int(binary.BigEndian.Uint16(head[at+4:]))
		c.full = head[at+6]&0x80 != 0
		return c
	}
	for at := 0; ; at += 4 {
		i := bytes.Index(head[at:], []byte("hvcC"))
		if i < 0 {
			return c
		}
		at += i
		// The box of 14496-15, 8.3.3.1.2: 22 bytes, then arrays of parameter sets.
		if set := hevcParameters(head[at+4:]); set != nil {
			if found, ok := parameterSetCoding(set); ok {
				return found
			}
		}
	}
}

// hevcParameters is the first sequence parameter set in an HEVC configuration, nil when it is missing.
func hevcParameters(config []byte) []byte {
	if len(config) < 23 {
		return nil
	}
	arrays, at := int(config[22]), 23
	for range arrays {
		if at+3 > len(config) {
			return nil
		}
		kind, n := config[at]&63, int(binary.BigEndian.Uint16(config[at+1:]))
		at += 3
		for range n {
			if at+2 > len(config) {
				return nil
			}
			size := int(binary.BigEndian.Uint16(config[at:]))
			if at+2+size > len(config) {
				return nil
			}
			if kind == 33 && size > 2 {
				return config[at+4 : at+2+size] // without the header of the NAL unit
			}
			at += 2 + size
		}
	}
	return nil
}
