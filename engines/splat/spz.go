package splat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Niantic's SPZ: one quantiser, two containers. Version 4 compresses each attribute on its own with zstd; version 3 is everything
// in one gzip stream. Its axes are x right, y up, z back. Source: github.com/nianticlabs/spz, src/cc/load-spz.cc.

const (
	spzMagic       = 0x5053474e // "NGSP"
	spzHeader4     = 32
	spzHeader3     = 16
	spzAntialiased = 1
	// maxSPZFraction is the finest grid of positions that is written: a millionth of a unit.
	maxSPZFraction = 20
	// spzMaxDegree is the highest degree of a file; what a Cloud has no room for is left out.
	spzMaxDegree = 4
)

// spzHead is what both containers say of their Gaussians.
type spzHead struct {
	version, count   int
	degree, fraction int // positions are integers times 2^-fraction
	flags            byte
}

// spzStreams are the attributes in the order of the file.
type spzStreams [6][]byte

const (
	spzPositions = iota
	spzAlphas
	spzColours
	spzScales
	spzRotations
	spzSH
)

// spzWidths are the bytes of a Gaussian in each stream.
func spzWidths(degree int) [6]int { return [6]int{9, 1, 3, 3, 4, 3 * RestCount(degree)} }

// WriteSPZ writes version 4, which three.js, PlayCanvas and SuperSplat read.
func (c *Cloud) WriteSPZ(w io.Writer) error {
	head, streams, err := c.quantiseSPZ()
	if err != nil {
		return fmt.Errorf("write SPZ: %w", err)
	}
	packed := make([][]byte, 0, len(streams))
	var sizes []uint64 // of the table: compressed and plain
	var compress sync.WaitGroup
	for _, stream := range streams {
		if len(stream) == 0 {
			continue
		}
		at := len(packed)
		packed, sizes = append(packed, nil), append(sizes, 0, uint64(len(stream)))
		compress.Go(func() {
			// Encoders with these options cannot fail.
			encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
			packed[at] = encoder.EncodeAll(stream, nil)
		})
	}
	compress.Wait()
	for i, p := range packed {
		sizes[2*i] = uint64(len(p))
	}
	header := make([]byte, spzHeader4)
	binary.LittleEndian.PutUint32(header[0:], spzMagic)
	binary.LittleEndian.PutUint32(header[4:], 4)
	binary.LittleEndian.PutUint32(header[8:], uint32(head.count))
	header[12], header[13], header[14], header[15] = byte(head.degree), byte(head.fraction), head.flags, byte(len(packed))
	binary.LittleEndian.PutUint32(header[16:], spzHeader4)
	if err := writeAll(w, header, sizes, packed); err != nil {
		return fmt.Errorf("write SPZ: %w", err)
	}
	return nil
}

