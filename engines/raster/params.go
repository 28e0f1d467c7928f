package raster

import (
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Params is a cloud in the layout of the kernels: groups of 16 Gaussians, one row of 16 lanes for each parameter (see
// simd.GroupLanes). The trainer optimises it in place; the last group's unused lanes are zero and are never drawn,
// because a zero quaternion has no direction.
type Params struct {
	Degree int // of the stored coefficients
	Mode   splat.RenderMode
	n      int
	data   []float32 // groups × Stride
}

// NewParams makes room for n Gaussians, all zero.
func NewParams(n, degree int, mode splat.RenderMode) *Params {
	p := &Params{Degree: degree, Mode: mode}
	p.Resize(n)
	return p
}

// Clone copies all of it.
func (p *Params) Clone() *Params {
	c := NewParams(p.n, p.Degree, p.Mode)
	copy(c.data, p.data)
	return c
}

// Len is the number of Gaussians.
func (p *Params) Len() int { return p.n }

// Groups is the number of groups of 16 lanes.
func (p *Params) Groups() int { return (p.n + simd.GroupLanes - 1) / simd.GroupLanes }

// Rows is the number of parameters of one Gaussian.
func (p *Params) Rows() int { return simd.GroupRows(p.Degree) }

// Stride is the number of floats of one group.
func (p *Params) Stride() int { return p.Rows() * simd.GroupLanes }

// Group returns the rows of one group.
func (p *Params) Group(group int) []float32 {
	s := p.Stride()
	return p.data[group*s : (group+1)*s : (group+1)*s]
}

// At returns the place of parameter row of Gaussian i.
func (p *Params) At(i, row int) *float32 {
	return &p.data[i/simd.GroupLanes*p.Stride()+row*simd.GroupLanes+i%simd.GroupLanes]
}

// Data is the storage: Groups()*Stride() floats. Its layout is what Group describes.
func (p *Params) Data() []float32 { return p.data }

// Reserve makes room so that Resize up to n Gaussians allocates nothing.
func (p *Params) Reserve(n int) {
	if floats := (n + simd.GroupLanes - 1) / simd.GroupLanes * p.Stride(); floats > cap(p.data) {
		p.grow(floats)
	}
}

func (p *Params) grow(floats int) {
	grown := simd.Aligned(floats)
	copy(grown, p.data)
	p.data = grown[:len(p.data)]
}

// Resize keeps the first n Gaussians and zeroes those that are new.
func (p *Params) Resize(n int) {
	p.n = n
	floats := p.Groups() * p.Stride()
	if floats > cap(p.data) {
		p.grow(floats + floats/4)
	}
	kept := min(len(p.data), floats)
	p.data = p.data[:floats]
	clear(p.data[kept:])
	for i := n; i < p.Groups()*simd.GroupLanes; i++ {
		p.Zero(i)
	}
}

// Zero clears every parameter of a lane.
func (p *Params) Zero(i int) {
	for row := range p.Rows() {
		*p.At(i, row) = 0
	}
}

// Copy copies every parameter of Gaussian from of src to Gaussian to. Both must have the same degree.
func (p *Params) Copy(to int, src *Params, from int) {
	s := p.Stride()
	d := p.data[to/simd.GroupLanes*s+to%simd.GroupLanes:]
	f := src.data[from/simd.GroupLanes*s+from%simd.GroupLanes:]
	for row := 0; row < s; row += simd.GroupLanes {
		d[row] = f[row]
	}
}

// cloudRow is where the rows of a group are in a cloud.
type cloudRow struct {
	first, count int
	data         []float32 // count values for each Gaussian
}

func cloudRows(c *splat.Cloud) []cloudRow {
	return []cloudRow{
		{simd.RowMean, 3, c.Means}, {simd.RowScale, 3, c.LogScales}, {simd.RowRotation, 4, c.Quats},
		{simd.RowOpacity, 1, c.Opacities}, {simd.RowDC, 3, c.DC}, {simd.RowRest, 3 * splat.RestCount(c.Degree), c.Rest},
	}
}

// Pack brings a cloud into groups.
func Pack(c *splat.Cloud) *Params {
	p := NewParams(c.Len(), c.Degree, c.Mode)
	for _, rows := range cloudRows(c) {
		for i := range c.Len() {
			for k := range rows.count {
				*p.At(i, rows.first+k) = rows.data[i*rows.count+k]
			}
		}
	}
	return p
}

// Cloud is the inverse of Pack.
func (p *Params) Cloud() *splat.Cloud {
	c := splat.New(p.n, p.Degree, p.Mode)
	for _, rows := range cloudRows(c) {
		for i := range c.Len() {
			for k := range rows.count {
				rows.data[i*rows.count+k] = *p.At(i, rows.first+k)
			}
		}
	}
	return c
}
