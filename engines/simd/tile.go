package simd

import (
	"math"
	"math/bits"
	"unsafe"
)

const (
	TileSize   = 16                  // pixels along one side of a tile
	TilePixels = TileSize * TileSize // floats in one plane
	BlockSize  = 4                   // pixels along one side of a block
	Blocks     = 16                  // blocks in a tile
	BlockLanes = 16                  // pixels in a block
)

// Limits of blending, those of the 3DGS reference renderer (Kerbl et al. 2023, section 6 and appendix C).
const (
	MinAlpha         = 1.0 / 255 // weaker contributions are skipped
	MaxAlpha         = 0.99      // stronger ones are capped, and then pass no gradient to the Gaussian's shape
	MinTransmittance = 1e-4      // a pixel whose transmittance is no greater takes nothing more
)

// The same in base 2, where the blend kernels work.
const (
	log2MinAlpha float32 = -7.994353436858858   // log2(1/255)
	log2MaxAlpha float32 = -0.01449956969511508 // log2(0.99)
	exp2Floor    float32 = -8                   // exponents are clamped here before the exponential: no denormals
)

// Plane is one channel of a tile, block by block: 16 blocks of 4x4 pixels, blocks and the pixels inside them in row
// order. Pixel (x, y) of the tile is element PlaneIndex(x, y). One block is one AVX-512 register or two AVX2 registers.
type Plane [TilePixels]float32

// PlaneIndex returns the element of a Plane that holds the tile's pixel (x, y), 0 <= x, y < 16.
func PlaneIndex(x, y int) int {
	return (y>>2*4+x>>2)*BlockLanes + (y&3)*4 + x&3
}

// Load fills the plane from an image channel: src starts at the tile's first pixel and has stride floats in a row; w and
// h (1..16) are the tile's size inside the image. Pixels outside get fill.
func (p *Plane) Load(src []float32, stride, w, h int, fill float32) {
	if w == TileSize && h == TileSize && loadPlane != nil {
		loadPlane(&p[0], &src[:(TileSize-1)*stride+TileSize][0], uint64(stride)*4)
		return
	}
	if w < TileSize || h < TileSize {
		for i := range p {
			p[i] = fill
		}
	}
	for y := 0; y < h; y++ {
		row := src[y*stride:]
		row = row[:w]
		base := y>>2*64 + y&3*4
		x := 0
		for ; x+4 <= w; x += 4 {
			*(*[4]float32)(p[base+x*4:]) = *(*[4]float32)(row[x:])
		}
		for ; x < w; x++ {
			p[base+x>>2*16+x&3] = row[x]
		}
	}
}

// Store is the inverse of Load: it writes the w x h pixels inside the image.
func (p *Plane) Store(dst []float32, stride, w, h int) {
	if w == TileSize && h == TileSize && storePlane != nil {
		storePlane(&p[0], &dst[:(TileSize-1)*stride+TileSize][0], uint64(stride)*4)
		return
	}
	for y := 0; y < h; y++ {
		row := dst[y*stride:]
		row = row[:w]
		base := y>>2*64 + y&3*4
		x := 0
		for ; x+4 <= w; x += 4 {
			*(*[4]float32)(row[x:]) = *(*[4]float32)(p[base+x*4:])
		}
		for ; x < w; x++ {
			row[x] = p[base+x>>2*16+x&3]
		}
	}
}

// Copies of whole planes, stride in bytes, where the machine has faster ones; nil otherwise. A copy is exact, so it belongs
// to no Level.
var loadPlane, storePlane func(plane, image *float32, stride uint64)

// Tile is the state of 16x16 pixels while Gaussians are blended into them or differentiated, 10 KB, on a 64-byte
// boundary: make it with NewTile, one for each goroutine, and reuse it.
type Tile struct {
	// T is the transmittance: 1 before the first Gaussian, 0 for pixels outside the image (see Begin).
	T Plane
	// R, G, B and D are the colour and the inverse depth (sum of w/z) blended so far, without background.
	R, G, B, D Plane
	// GR, GG, GB and GD are the loss's derivatives with respect to the final R, G, B (background included) and D.
	GR, GG, GB, GD Plane
	// S is the part of g·C that is still to come; see Seed.
	S Plane

	X, Y float32 // image coordinates of the tile's top left corner; the first pixel's centre is (X+0.5, Y+0.5)
	_    [14]float32
}

