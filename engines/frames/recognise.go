package frames

import (
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
)

// other is a kind of file that people send and that is not read here.
type other struct {
	name    string // "an AVIF picture"
	archive bool
}

// otherKind recognises such a file by its first bytes; nil is anything else.
func otherKind(head string) *other {
	for _, k := range []struct {
		start string
		other
	}{
		{"GIF87a", other{name: "a GIF"}}, {"GIF89a", other{name: "a GIF"}},
		{"\xff\x0a", other{name: "a JPEG XL picture"}}, {"\x00\x00\x00\x0cJXL \r\n\x87\n", other{name: "a JPEG XL picture"}},
		{"\x00\x00\x00\x0cjP  \r\n\x87\n", other{name: "a JPEG 2000 picture"}},
		{"II*\x00\x10\x00\x00\x00CR", other{name: "a Canon raw picture (CR2)"}},
		{"II*\x00", other{name: "a TIFF or raw picture"}}, {"MM\x00*", other{name: "a TIFF or raw picture"}},
		{"IIRO", other{name: "an Olympus raw picture (ORF)"}}, {"IIU\x00", other{name: "a Panasonic raw picture (RW2)"}},
		{"FUJIFILMCCD-RAW", other{name: "a Fujifilm raw picture (RAF)"}},
		{"8BPS", other{name: "a Photoshop document"}}, {"BM", other{name: "a BMP picture"}}, {"%PDF", other{name: "a PDF document"}},
		{"7z\xbc\xaf\x27\x1c", other{"a 7z archive", true}}, {"Rar!\x1a\x07", other{"a RAR archive", true}},
		{"\x1f\x8b", other{"a gzip archive", true}}, {"\xfd7zXZ\x00", other{"an xz archive", true}},
		{"BZh", other{"a bzip2 archive", true}}, {"\x28\xb5\x2f\xfd", other{"a zstd archive", true}},
	} {
		if strings.HasPrefix(head, k.start) {
			return &k.other
		}
	}
	if len(head) >= 262 && head[257:262] == "ustar" { // POSIX.1-1988, ustar interchange format: magic
		return &other{"a tar archive", true}
	}
	brands := brandsOf(head)
	for _, k := range []struct{ brand, name string }{
		{"avif", "an AVIF picture"}, {"avis", "an AVIF picture"},
		{"crx ", "a Canon raw picture (CR3)"}, {"jxl ", "a JPEG XL picture"},
		{"hevc", "a HEIC image sequence"}, {"hevx", "a HEIC image sequence"}, {"msf1", "a HEIC image sequence"},
	} {
		if slices.Contains(brands, k.brand) && photoFormat(head) == "" {
			return &other{name: k.name}
		}
	}
	return nil
}

// brandsOf are the major and the compatible brands of a file of ISO boxes (ISO/IEC 14496-12, 4.3).
func brandsOf(head string) []string {
	if len(head) < 16 || head[4:8] != "ftyp" {
		return nil
	}
	end := min(len(head), int(be32([]byte(head))))
	brands := []string{head[8:12]}
	for at := 16; at+4 <= end; at += 4 {
		brands = append(brands, head[at:at+4])
	}
	return brands
}

// refused is the failure of a file of such a kind that was sent as the capture.
func (o other) refused() *fault.Failure {
	if o.archive {
		return fail(BadArchive, "Send a ZIP of the photos and videos, or these themselves.", "The file is %s, which is not opened here.", o.name)
	}
	return fail(NotAPhoto, adviceFormats, "The file is %s, which is not read here.", o.name)
}

// recognised refuses a file that is known to be no video.
func recognised(from place) error {
	head, err := from.head()
	if err != nil {
		return nil // opening it reports the cause
	}
	if o := otherKind(head); o != nil {
		return o.refused()
	}
	return nil
}
