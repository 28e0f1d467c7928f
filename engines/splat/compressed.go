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

// PlayCanvas's compressed PLY: chunks of 256 Gaussians along a Z curve, each with the bounds of its positions, scales and
// colours; in a chunk, four 32-bit words a Gaussian; spherical harmonics as bytes.

const (
	chunkSize   = 256
	chunkFloats = 18
)

// packUnit rounds a value from 0 to 1 to a number of bits.
func packUnit(v float64, bits int) uint32 {
	most := float64(uint32(1)<<bits - 1)
	return uint32(math.Min(most, math.Max(0, math.Floor(v*most+0.5))))
}

func unpackUnit(v uint32, bits int) float64 {
	most := uint32(1)<<bits - 1
	return float64(v&most) / float64(most)
}

func pack111011(v [3]float64) uint32 {
	return packUnit(v[0], 11)<<21 | packUnit(v[1], 10)<<11 | packUnit(v[2], 11)
}

func unpack111011(v uint32) [3]float64 {
	return [3]float64{unpackUnit(v>>21, 11), unpackUnit(v>>11, 10), unpackUnit(v, 11)}
}

// packQuat drops the largest component of w x y z: its index in two bits, the others in ten each.
func packQuat(q [4]float64) uint32 {
	dropped := largest(q)
	word := uint32(dropped)
	for j, v := range q {
		if q[dropped] < 0 {
			v = -v
		}
		if j != dropped {
			word = word<<10 | packUnit(v*math.Sqrt2/2+0.5, 10)
		}
	}
	return word
}

func unpackQuat(word uint32) [4]float64 {
	var q [4]float64
	dropped := int(word >> 30)
	shift := 20
	for j := range q {
		if j != dropped {
			q[j] = (unpackUnit(word>>shift, 10) - 0.5) * math.Sqrt2
			shift -= 10
		}
	}
	return withDropped(q, dropped)
}

// span is the range of values that a chunk holds of something with three components.
type span struct{ low, high [3]float64 }

func spanOf(values [][3]float64) span {
	s := span{values[0], values[0]}
	for _, v := range values {
		for axis := range 3 {
			s.low[axis], s.high[axis] = math.Min(s.low[axis], v[axis]), math.Max(s.high[axis], v[axis])
		}
	}
	// What is packed is relative to what the file can say of the bounds.
	for axis := range 3 {
		s.low[axis], s.high[axis] = float64(float32(s.low[axis])), float64(float32(s.high[axis]))
	}
	return s
}

// part says where in the span a value is, from 0 to 1.
func (s span) part(v [3]float64) (p [3]float64) {
	for axis := range 3 {
		if size := s.high[axis] - s.low[axis]; size >= 1e-5 {
			p[axis] = math.Min(1, math.Max(0, (v[axis]-s.low[axis])/size))
		}
	}
	return p
}

func (s span) at(p [3]float64) (v [3]float64) {
	for axis := range 3 {
		v[axis] = s.low[axis] + p[axis]*(s.high[axis]-s.low[axis])
	}
	return v
}

func triple(values []float32, i int) [3]float64 {
	return [3]float64{float64(values[3*i]), float64(values[3*i+1]), float64(values[3*i+2])}
}

// WriteCompressedPLY writes about a quarter of the bytes of WritePLY.
func (c *Cloud) WriteCompressedPLY(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write compressed PLY: %w", err)
	}
	order := c.mortonOrder()
	chunks := (len(order) + chunkSize - 1) / chunkSize
	out := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintf(out, "ply\nformat binary_little_endian 1.0\ncomment SplatRenderMode: %s\nelement chunk %d\n", c.Mode, chunks)
	for _, what := range []string{"", "scale_"} {
		for _, end := range []string{"min_", "max_"} {
			for _, axis := range []string{"x", "y", "z"} {
				fmt.Fprintf(out, "property float %s%s%s\n", end, what, axis)
			}
		}
	}
	for _, end := range []string{"min_", "max_"} {
		for _, channel := range []string{"r", "g", "b"} {
			fmt.Fprintf(out, "property float %s%s\n", end, channel)
		}
	}
	fmt.Fprintf(out, "element vertex %d\n", len(order))
	for _, what := range []string{"position", "rotation", "scale", "color"} {
		fmt.Fprintf(out, "property uint packed_%s\n", what)
	}
	k := RestCount(c.Degree)
	if k > 0 {
		fmt.Fprintf(out, "element sh %d\n", len(order))
		for i := range 3 * k {
			fmt.Fprintf(out, "property uchar f_rest_%d\n", i)
		}
	}
	out.WriteString("end_header\n")
	words := make([]uint32, 4*len(order))
	for at := 0; at < len(order); at += chunkSize {
		bounds := c.packChunk(order[at:min(at+chunkSize, len(order))], words[4*at:])
		if err := binary.Write(out, binary.LittleEndian, bounds); err != nil {
			return fmt.Errorf("write compressed PLY: %w", err)
		}
	}
	if err := binary.Write(out, binary.LittleEndian, words); err != nil {
		return fmt.Errorf("write compressed PLY: %w", err)
	}
	record := make([]byte, 3*k)
	for _, i := range order {
		for channel := range 3 {
			for j := range k {
				v := float64(c.Rest[3*(k*i+j)+channel])
				record[channel*k+j] = byte(math.Min(255, math.Max(0, math.Trunc((v/8+0.5)*256))))
			}
		}
		if _, err := out.Write(record); err != nil {
			return fmt.Errorf("write compressed PLY: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write compressed PLY: %w", err)
	}
	return nil
}