// NewTile returns a zeroed tile on a 64-byte boundary.
func NewTile() *Tile {
	s := Aligned(int(unsafe.Sizeof(Tile{}) / 4))
	return (*Tile)(unsafe.Pointer(unsafe.SliceData(s)))
}

// Begin prepares for BlendForward or BlendBackward at the tile whose corner is (x, y): T = 1 for the w x h pixels inside
// the image and 0 outside, colour and inverse depth 0.
func (t *Tile) Begin(x, y, w, h int) {
	t.R, t.G, t.B, t.D = Plane{}, Plane{}, Plane{}, Plane{}
	t.beginT(x, y, w, h)
}

// BeginBackward prepares for BlendBackward only: as Begin, but R, G, B, D keep the final values that Seed needs.
func (t *Tile) BeginBackward(x, y, w, h int) { t.beginT(x, y, w, h) }

func (t *Tile) beginT(x, y, w, h int) {
	t.X, t.Y = float32(x), float32(y)
	for i := range t.T {
		t.T[i] = 1
	}
	if w >= TileSize && h >= TileSize {
		return
	}
	for py := 0; py < TileSize; py++ {
		for px := 0; px < TileSize; px++ {
			if px >= w || py >= h {
				t.T[PlaneIndex(px, py)] = 0
			}
		}
	}
}

// Seed sets S = GR·R + GG·G + GB·B (+ GD·D with Depth): the upstream gradient times the final values. R, G and B must
// hold the final colours, background included; then the background's share is in S and needs no term of its own.
func (t *Tile) Seed(want Want) {
	for i := range t.S {
		t.S[i] = t.GR[i]*t.R[i] + t.GG[i]*t.G[i] + t.GB[i]*t.B[i]
	}
	if want&Depth != 0 {
		for i := range t.S {
			t.S[i] += t.GD[i] * t.D[i]
		}
	}
}

// alive returns the blocks in which some pixel still takes light.
func (t *Tile) alive() uint16 {
	var alive uint16
	for b := 0; b < Blocks; b++ {
		for _, v := range t.T[b*BlockLanes : b*BlockLanes+BlockLanes] {
			if v > MinTransmittance {
				alive |= 1 << b
				break
			}
		}
	}
	return alive
}

// Splat is one visible Gaussian as the blend kernels read it, 64 bytes. Its opacity at pixel centre (x, y) is, with
// dx = x-U, dy = y-V,
//
//	alpha = min(0.99, 2^(L + A·dx² + B·dx·dy + C·dy²))
type Splat struct {
	U, V    float32 // projected mean, pixels
	A, B, C float32 // the conic times -log2(e)/2, -log2(e), -log2(e)/2
	L       float32 // log2 of the opacity

	Red, Green, Blue float32 // colour, finite: some levels spread NaN to the pixels beside those that are touched
	InvZ             float32 // 1/depth

	SlopeX float32 // -B/2C: the ellipse's highest alpha in column dx is at dy = SlopeX·dx
	SlopeY float32 // -B/2A: and in row dy at dx = SlopeY·dy

	ExtentX, ExtentY float32 // half width and half height of the region alpha >= 1/255, pixels
	Z                float32 // depth, the sorting key
	ID               uint32  // index of the Gaussian
}

// MakeSplat fills the record of a Gaussian with projected mean (u, v), conic (a, b, c) with
// G = exp(-(a·dx² + 2b·dx·dy + c·dy²)/2), and opacity in (0, 1]. The extents are sqrt(2·ln(255·opacity)) times the standard
// deviations (Speedy-Splat, Hanson et al. 2025, eq. 13), or 0 when nothing reaches 1/255. ID is left to the caller.
func MakeSplat(u, v, a, b, c, opacity float32, colour [3]float32, z float32) Splat {
	s := Splat{
		U: u, V: v,
		A: -0.5 * math.Log2E * a, B: -math.Log2E * b, C: -0.5 * math.Log2E * c,
		L:   float32(math.Log2(float64(opacity))),
		Red: colour[0], Green: colour[1], Blue: colour[2],
		InvZ: 1 / z, Z: z,
		SlopeX: -b / c, SlopeY: -b / a,
	}
	if tau2 := 2 * math.Ln2 * (s.L - log2MinAlpha); tau2 > 0 {
		det := a*c - b*b // the covariance is (c, -b, a)/det
		s.ExtentX = float32(math.Sqrt(float64(tau2 * c / det)))
		s.ExtentY = float32(math.Sqrt(float64(tau2 * a / det)))
	}
	return s
}

