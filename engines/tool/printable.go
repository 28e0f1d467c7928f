package tool

import (
	"strings"
	"unicode"
)

// Printable makes text from outside (a file's name, a program's last words) safe to show: control characters, which a
// terminal obeys, those that turn the direction of writing, which hide what a name is, and bytes that are not UTF-8
// become U+FFFD. Line breaks and tabs become spaces.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}