// packChunk packs the Gaussians of one chunk and returns its bounds.
func (c *Cloud) packChunk(members []int, words []uint32) (bounds [chunkFloats]float32) {
	var position, scale, colour [chunkSize][3]float64
	for j, i := range members {
		position[j], scale[j] = triple(c.Means, i), triple(c.LogScales, i)
		dc := triple(c.DC, i)
		for channel := range 3 {
			colour[j][channel] = 0.5 + C0*dc[channel]
		}
	}
	n := len(members)
	positions, scales, colours := spanOf(position[:n]), spanOf(scale[:n]), spanOf(colour[:n])
	for j, i := range members {
		words[4*j] = pack111011(positions.part(position[j]))
		words[4*j+1] = packQuat(c.unitQuat(i))
		words[4*j+2] = pack111011(scales.part(scale[j]))
		rgb := colours.part(colour[j])
		words[4*j+3] = packUnit(rgb[0], 8)<<24 | packUnit(rgb[1], 8)<<16 | packUnit(rgb[2], 8)<<8 | packUnit(opacity(c.Opacities[i]), 8)
	}
	for group, s := range []span{positions, scales, colours} {
		for axis := range 3 {
			bounds[6*group+axis], bounds[6*group+3+axis] = float32(s.low[axis]), float32(s.high[axis])
		}
	}
	return bounds
}

// ReadCompressedPLY reads what WriteCompressedPLY and PlayCanvas's own tools write.
func ReadCompressedPLY(r io.Reader) (*Cloud, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	h, err := readCompressedHeader(in)
	if err != nil {
		return nil, fmt.Errorf("read compressed PLY header: %w", err)
	}
	c, err := h.records(in)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = formatErrorf("the file ends early")
		}
		return nil, fmt.Errorf("read compressed PLY: %w", err)
	}
	return finish(c, "compressed PLY")
}

type compressedHeader struct {
	mode     RenderMode
	elements map[string]*compressedElement
}

type compressedElement struct {
	count      int
	properties []string // TYPE NAME
}

// compressedElements are the elements of such a file in their order, with the properties that are read.
var compressedElements = map[string]string{"chunk": "float", "vertex": "uint", "sh": "uchar"}

func readCompressedHeader(in *bufio.Reader) (*compressedHeader, error) {
	h := &compressedHeader{elements: map[string]*compressedElement{}}
	var current *compressedElement
	for line := range maxHeaderLines {
		text, err := readPLYLine(in)
		if err != nil {
			return nil, err
		}
		f := strings.Fields(text)
		switch {
		case line == 0 && text != "ply":
			return nil, formatErrorf("the first line is %.20q, expected \"ply\"", text)
		case line == 0 || len(f) == 0:
		case f[0] == "comment" && len(f) == 3 && f[1] == "SplatRenderMode:":
			if h.mode, err = ParseRenderMode(f[2]); err != nil {
				return nil, formatErrorf("%v", err)
			}
		case f[0] == "comment" || f[0] == "obj_info":
		case f[0] == "format":
			if strings.Join(f[1:], " ") != "binary_little_endian 1.0" {
				return nil, formatErrorf("format %q: only binary_little_endian 1.0 is read", strings.Join(f[1:], " "))
			}
		case f[0] == "element" && len(f) == 3:
			n, err := strconv.Atoi(f[2])
			if err != nil || n < 0 || n > maxPLYCount || compressedElements[f[1]] == "" || h.elements[f[1]] != nil {
				return nil, formatErrorf("%.60q is no element of a compressed PLY", text)
			}
			current = &compressedElement{count: n}
			h.elements[f[1]] = current
		case f[0] == "property" && len(f) == 3 && current != nil:
			current.properties = append(current.properties, f[1]+" "+f[2])
		case f[0] == "end_header":
			return h, h.check()
		default:
			return nil, formatErrorf("header line %.40q is not known", text)
		}
	}
	return nil, formatErrorf("the header has more than %d lines", maxHeaderLines)
}

