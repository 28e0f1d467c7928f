package tool

import "path/filepath"

// File is a file's name as a program is given it: absolute, because a program takes a name that begins with a dash for an
// option, and ffmpeg takes one with a colon for a protocol. Every name on a command line goes through it.
func File(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path // the working folder is gone, and with it every relative name
}
