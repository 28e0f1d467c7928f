// Command gen writes the amd64 assembly of package simd with avo. Run it through go generate in the package's folder; the
// output is committed. Every kernel follows the plain Go form of the same name, which says what it computes; the comments
// here say how.
package main

import (
	"flag"
	"log"
	"math"
	"sort"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

var kernels = map[string]func(){
	"blend512":   blend512,
	"blend256":   blend256,
	"project512": func() { projection(16) },
	"project256": func() { projection(8) },
	"nearest":    nearest,
	"planes":     planes,
	"rows512":    func() { rows(16) },
	"rows256":    func() { rows(8) },
}

func main() {
	which := flag.String("kernel", "", "file to generate")
	flag.Parse()
	gen := kernels[*which]
	if gen == nil {
		var names []string
		for name := range kernels {
			names = append(names, name)
		}
		sort.Strings(names)
		log.Fatalf("-kernel must be one of %v", names)
	}
	ConstraintExpr("amd64,!noasm")
	gen()
	Generate()
}

// Byte offsets in Tile: one plane is 1024 bytes.
const (
	tileT, tileR, tileG, tileB, tileD   = 0, 1024, 2048, 3072, 4096
	tileGR, tileGG, tileGB, tileGD      = 5120, 6144, 7168, 8192
	tileS, tileX, tileY                 = 9216, 10240, 10244
	splatU, splatV                      = 0, 4
	splatA, splatBB, splatC, splatL     = 8, 12, 16, 20
	splatRed, splatGreen, splatBlue     = 24, 28, 32
	splatInvZ, splatSlopeX, splatSlopeY = 36, 40, 44
)

// Comparison predicates of VCMPPS: ordered, so that NaN is false.
var (
	geOS = U8(0x1d)
	gtOS = U8(0x1e)
	leOS = U8(0x12)
	ltOS = U8(0x11)
	eqOQ = U8(0x00)
)

const rodataFlags = attr.RODATA | attr.NOPTR

// vectors declares read-only floats and returns the memory operand. As bits: avo prints F32(2) as the integer 2.
func vectors(name string, values ...float32) Mem {
	m := GLOBL(name, rodataFlags)
	for i, v := range values {
		DATA(4*i, U32(math.Float32bits(v)))
	}
	return m
}

// word declares a read-only 32-bit value.
func word(name string, v uint32) Mem {
	m := GLOBL(name, rodataFlags)
	DATA(0, U32(v))
	return m
}

// lanes returns f(0) ... f(n-1).
func lanes(n int, f func(l int) float32) []float32 {
	v := make([]float32, n)
	for l := range v {
		v[l] = f(l)
	}
	return v
}
