package splat

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The 3DGS PLY: an ASCII header and float32 records, little-endian, one per Gaussian. WritePLY writes the property
// order of the reference implementation, normals included, because some viewers count on it; ReadPLY goes by name, and reads
// ASCII and big-endian files too (plytext.go).

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
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write PLY: %w", err)
	}
	err := writeRecords(w, c.Len(), 4*len(names), func(i int, record []byte) {
		record = putFloats(record, c.Means[3*i:3*i+3]...)
		record = putFloats(record, 0, 0, 0)
		record = putFloats(record, c.DC[3*i:3*i+3]...)
		rest := c.Rest[3*k*i : 3*k*(i+1)]
		for channel := range 3 {
			for coefficient := range k {
				record = putFloats(record, rest[3*coefficient+channel])
			}
		}
		record = putFloats(record, c.Opacities[i])
		record = putFloats(record, c.LogScales[3*i:3*i+3]...)
		putFloats(record, c.Quats[4*i:4*i+4]...)
	})
	if err != nil {
		return fmt.Errorf("write PLY: %w", err)
	}
	return nil
}

type plyHeader struct {
	mode     RenderMode
	format   string        // of the records: plyLittle, plyBig or plyText
	elements []*plyElement // in file order
	vertex   *plyElement   // of them, the one with the Gaussians; nil: not declared
	values   map[string]plyValue
	degree   int // of the file: up to plyMaxDegree
}

// plyElement is a part of the file: count records of stride bytes.
type plyElement struct {
	name       string
	count      int
	stride     int
	properties int
	lists      bool // a property is a list, so that records differ in length
}

// plyValue is where a property of the vertices is in the record.
type plyValue struct {
	place  int  // among the properties
	offset int  // in bytes
	double bool // float64, else float32
}

func (v plyValue) of(record []byte, order binary.ByteOrder) float32 {
	if v.double {
		return float32(math.Float64frombits(order.Uint64(record[v.offset:])))
	}
	return math.Float32frombits(order.Uint32(record[v.offset:]))
}

// The formats of records.
const (
	plyLittle = "binary_little_endian 1.0"
	plyBig    = "binary_big_endian 1.0"
	plyText   = "ascii 1.0"
)

// plyMaxDegree is the highest degree of a file; what a Cloud has no room for is left out.
const plyMaxDegree = 4

// plySizes are the scalar types of the PLY format with their sizes; only float and double carry splat data, the others are
// stepped over.
var plySizes = map[string]int{
	"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2,
	"int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8,
}

// ReadPLY reads a 3DGS PLY, binary or ASCII, of any degree up to 4, of which 3 are kept, of this or any other tool. Properties are found by
// name; unknown ones, other elements and what follows the last Gaussian are stepped over. Values that cannot be drawn are
// mended, or their Gaussians dropped: see Cloud.Repairs. A missing render-mode comment means Classic.
func ReadPLY(r io.Reader) (*Cloud, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	h, err := readPLYHeader(in)
	if err != nil {
		return nil, fmt.Errorf("read PLY header: %w", err)
	}
	skip, records := h.skipToVertices, readPLYRecords
	if h.format == plyText {
		skip, records = h.skipLines, readPLYLines
	}
	if err := skip(in); err != nil {
		return nil, fmt.Errorf("read PLY: %w", err)
	}
	c, err := records(in, h)
	if err != nil {
		return nil, fmt.Errorf("read PLY: %w", err)
	}
	c, err = c.repaired()
	if err != nil {
		return nil, fmt.Errorf("read PLY: %w", err)
	}
	return c, nil
}

