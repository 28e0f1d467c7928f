package splat

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The 3DGS PLY: an ASCII header and float32 records, little-endian, one per Gaussian. WritePLY writes the property
// order of the reference implementation, normals included, because some viewers count on it; ReadPLY goes by name.

// Limits of a header, so that a hostile file costs nothing.
const (
	maxHeaderLine  = 4096
	maxHeaderLines = 1024
	maxPLYCount    = 1 << 28
)

// ErrFormat is wrapped by every error of ReadPLY that is about the file's content, not about reading it.
var ErrFormat = errors.New("not a Gaussian splat PLY")

func formatErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// plyProperties lists the record's properties in file order for a degree.
func plyProperties(degree int) []string {
	names := []string{"x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"}
	for i := range 3 * RestCount(degree) {
		names = append(names, "f_rest_"+strconv.Itoa(i))
	}
	return append(names, "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
}

// PLYBytes is the exact size of the file WritePLY writes, less its header.
func (c *Cloud) PLYBytes() int64 { return int64(c.Len()) * int64(4*len(plyProperties(c.Degree))) }

// WritePLY streams the cloud to w after checking it with Validate. f_rest is channel-major in the file (all red
// coefficients, then green, then blue) and coefficient-major in memory.
func (c *Cloud) WritePLY(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write PLY: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintf(out, "ply\nformat binary_little_endian 1.0\ncomment SplatRenderMode: %s\nelement vertex %d\n", c.Mode, c.Len())
	names := plyProperties(c.Degree)
	for _, name := range names {
		fmt.Fprintf(out, "property float %s\n", name)
	}
	out.WriteString("end_header\n")
	k := RestCount(c.Degree)
	record := make([]byte, 0, 4*len(names))
	put := func(vs ...float32) {
		for _, v := range vs {
			record = binary.LittleEndian.AppendUint32(record, math.Float32bits(v))
		}
	}
	for i := range c.Len() {
		record = record[:0]
		put(c.Means[3*i : 3*i+3]...)
		put(0, 0, 0)
		put(c.DC[3*i : 3*i+3]...)
		rest := c.Rest[3*k*i : 3*k*(i+1)]
		for channel := range 3 {
			for coefficient := range k {
				put(rest[3*coefficient+channel])
			}
		}
		put(c.Opacities[i])
		put(c.LogScales[3*i : 3*i+3]...)
		put(c.Quats[4*i : 4*i+4]...)
		if _, err := out.Write(record); err != nil {
			return fmt.Errorf("write PLY: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write PLY: %w", err)
	}
	return nil
}

type plyHeader struct {
	mode   RenderMode
	count  int
	stride int            // bytes of one record
	offset map[string]int // of float properties, within the record
	degree int
}

// plySizes are the scalar types of the PLY format with their sizes; only float carries splat data, the others are
// stepped over.
var plySizes = map[string]int{
	"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2,
	"int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8,
}

// ReadPLY reads a binary little-endian 3DGS PLY of any degree up to 3 and checks it with Validate. Properties are
// found by name; unknown ones are stepped over. The stream must end with the last record. A missing render-mode
// comment means Classic.
func ReadPLY(r io.Reader) (*Cloud, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	h, err := readPLYHeader(in)
	if err != nil {
		return nil, fmt.Errorf("read PLY header: %w", err)
	}
	c, err := readPLYRecords(in, h)
	if err != nil {
		return nil, fmt.Errorf("read PLY: %w", err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		if err != nil {
			return nil, fmt.Errorf("read PLY: %w", err)
		}
		return nil, fmt.Errorf("read PLY: %w", formatErrorf("data follows the last of %d records", h.count))
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("read PLY: %w: %w", ErrFormat, err)
	}
	return c, nil
}

func readPLYLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if len(line) > maxHeaderLine || errors.Is(err, bufio.ErrBufferFull) {
		return "", formatErrorf("a header line is longer than %d bytes", maxHeaderLine)
	}
	if err == io.EOF {
		return "", formatErrorf("the header ends early")
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func readPLYHeader(in *bufio.Reader) (*plyHeader, error) {
	h := &plyHeader{count: -1, offset: map[string]int{}}
	first, err := readPLYLine(in)
	if err != nil {
		return nil, err
	}
	if first != "ply" {
		return nil, formatErrorf("the first line is %.20q, expected \"ply\"", first)
	}
	format := ""
	for range maxHeaderLines {
		line, err := readPLYLine(in)
		if err != nil {
			return nil, err
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "comment", "obj_info":
			if len(f) == 3 && f[1] == "SplatRenderMode:" {
				if h.mode, err = ParseRenderMode(f[2]); err != nil {
					return nil, formatErrorf("%v", err)
				}
			}
		case "format":
			format = strings.Join(f[1:], " ")
		case "element":
			if err := h.element(f); err != nil {
				return nil, err
			}
		case "property":
			if err := h.property(f); err != nil {
				return nil, err
			}
		case "end_header":
			if format != "binary_little_endian 1.0" {
				return nil, formatErrorf("format %q: only binary_little_endian 1.0 is read", format)
			}
			return h, h.complete()
		default:
			return nil, formatErrorf("header line %.40q is not known", line)
		}
	}
	return nil, formatErrorf("the header has more than %d lines", maxHeaderLines)
}

func (h *plyHeader) element(f []string) error {
	if len(f) != 3 || f[1] != "vertex" {
		return formatErrorf("element %q: only one element, vertex, is expected (a compressed PLY must be expanded first)", strings.Join(f[1:], " "))
	}
	if h.count >= 0 {
		return formatErrorf("element vertex is declared twice")
	}
	n, err := strconv.Atoi(f[2])
	if err != nil || n < 0 || n > maxPLYCount {
		return formatErrorf("vertex count %q is not a number from 0 to %d", f[2], maxPLYCount)
	}
	h.count = n
	return nil
}

func (h *plyHeader) property(f []string) error {
	if h.count < 0 {
		return formatErrorf("a property stands before element vertex")
	}
	if len(f) != 3 || plySizes[f[1]] == 0 {
		return formatErrorf("property %q is not a scalar of a known type", strings.Join(f[1:], " "))
	}
	name := f[2]
	if _, twice := h.offset[name]; twice {
		return formatErrorf("property %s is declared twice", name)
	}
	if f[1] == "float" || f[1] == "float32" {
		h.offset[name] = h.stride
	} else if isSplatProperty(name) {
		return formatErrorf("property %s is %s, expected float", name, f[1])
	}
	h.stride += plySizes[f[1]]
	return nil
}

func isSplatProperty(name string) bool {
	for _, known := range plyProperties(MaxDegree) {
		if name == known {
			return name != "nx" && name != "ny" && name != "nz"
		}
	}
	return false
}

// complete finds the degree and checks that every property of it is there.
func (h *plyHeader) complete() error {
	if h.count < 0 {
		return formatErrorf("element vertex is missing")
	}
	rest := 0
	for name := range h.offset {
		if strings.HasPrefix(name, "f_rest_") {
			rest++
		}
	}
	h.degree = -1
	for d := range MaxDegree + 1 {
		if rest == 3*RestCount(d) {
			h.degree = d
		}
	}
	if h.degree < 0 {
		return formatErrorf("%d f_rest properties: degrees 0 to 3 have 0, 9, 24 or 45", rest)
	}
	for _, name := range plyProperties(h.degree) {
		if _, ok := h.offset[name]; !ok && isSplatProperty(name) {
			return formatErrorf("property %s is missing", name)
		}
	}
	return nil
}

func readPLYRecords(in io.Reader, h *plyHeader) (*Cloud, error) {
	// Grown while reading, so that a header that promises more than the file holds cannot allocate it.
	c := New(0, h.degree, h.mode)
	at := func(names ...string) (offsets []int) {
		for _, name := range names {
			offsets = append(offsets, h.offset[name])
		}
		return offsets
	}
	k := RestCount(h.degree)
	rest := make([]string, 0, 3*k)
	for coefficient := range k {
		for channel := range 3 {
			rest = append(rest, "f_rest_"+strconv.Itoa(channel*k+coefficient))
		}
	}
	groups := []struct {
		dst     *[]float32
		offsets []int
	}{
		{&c.Means, at("x", "y", "z")},
		{&c.DC, at("f_dc_0", "f_dc_1", "f_dc_2")},
		{&c.Rest, at(rest...)},
		{&c.Opacities, at("opacity")},
		{&c.LogScales, at("scale_0", "scale_1", "scale_2")},
		{&c.Quats, at("rot_0", "rot_1", "rot_2", "rot_3")},
	}
	record := make([]byte, h.stride)
	for i := range h.count {
		if _, err := io.ReadFull(in, record); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return nil, formatErrorf("the file ends in record %d of %d", i, h.count)
			}
			return nil, err
		}
		for _, g := range groups {
			for _, offset := range g.offsets {
				*g.dst = append(*g.dst, math.Float32frombits(binary.LittleEndian.Uint32(record[offset:])))
			}
		}
	}
	return c, nil
}