func (h *compressedHeader) check() error {
	chunk, vertex := h.elements["chunk"], h.elements["vertex"]
	if chunk == nil || vertex == nil {
		return formatErrorf("element chunk or vertex is missing")
	}
	if chunk.count != (vertex.count+chunkSize-1)/chunkSize {
		return formatErrorf("%d chunks for %d Gaussians", chunk.count, vertex.count)
	}
	want := []string{"uint packed_position", "uint packed_rotation", "uint packed_scale", "uint packed_color"}
	if strings.Join(vertex.properties, ",") != strings.Join(want, ",") {
		return formatErrorf("vertex has %v, expected %v", vertex.properties, want)
	}
	if n := len(chunk.properties); n != chunkFloats && n != 12 { // files of before 2024 have no bounds of colours
		return formatErrorf("chunk has %d properties, expected %d", n, chunkFloats)
	}
	if sh := h.elements["sh"]; sh != nil && (sh.count != vertex.count || h.degree() < 0) {
		return formatErrorf("sh has %d records of %d properties", sh.count, len(sh.properties))
	}
	return nil
}

func (h *compressedHeader) degree() int {
	sh := h.elements["sh"]
	if sh == nil {
		return 0
	}
	for d := 1; d <= MaxDegree; d++ {
		if len(sh.properties) == 3*RestCount(d) {
			return d
		}
	}
	return -1
}

func (h *compressedHeader) records(in io.Reader) (*Cloud, error) {
	// Grown while reading: a header may promise more than the file holds.
	var chunks [][chunkFloats]float32
	stride := len(h.elements["chunk"].properties)
	for range h.elements["chunk"].count {
		var bounds [chunkFloats]float32
		for channel := range 3 { // without bounds of colours: 0 to 1
			bounds[15+channel] = 1
		}
		if err := binary.Read(in, binary.LittleEndian, bounds[:stride]); err != nil {
			return nil, err
		}
		chunks = append(chunks, bounds)
	}
	c := New(0, h.degree(), h.mode)
	var words [4]uint32
	for i := range h.elements["vertex"].count {
		if err := binary.Read(in, binary.LittleEndian, words[:]); err != nil {
			return nil, err
		}
		c.unpackRecord(words, chunks[i/chunkSize])
	}
	k := RestCount(c.Degree)
	if k == 0 {
		return c, nil
	}
	record := make([]byte, 3*k)
	for range c.Len() {
		if _, err := io.ReadFull(in, record); err != nil {
			return nil, err
		}
		for j := range k {
			for channel := range 3 {
				c.Rest = append(c.Rest, float32(unpackSH(record[channel*k+j])))
			}
		}
	}
	return c, nil
}

// unpackSH is the middle of the range that a byte stands for; the ends stand for themselves.
func unpackSH(b byte) float64 {
	part := (float64(b) + 0.5) / 256
	switch b {
	case 0:
		part = 0
	case 255:
		part = 1
	}
	return (part - 0.5) * 8
}

func (c *Cloud) unpackRecord(words [4]uint32, bounds [chunkFloats]float32) {
	group := func(g int) (s span) {
		for axis := range 3 {
			s.low[axis], s.high[axis] = float64(bounds[6*g+axis]), float64(bounds[6*g+3+axis])
		}
		return s
	}
	appendTriple := func(to *[]float32, v [3]float64) { *to = append(*to, float32(v[0]), float32(v[1]), float32(v[2])) }
	appendTriple(&c.Means, group(0).at(unpack111011(words[0])))
	appendTriple(&c.LogScales, group(1).at(unpack111011(words[2])))
	for _, v := range unpackQuat(words[1]) {
		c.Quats = append(c.Quats, float32(v))
	}
	rgb := group(2).at([3]float64{unpackUnit(words[3]>>24, 8), unpackUnit(words[3]>>16, 8), unpackUnit(words[3]>>8, 8)})
	for channel := range rgb {
		rgb[channel] = (rgb[channel] - 0.5) / C0
	}
	appendTriple(&c.DC, rgb)
	c.Opacities = append(c.Opacities, logit(unpackUnit(words[3], 8)))
}