func writeAll(w io.Writer, header []byte, sizes []uint64, packed [][]byte) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, sizes); err != nil {
		return err
	}
	for _, p := range packed {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// WriteSPZ3 writes version 3, for readers that do not know version 4 yet: Spark and others.
func (c *Cloud) WriteSPZ3(w io.Writer) error {
	head, streams, err := c.quantiseSPZ()
	if err != nil {
		return fmt.Errorf("write SPZ: %w", err)
	}
	header := make([]byte, spzHeader3)
	binary.LittleEndian.PutUint32(header[0:], spzMagic)
	binary.LittleEndian.PutUint32(header[4:], 3)
	binary.LittleEndian.PutUint32(header[8:], uint32(head.count))
	header[12], header[13], header[14] = byte(head.degree), byte(head.fraction), head.flags
	out := gzip.NewWriter(w)
	for _, part := range append([][]byte{header}, streams[:]...) {
		if _, err := out.Write(part); err != nil {
			return fmt.Errorf("write SPZ: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write SPZ: %w", err)
	}
	return nil
}

// quantiseSPZ turns the cloud into SPZ's axes and bytes.
func (c *Cloud) quantiseSPZ() (h spzHead, s spzStreams, err error) {
	if err := c.Validate(); err != nil {
		return h, s, err
	}
	t := c.Turned()
	n := t.Len()
	h = spzHead{count: n, degree: t.Degree, fraction: t.spzFraction()}
	if t.Mode == Mip {
		h.flags = spzAntialiased
	}
	widths := spzWidths(t.Degree)
	for i, width := range widths {
		s[i] = make([]byte, n*width)
	}
	scale := math.Exp2(float64(h.fraction))
	parallel(n, func(from, to int) {
		for i := from; i < to; i++ {
			for axis := range 3 {
				fixed := math.Round(float64(t.Means[3*i+axis]) * scale)
				v := int32(math.Min(1<<23-1, math.Max(-1<<23, fixed)))
				copy(s[spzPositions][9*i+3*axis:], []byte{byte(v), byte(v >> 8), byte(v >> 16)})
				s[spzColours][3*i+axis] = toByte(float64(t.DC[3*i+axis])*0.15*255 + 127.5)
				s[spzScales][3*i+axis] = toByte((float64(t.LogScales[3*i+axis]) + 10) * 16)
			}
			s[spzAlphas][i] = toByte(255 * opacity(t.Opacities[i]))
			binary.LittleEndian.PutUint32(s[spzRotations][4*i:], packSPZQuat(t.unitQuat(i)))
			width := widths[spzSH]
			for j := range width {
				s[spzSH][width*i+j] = packSPZSH(t.Rest[width*i+j], j < 9)
			}
		}
	})
	return h, s, nil
}

// spzFraction is the finest grid in which the farthest position still has a place in 24 bits.
func (c *Cloud) spzFraction() int {
	most := 0.0
	for _, v := range c.Means {
		most = math.Max(most, math.Abs(float64(v)))
	}
	fraction := maxSPZFraction
	for fraction > 0 && most*math.Exp2(float64(fraction)) > 1<<23-1 {
		fraction--
	}
	return fraction
}

// packSPZQuat drops the largest of x y z w: its index in two bits, for each other one a sign and nine bits.
func packSPZQuat(wxyz [4]float64) uint32 {
	q := [4]float64{wxyz[1], wxyz[2], wxyz[3], wxyz[0]}
	dropped := largest(q)
	word := uint32(dropped)
	for j, v := range q {
		if j == dropped {
			continue
		}
		sign := uint32(0)
		if (v < 0) != (q[dropped] < 0) {
			sign = 1
		}
		word = word<<10 | sign<<9 | packUnit(math.Abs(v)*math.Sqrt2, 9)
	}
	return word
}

func unpackSPZQuat(word uint32) (wxyz [4]float64) {
	var q [4]float64
	dropped := int(word >> 30)
	shift := 20
	for j := range q {
		if j == dropped {
			continue
		}
		q[j] = unpackUnit(word>>shift, 9) / math.Sqrt2
		if word>>(shift+9)&1 == 1 {
			q[j] = -q[j]
		}
		shift -= 10
	}
	q = withDropped(q, dropped)
	return [4]float64{q[3], q[0], q[1], q[2]}
}

// packSPZSH keeps five bits of the first degree's coefficients and four of the others'.
func packSPZSH(v float32, first bool) byte {
	bucket := 16
	if first {
		bucket = 8
	}
	q := int(math.Round(math.Min(1e3, math.Max(-1e3, float64(v)*128)))) + 128
	q = (q + bucket/2) / bucket * bucket
	return byte(min(255, max(0, q)))
}

// ReadSPZ reads versions 2, 3 and 4. Its size bounds what is allocated: no more Gaussians than its streams hold.
func ReadSPZ(r io.Reader) (*Cloud, error) {
	c, err := readSPZ(r)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = formatErrorf("the file ends early")
		}
		return nil, fmt.Errorf("read SPZ: %w", err)
	}
	return finish(c, "SPZ")
}

func readSPZ(r io.Reader) (*Cloud, error) {
	var start [4]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(start[:]), r)
	if start[0] == 0x1f && start[1] == 0x8b {
		plain, err := gzip.NewReader(whole)
		if err != nil {
			return nil, formatErrorf("gzip: %v", err)
		}
		return readSPZ3(plain)
	}
	return readSPZ4(whole)
}

func parseSPZHead(b []byte) (h spzHead, err error) {
	if binary.LittleEndian.Uint32(b) != spzMagic {
		return h, formatErrorf("the file does not begin with NGSP")
	}
	h = spzHead{version: int(binary.LittleEndian.Uint32(b[4:])), degree: int(b[12]), fraction: int(b[13]), flags: b[14]}
	count := binary.LittleEndian.Uint32(b[8:])
	switch {
	case count > maxPLYCount:
		return h, formatErrorf("%d Gaussians are more than %d", count, maxPLYCount)
	case h.degree > spzMaxDegree:
		return h, formatErrorf("spherical harmonics of degree %d: up to %d are read", h.degree, spzMaxDegree)
	case h.fraction > 24:
		return h, formatErrorf("positions have %d fractional bits of 24", h.fraction)
	}
	h.count = int(count)
	return h, nil
}

