package frames

import (
	"context"
	"fmt"
	"strings"
)

// colour is how a stream says that its numbers mean colours, in ffmpeg's names; "" and "unknown" are not said.
type colour struct {
	Range     string `json:"color_range"`
	Matrix    string `json:"color_space"`
	Transfer  string `json:"color_transfer"`
	Primaries string `json:"color_primaries"`
}

// known is "" for the names of what is not said.
func known(name string) string {
	if name == "unknown" || name == "unspecified" || name == "reserved" {
		return ""
	}
	return name
}

// toJPEG scales to w by h and converts to what JFIF prescribes, the matrix of BT.601 and full range; without
// these options ffmpeg would leave the numbers of BT.709 in place and every reader would show wrong colours.
func (v Video) toJPEG(w, h int) string {
	matrix := ""
	if said := known(v.colour.Matrix); said == "" || said == "gbr" {
		matrix = ":in_color_matrix=bt601"
		// What players assume when the file does not say.
		if min(v.Width, v.Height) >= 720 {
			matrix = ":in_color_matrix=bt709"
		}
	}
	return fmt.Sprintf("scale=%d:%d:flags=lanczos+accurate_rnd+full_chroma_int%s:out_color_matrix=bt601:out_range=pc,setsar=1", w, h, matrix)
}

// conversions are the filters that turn the video's pictures into JPEGs of w by h pixels, the best first: where ffmpeg fails
// with one, the next is to be tried. PQ and HLG are mapped to the range of a standard display when ffmpeg was built with the
// filter that can; without it the pictures are pale, but usable.
func (v Video) conversions(ctx context.Context, tools Tools, w, h int) []string {
	plain := v.toJPEG(w, h)
	if !v.HDR || !hasFilter(ctx, tools, "zscale") {
		return []string{plain}
	}
	return []string{v.toSDR() + fmt.Sprintf("scale=%d:%d:flags=lanczos+accurate_rnd+full_chroma_int:in_color_matrix=bt709:out_color_matrix=bt601:out_range=pc,setsar=1", w, h), plain}
}

// toSDR maps PQ and HLG to BT.709. zscale refuses values that are missing and those that its library has no formula for, so all of
// them are given: what the stream says where zscale knows it, else what ITU-R BT.2100 goes with. It refuses odd sizes of halved
// chroma too: pictures come to it with chroma of full size.
func (v Video) toSDR() string {
	said := func(name, otherwise string, takes ...string) string {
		for _, t := range takes {
			if name == t {
				return name
			}
		}
		return otherwise
	}
	transfer := said(v.colour.Transfer, "arib-std-b67", "smpte2084", "arib-std-b67")
	primaries := said(v.colour.Primaries, "bt2020", "bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte431", "smpte432")
	matrix := said(v.colour.Matrix, "bt2020nc", "bt709", "bt470bg", "smpte170m", "bt2020nc")
	levels := said(v.colour.Range, "tv", "tv", "pc")
	formats := "yuv444p16le"
	if rgb(v.PixelFormat) {
		formats, matrix, levels = "gbrp16le", "gbr", "pc"
	}
	return fmt.Sprintf("format=%s,zscale=tin=%s:pin=%s:min=%s:rin=%s:t=linear:p=bt709:npl=203,format=gbrpf32le,tonemap=tonemap=mobius:desat=0,"+
		"zscale=t=bt709:m=bt709:r=tv,format=yuv444p,", formats, transfer, primaries, matrix, levels)
}

// rgb says whether a pixel format of ffmpeg holds red, green and blue.
func rgb(format string) bool {
	for _, start := range []string{"gbr", "rgb", "bgr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8"} {
		if strings.HasPrefix(format, start) {
			return true
		}
	}
	return false
}
