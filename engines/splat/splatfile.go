package splat

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// The .splat file of the first web viewers: 32 bytes a Gaussian, no header, no view-dependent colour. Large and opaque ones come
// first, since those viewers show a file while it arrives.

const splatRecord = 32

// WriteSplat writes position and scale as float32, colour, opacity and rotation as bytes. Spherical harmonics above degree 0 and
// the render mode are lost.
func (c *Cloud) WriteSplat(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write .splat: %w", err)
	}
	weight := make([]float64, c.Len())
	order := make([]int, c.Len())
	for i := range order {
		order[i] = i
		volume := float64(c.LogScales[3*i]) + float64(c.LogScales[3*i+1]) + float64(c.LogScales[3*i+2])
		weight[i] = math.Exp(volume) * opacity(c.Opacities[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weight[b], weight[a]) })
	out := bufio.NewWriterSize(w, 1<<16)
	record := make([]byte, 0, splatRecord)
	for _, i := range order {
		record = record[:0]
		for axis := range 3 {
			record = binary.LittleEndian.AppendUint32(record, math.Float32bits(c.Means[3*i+axis]))
		}
		for axis := range 3 {
			record = binary.LittleEndian.AppendUint32(record, math.Float32bits(float32(math.Exp(float64(c.LogScales[3*i+axis])))))
		}
		for channel := range 3 {
			record = append(record, toByte(255*(0.5+C0*float64(c.DC[3*i+channel]))))
		}
		record = append(record, toByte(255*opacity(c.Opacities[i])))
		for _, v := range c.unitQuat(i) {
			record = append(record, toByte(128*v+128))
		}
		if _, err := out.Write(record); err != nil {
			return fmt.Errorf("write .splat: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write .splat: %w", err)
	}
	return nil
}

// ReadSplat reads a .splat file of size bytes.
func ReadSplat(r io.Reader, size int64) (*Cloud, error) {
	if size%splatRecord != 0 || size/splatRecord > maxPLYCount {
		return nil, fmt.Errorf("read .splat: %w", formatErrorf("%d bytes are not whole records of %d", size, splatRecord))
	}
	in := bufio.NewReaderSize(r, 1<<16)
	c := New(0, 0, Classic)
	record := make([]byte, splatRecord)
	float := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(record[4*at:])) }
	for range size / splatRecord {
		if _, err := io.ReadFull(in, record); err != nil {
			return nil, fmt.Errorf("read .splat: %w", err)
		}
		c.Means = append(c.Means, float(0), float(1), float(2))
		for axis := 3; axis < 6; axis++ {
			c.LogScales = append(c.LogScales, logScale(float64(float(axis))))
		}
		for channel := range 3 {
			c.DC = append(c.DC, float32((float64(record[24+channel])/255-0.5)/C0))
		}
		c.Opacities = append(c.Opacities, logit(float64(record[27])/255))
		for j := range 4 {
			c.Quats = append(c.Quats, (float32(record[28+j])-128)/128)
		}
	}
	return finish(c, ".splat")
}

// logScale is the logarithm of a standard deviation, within what a Cloud may hold.
func logScale(scale float64) float32 {
	const most = MaxLogScale - 1
	return float32(math.Min(most, math.Max(-most, math.Log(scale)))) // the logarithm of zero is -Inf, of less NaN
}

// finish checks and mends what was read.
func finish(c *Cloud, format string) (*Cloud, error) {
	c, err := c.repaired()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", format, err)
	}
	return c, nil
}