// skipToVertices steps over the elements that come before the vertices.
func (h *plyHeader) skipToVertices(in *bufio.Reader) error {
	for _, e := range h.elements {
		if e == h.vertex {
			break
		}
		if e.lists {
			return formatErrorf("element %s, with lists, comes before element vertex: it cannot be stepped over", e.name)
		}
		bytes := int64(e.count) * int64(e.stride)
		n, err := io.CopyN(io.Discard, in, bytes)
		if err == io.EOF {
			return formatErrorf("the file ends in element %s, after %d of %d bytes", e.name, n, bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
	h := &plyHeader{values: map[string]plyValue{}}
	first, err := readPLYLine(in)
	if err != nil {
		return nil, err
	}
	if first != "ply" {
		return nil, formatErrorf("the first line is %.20q, expected \"ply\"", first)
	}
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
			h.format = strings.Join(f[1:], " ")
		case "element":
			if err := h.element(f); err != nil {
				return nil, err
			}
		case "property":
			if err := h.property(f); err != nil {
				return nil, err
			}
		case "end_header":
			if h.format != plyLittle && h.format != plyBig && h.format != plyText {
				return nil, formatErrorf("format %.40q: %s, %s and %s are read", h.format, plyLittle, plyBig, plyText)
			}
			return h, h.complete()
		default:
			return nil, formatErrorf("header line %.40q is not known", line)
		}
	}
	return nil, formatErrorf("the header has more than %d lines", maxHeaderLines)
}

func (h *plyHeader) element(f []string) error {
	if len(f) != 3 {
		return formatErrorf("element %.40q is not a name and a count", strings.Join(f[1:], " "))
	}
	n, err := strconv.Atoi(f[2])
	if err != nil || n < 0 || n > maxPLYCount {
		return formatErrorf("%.40s count %.40q is not a number from 0 to %d", f[1], f[2], maxPLYCount)
	}
	e := &plyElement{name: f[1], count: n}
	if e.name == "vertex" {
		if h.vertex != nil {
			return formatErrorf("element vertex is declared twice")
		}
		h.vertex = e
	}
	h.elements = append(h.elements, e)
	return nil
}

func (h *plyHeader) property(f []string) error {
	if len(h.elements) == 0 {
		return formatErrorf("a property comes before the first element")
	}
	e := h.elements[len(h.elements)-1]
	if e != h.vertex && len(f) == 5 && f[1] == "list" {
		e.lists = true
		e.properties++
		return nil
	}
	if len(f) != 3 || plySizes[f[1]] == 0 {
		return formatErrorf("property %.80q is not a scalar of a known type", strings.Join(f[1:], " "))
	}
	if e == h.vertex {
		if err := h.value(f[1], f[2]); err != nil {
			return err
		}
	}
	e.stride += plySizes[f[1]]
	e.properties++
	return nil
}

// value notes where a property of the vertices lies.
func (h *plyHeader) value(kind, name string) error {
	if _, twice := h.values[name]; twice {
		return formatErrorf("property %s is declared twice", name)
	}
	switch kind {
	case "float", "float32":
		h.values[name] = plyValue{h.vertex.properties, h.vertex.stride, false}
	case "double", "float64":
		h.values[name] = plyValue{h.vertex.properties, h.vertex.stride, true}
	default:
		if isSplatProperty(name) {
			return formatErrorf("property %s is %s, expected float", name, kind)
		}
	}
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
	if h.vertex == nil {
		return formatErrorf("element vertex is missing")
	}
	rest := 0
	for name := range h.values {
		if strings.HasPrefix(name, "f_rest_") {
			rest++
		}
	}
	h.degree = -1
	for d := range plyMaxDegree + 1 {
		if rest == 3*RestCount(d) {
			h.degree = d
		}
	}
	if h.degree < 0 {
		return formatErrorf("%d f_rest properties: degrees 0 to 4 have 0, 9, 24, 45 or 72", rest)
	}
	for _, name := range plyProperties(h.degree) {
		if _, ok := h.values[name]; !ok && isSplatProperty(name) {
			return formatErrorf("property %s is missing", name)
		}
	}
	return nil
}

// plyGroup is where values of a record go.
type plyGroup struct {
	dst    *[]float32
	values []plyValue
}

// cloud makes an empty cloud for the vertices and says what of a record belongs where in it. It is to be grown while reading, so
// that a header that promises more than the file holds cannot allocate it.
func (h *plyHeader) cloud() (*Cloud, []plyGroup) {
	c := New(0, min(h.degree, MaxDegree), h.mode)
	at := func(names ...string) (values []plyValue) {
		for _, name := range names {
			values = append(values, h.values[name])
		}
		return values
	}
	rest := make([]string, 0, 3*RestCount(c.Degree))
	for coefficient := range RestCount(c.Degree) {
		for channel := range 3 {
			rest = append(rest, "f_rest_"+strconv.Itoa(channel*RestCount(h.degree)+coefficient))
		}
	}
	return c, []plyGroup{
		{&c.Means, at("x", "y", "z")},
		{&c.DC, at("f_dc_0", "f_dc_1", "f_dc_2")},
		{&c.Rest, at(rest...)},
		{&c.Opacities, at("opacity")},
		{&c.LogScales, at("scale_0", "scale_1", "scale_2")},
		{&c.Quats, at("rot_0", "rot_1", "rot_2", "rot_3")},
	}
}

func readPLYRecords(in *bufio.Reader, h *plyHeader) (*Cloud, error) {
	c, groups := h.cloud()
	var order binary.ByteOrder = binary.LittleEndian
	if h.format == plyBig {
		order = binary.BigEndian
	}
	most := recordsAtOnce(h.vertex.stride)
	records := make([]byte, min(most, h.vertex.count)*h.vertex.stride)
	for done := 0; done < h.vertex.count; done += most {
		m := min(most, h.vertex.count-done)
		n, err := io.ReadFull(in, records[:m*h.vertex.stride])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, formatErrorf("the file ends in record %d of %d", done+n/h.vertex.stride, h.vertex.count)
		}
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			*g.dst = slices.Grow(*g.dst, m*len(g.values))[:(done+m)*len(g.values)]
		}
		parallel(m, func(from, to int) {
			for i := from; i < to; i++ {
				record := records[i*h.vertex.stride : (i+1)*h.vertex.stride]
				for _, g := range groups {
					to := (*g.dst)[(done+i)*len(g.values):]
					for j, value := range g.values {
						to[j] = value.of(record, order)
					}
				}
			}
		})
	}
	return c, nil
}

// recordsAtOnce are read or written together, by all processors: 8 MB of them.
func recordsAtOnce(size int) int { return max(1, 1<<23/max(1, size)) }

// writeRecords writes n records of a size, which put fills in any order.
func writeRecords(w io.Writer, n, size int, put func(i int, record []byte)) error {
	most := recordsAtOnce(size)
	records := make([]byte, min(most, n)*size)
	for done := 0; done < n; done += most {
		m := min(most, n-done)
		parallel(m, func(from, to int) {
			for i := from; i < to; i++ {
				put(done+i, records[i*size:(i+1)*size])
			}
		})
		if _, err := w.Write(records[:m*size]); err != nil {
			return err
		}
	}
	return nil
}

func putFloats(record []byte, values ...float32) []byte {
	for i, v := range values {
		binary.LittleEndian.PutUint32(record[4*i:], math.Float32bits(v))
	}
	return record[4*len(values):]
}
