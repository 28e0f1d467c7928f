package trigger

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxFileNameBytes leaves room for a name in every file system, and for what comes before it in the bucket.
const maxFileNameBytes = 200

// fileNameRule is validFileName in words.
const fileNameRule = "must be 1 to 200 bytes of text without slashes or control characters, and not start with a dot or a hyphen or with a space around it"

// validFileName says whether a client's own name of a file may become the last part of an object's name: any that a camera or a
// person gives a file, in any script.
func validFileName(name string) bool {
	if name == "" || len(name) > maxFileNameBytes || len(fileName(name)) > maxFileNameBytes || !utf8.ValidString(name) {
		return false
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.TrimSpace(name) != name {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsGraphic(r) || r == '/' || r == '\\' || r == unicode.ReplacementChar
	})
}

// fileName is a name as it is kept: composed (NFC), so that one name is one object although some systems write it decomposed.
func fileName(name string) string { return norm.NFC.String(name) }
