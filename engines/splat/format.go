package splat

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Format is a kind of file that holds a splat.
type Format struct {
	Name    string // as options name it
	Suffix  string // of file names
	Opens   string // what opens it, for people
	Loses   string // what a Cloud has and the file has not; empty: nothing
	write   func(*Cloud, io.Writer) error
	read    func(r io.ReaderAt, size int64) (*Cloud, error)
	answers func(start []byte) bool // whether a file that starts like this is one
}

// stream reads a file from its beginning.
func stream(read func(io.Reader) (*Cloud, error)) func(io.ReaderAt, int64) (*Cloud, error) {
	return func(r io.ReaderAt, size int64) (*Cloud, error) { return read(io.NewSectionReader(r, 0, size)) }
}

// startOf is enough of a file to know it by.
const startOf = 1024

var formats = []Format{
	{"compressed-ply", ".compressed.ply", "PlayCanvas, SuperSplat, Spark, Brush, Babylon.js", "exact values: 8 to 11 bits each",
		(*Cloud).WriteCompressedPLY, stream(ReadCompressedPLY), func(b []byte) bool {
			return bytes.HasPrefix(b, []byte("ply")) && bytes.Contains(b, []byte("element chunk "))
		}},
	{"ply", ".ply", "everything", "",
		(*Cloud).WritePLY, stream(ReadPLY), func(b []byte) bool { return bytes.HasPrefix(b, []byte("ply")) }},
	{"spz-v3", ".v3.spz", "Spark, three.js, Babylon.js, Scaniverse", "exact values: 4 to 8 bits of colour, 24 of position",
		(*Cloud).WriteSPZ3, stream(ReadSPZ), func(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) }},
	{"spz", ".spz", "three.js, PlayCanvas, SuperSplat, Babylon.js", "exact values: 4 to 8 bits of colour, 24 of position",
		(*Cloud).WriteSPZ, stream(ReadSPZ), func(b []byte) bool { return bytes.HasPrefix(b, []byte("NGSP")) }},
	{"sog", ".sog", "PlayCanvas, SuperSplat, Spark, Babylon.js", "exact values: 8 bits each, 16 of position, view-dependent colour from a palette",
		(*Cloud).WriteSOG, ReadSOG, func(b []byte) bool { return bytes.HasPrefix(b, []byte("PK")) }},
	{"glb-spz", ".spz.glb", "CesiumJS", "what SPZ does not keep; a draft of a format",
		(*Cloud).WriteGLBSPZ, stream(ReadGLB), func(b []byte) bool {
			return bytes.HasPrefix(b, []byte("glTF")) && bytes.Contains(b, []byte(khrSPZ))
		}},
	{"glb", ".glb", "three.js, PlayCanvas, Babylon.js, glTF viewers (as points)", "",
		(*Cloud).WriteGLB, stream(ReadGLB), func(b []byte) bool { return bytes.HasPrefix(b, []byte("glTF")) }},
	{"splat", ".splat", "three.js, Spark, Babylon.js, older web viewers", "view-dependent colour, render mode, exact colours and rotations",
		(*Cloud).WriteSplat, func(r io.ReaderAt, size int64) (*Cloud, error) {
			return ReadSplat(io.NewSectionReader(r, 0, size), size)
		},
		func([]byte) bool { return false }}, // it has no mark of its own: its name must say it
}

// Formats lists the formats, those with longer suffixes before those whose suffix is the end of theirs.
func Formats() []Format { return append([]Format(nil), formats...) }

// FormatOf finds the format that a file's name stands for.
func FormatOf(name string) (Format, error) {
	var known []string
	for _, f := range formats {
		if strings.HasSuffix(strings.ToLower(name), f.Suffix) {
			return f, nil
		}
		known = append(known, f.Suffix)
	}
	return Format{}, fmt.Errorf("the name %q says no format: it has to end in one of %s", name, strings.Join(known, " "))
}

// FormatNamed finds a format by its own name.
func FormatNamed(name string) (Format, error) {
	var known []string
	for _, f := range formats {
		if f.Name == name {
			return f, nil
		}
		known = append(known, f.Name)
	}
	return Format{}, fmt.Errorf("format %q is not known: use one of %s", name, strings.Join(known, ", "))
}

// Write encodes a cloud.
func (f Format) Write(w io.Writer, c *Cloud) error { return f.write(c, w) }

// Read decodes a file of size bytes.
func (f Format) Read(r io.ReaderAt, size int64) (*Cloud, error) { return f.read(r, size) }

// ReadFile reads a splat in any format, by what the file holds; by its name where that says nothing. The first file of a folder
// stands for the folder.
func ReadFile(path string) (*Cloud, Format, error) {
	if folder, ok := FolderOf(path); ok {
		c, err := folder.Read(filepath.Dir(path))
		return c, Format{Name: folder.Name}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, Format{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, Format{}, err
	}
	start := make([]byte, startOf)
	n, err := file.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return nil, Format{}, err
	}
	found, err := formatFor(path, start[:n])
	if err != nil {
		return nil, Format{}, err
	}
	c, err := found.Read(file, info.Size())
	return c, found, err
}

func formatFor(path string, start []byte) (Format, error) {
	for _, f := range formats {
		if f.answers(start) {
			return f, nil
		}
	}
	return FormatOf(path)
}
