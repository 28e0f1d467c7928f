package tool

import "testing"

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"IMG 1 (2).jpg":                          "IMG 1 (2).jpg",
		"写真 café naïve.heic":                     "写真 café naïve.heic",
		"\x1b]0;owned\x07\x1b]52;c;cm0=\x07.jpg": "\ufffd]0;owned\ufffd\ufffd]52;c;cm0=\ufffd.jpg", // OSC: title, clipboard
		"\u009b2J\u009d0;t\u009c":                "\ufffd2J\ufffd0;t\ufffd",                        // C1: CSI, OSC, ST
		"caf\xe9.jpg":                            "caf\ufffd.jpg",
		"gpj.\u202egnp":                          "gpj.\ufffdgnp",
		"two\r\nlines\tand\x7f":                  "two  lines and\ufffd",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}
