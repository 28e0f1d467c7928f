package mesh

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// WriteSTL writes a binary STL for printers: z up, millimetres where a unit of the world is that many metres, and otherwise so that
// the longest side is printSize. The header says whether the mesh is watertight.
func (m *Mesh) WriteSTL(w io.Writer, metres float64) error {
	scale := 1000 * metres
	if !(metres > 0) {
		low, high := m.bounds()
		size := sub(high, low)
		scale = 1
		if longest := max(size[0], size[1], size[2]); longest > 0 {
			scale = printSize / longest
		}
	}
	closed := "not watertight"
	if m.Shape().Watertight {
		closed = "watertight"
	}
	out := bufio.NewWriter(w)
	var head [80]byte
	copy(head[:], fmt.Sprintf("Splatworks, z up, millimetres, %s", closed))
	out.Write(head[:])
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(m.Faces))))
	for f, t := range m.Faces {
		n := m.normal(f)
		if l := length(n); l > 0 {
			n = scaled(n, 1/l)
		}
		record := make([]byte, 0, 50)
		for _, p := range [4]vec{n, scaled(m.Vertices[t[0]], scale), scaled(m.Vertices[t[1]], scale), scaled(m.Vertices[t[2]], scale)} {
			for _, v := range [3]float64{p[0], p[2], -p[1]} { // -y is up in the world
				record = binary.LittleEndian.AppendUint32(record, math.Float32bits(float32(v)))
			}
		}
		out.Write(append(record, 0, 0))
	}
	if err := out.Flush(); err != nil { // holds the first error of all writes
		return fmt.Errorf("write STL: %w", err)
	}
	return nil
}

// printSize is the longest side, in millimetres, of a print whose real size is not known.
const printSize = 100
