// Package choose measures pictures and chooses those to reconstruct from: the frames of a video that are sharp, different and leave
// no hole, and the photos that show something. It also says whether a camera stays in one place.
//
// It sees gray pictures and numbers and nothing else: it opens no file and starts no program. Package frames reads a capture, has
// it measured here, and writes what was chosen.
package choose