// Instance is one Gaussian in one tile.
type Instance struct {
	Splat uint32 // index into the splats
	Slot  uint32 // index into the gradients: no two instances of a frame share one, so tiles need no atomics
}

// Grad is what BlendBackward sums over the pixels of one instance, 48 bytes. With h = alpha·dL/dalpha (0 where alpha is
// capped), w the blending weight, and dx, dy as at Splat:
type Grad struct {
	H, HX, HY     float32 // sums of h, h·dx, h·dy
	HXX, HXY, HYY float32 // sums of h·dx², h·dx·dy, h·dy²
	R, G, B       float32 // sums of w·dL/dC: the derivative with respect to the colour
	InvZ          float32 // sum of w·dL/dD: with respect to 1/z; 0 without Depth
	AbsU, AbsV    float32 // sums of |h·dq/dx|, |h·dq/dy|, q half the squared Mahalanobis distance; 0 without Abs
}

// Want selects what blending does besides colour.
type Want uint8

const (
	Depth Want = 1 << iota // the inverse depth: blend D forward; backward, GD is set
	Abs                    // backward, sum absolute screen gradients (AbsGS, Ye et al. 2024)
)

// BlockMask returns the blocks of the tile at (x, y) in which alpha can reach 1/255: bit 4·by+bx. The test is exact for the
// rectangle of the block's pixel centres: the exponent is concave, so its maximum over the rectangle is at the mean, or
// on the ridge where it leaves the nearest vertical or horizontal side.
func (s *Splat) BlockMask(x, y float32) uint16 {
	const half = 0.5 * (BlockSize - 1)
	var mask uint16
	for b := 0; b < Blocks; b++ {
		cx := x + float32(b&3*BlockSize+BlockSize/2) - s.U
		cy := y + float32(b>>2*BlockSize+BlockSize/2) - s.V
		xl, xh, yl, yh := cx-half, cx+half, cy-half, cy+half
		dx, dy := max(xl, min(xh, 0)), max(yl, min(yh, 0))
		y1 := max(yl, min(yh, s.SlopeX*dx))
		x2 := max(xl, min(xh, s.SlopeY*dy))
		if s.exponent(dx, y1) >= log2MinAlpha || s.exponent(x2, dy) >= log2MinAlpha {
			mask |= 1 << b
		}
	}
	return mask
}

// exponent returns log2 of the uncapped alpha at an offset from the mean.
func (s *Splat) exponent(dx, dy float32) float32 {
	return s.L + dx*(s.A*dx+s.B*dy) + dy*(s.C*dy)
}

// Alpha returns the opacity at an offset from the mean as blending has it: 0 below MinAlpha, MaxAlpha at most.
func (s *Splat) Alpha(dx, dy float32) float32 {
	e := s.exponent(dx, dy)
	if !(e >= log2MinAlpha) {
		return 0
	}
	return exp2(min(e, log2MaxAlpha))
}

// Coefficients of 2^f on 0 <= f < 1: degree 4, minimax in relative error (2.6e-6) by the Remez exchange.
const (
	exp2C0 float32 = 1.00000259
	exp2C1 float32 = 0.693003834
	exp2C2 float32 = 0.241442757
	exp2C3 float32 = 0.0520114606
	exp2C4 float32 = 0.0135341679
)

// exp2 returns 2^e for -8 <= e <= 0.
func exp2(e float32) float32 {
	n := int32(e+8) - 8 // floor
	f := e - float32(n)
	p := (((exp2C4*f+exp2C3)*f+exp2C2)*f+exp2C1)*f + exp2C0
	return p * math.Float32frombits(uint32(n+127)<<23)
}

// nextBlock returns the lowest set bit of a block mask.
func nextBlock(mask uint16) int { return bits.TrailingZeros16(mask) }