// readSPZ3 reads the plain bytes of versions 2 and 3.
func readSPZ3(r io.Reader) (*Cloud, error) {
	header := make([]byte, spzHeader3)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	h, err := parseSPZHead(header)
	if err != nil {
		return nil, err
	}
	if h.version != 2 && h.version != 3 {
		return nil, formatErrorf("version %d of SPZ in a gzip file: 2 and 3 are read", h.version)
	}
	widths := spzWidths(h.degree)
	if h.version == 2 {
		widths[spzRotations] = 3
	}
	var s spzStreams
	for i, width := range widths {
		if s[i], err = readExactly(r, int64(width)*int64(h.count)); err != nil {
			return nil, err
		}
	}
	return s.cloud(h), nil
}

// readExactly reads n bytes and allocates only as many as there are.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	got, err := io.Copy(&b, io.LimitReader(r, n))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

func readSPZ4(r io.Reader) (*Cloud, error) {
	header := make([]byte, spzHeader4)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	h, err := parseSPZHead(header)
	if err != nil {
		return nil, err
	}
	contents := int64(binary.LittleEndian.Uint32(header[16:]))
	if h.version != 4 || contents < spzHeader4 || contents > 1<<24 {
		return nil, formatErrorf("version %d of SPZ, with its table at byte %d: version 4 is read", h.version, contents)
	}
	// Extensions lie between the header and the table; none changes what a Gaussian is.
	if _, err := readExactly(r, contents-spzHeader4); err != nil {
		return nil, err
	}
	widths := spzWidths(h.degree)
	var want []int // streams that are there: an empty one is left out
	for i, width := range widths {
		if width*h.count > 0 {
			want = append(want, i)
		}
	}
	if int(header[15]) != len(want) {
		return nil, formatErrorf("%d streams where %d are expected", header[15], len(want))
	}
	sizes := make([]uint64, 2*len(want))
	if err := binary.Read(r, binary.LittleEndian, sizes); err != nil {
		return nil, err
	}
	var s spzStreams
	for i, stream := range want {
		plain := uint64(widths[stream]) * uint64(h.count)
		if sizes[2*i+1] != plain || sizes[2*i] > plain+1<<16 {
			return nil, formatErrorf("stream %d has %d bytes in %d, expected %d", stream, sizes[2*i+1], sizes[2*i], plain)
		}
		packed, err := readExactly(r, int64(sizes[2*i]))
		if err != nil {
			return nil, err
		}
		if s[stream], err = unpackZstd(packed, int64(plain)); err != nil {
			return nil, err
		}
	}
	return s.cloud(h), nil
}

func unpackZstd(packed []byte, plain int64) ([]byte, error) {
	decoder, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<27))
	if err != nil {
		return nil, formatErrorf("zstd: %v", err)
	}
	defer decoder.Close()
	b, err := readExactly(decoder, plain)
	if err != nil {
		return nil, formatErrorf("zstd: %v", err)
	}
	return b, nil
}

// cloud decodes the streams, and turns them into our axes.
func (s spzStreams) cloud(h spzHead) *Cloud {
	mode := Classic
	if h.flags&spzAntialiased != 0 {
		mode = Mip
	}
	c := New(h.count, min(h.degree, MaxDegree), mode)
	scale := math.Exp2(-float64(h.fraction))
	quatBytes := spzWidths(h.degree)[spzRotations]
	if h.version == 2 {
		quatBytes = 3
	}
	width, stored := 3*RestCount(c.Degree), 3*RestCount(h.degree)
	parallel(h.count, func(from, to int) {
		for i := from; i < to; i++ {
			for axis := range 3 {
				p := s[spzPositions][9*i+3*axis:]
				fixed := int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24) >> 8
				c.Means[3*i+axis] = float32(float64(fixed) * scale)
				c.DC[3*i+axis] = float32((float64(s[spzColours][3*i+axis]) - 127.5) / 255 / 0.15)
				c.LogScales[3*i+axis] = float32(s[spzScales][3*i+axis])/16 - 10
			}
			c.Opacities[i] = logit(float64(s[spzAlphas][i]) / 255)
			q := s[spzRotations][quatBytes*i:]
			var wxyz [4]float64
			if quatBytes == 3 {
				for j := range 3 {
					wxyz[j+1] = float64(q[j])/127.5 - 1
				}
				wxyz = withDropped(wxyz, 0)
			} else {
				wxyz = unpackSPZQuat(binary.LittleEndian.Uint32(q))
			}
			for j, v := range wxyz {
				c.Quats[4*i+j] = float32(v)
			}
			for j := range width {
				c.Rest[width*i+j] = (float32(s[spzSH][stored*i+j]) - 128) / 128
			}
		}
	})
	return c.Turned()
}
