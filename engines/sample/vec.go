package sample

import "math"

// vec is a point or direction in the world: metres, right-handed, z up.
//
// The Go specification lets a compiler fuse x*y + z into one rounding, and on arm64 it does. Every product
// here that meets a sum is therefore converted explicitly, which forbids the fusion: the same seed gives the
// same pixels on every machine.
type vec struct{ x, y, z float64 }

func (a vec) add(b vec) vec { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) sub(b vec) vec { return vec{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vec) scale(s float64) vec {
	return vec{float64(a.x * s), float64(a.y * s), float64(a.z * s)}
}

func (a vec) dot(b vec) float64 {
	return float64(a.x*b.x) + float64(a.y*b.y) + float64(a.z*b.z)
}

func (a vec) cross(b vec) vec {
	return vec{
		float64(a.y*b.z) - float64(a.z*b.y),
		float64(a.z*b.x) - float64(a.x*b.z),
		float64(a.x*b.y) - float64(a.y*b.x),
	}
}

func (a vec) length() float64 { return math.Sqrt(a.dot(a)) }
func (a vec) unit() vec       { return a.scale(1 / a.length()) }

// at is the point at distance t along direction d.
func (a vec) at(t float64, d vec) vec { return a.add(d.scale(t)) }

// quantise rounds to a multiple of 2^-24, so that the last bits of a sine, which differ between processors,
// never reach a picture.
func quantise(x float64) float64 { return math.Round(x*(1<<24)) / (1 << 24) }

func lerp(a, b, t float64) float64 { return a + float64((b-a)*t) }

func clamp01(x float64) float64 {
	if x > 0 {
		return min(x, 1)
	}
	return 0
}

// hash mixes integers into 64 even bits (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
func hash(values ...int64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, v := range values {
		h = mix(h ^ uint64(v))
	}
	return h
}

func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// unitOf maps a hash to [0,1).
func unitOf(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// random is a small seeded stream of numbers; the standard generators promise no fixed sequence to a test
// that compares bytes across Go releases, this one cannot change.
type random struct{ state uint64 }

func (r *random) next() float64 {
	r.state = mix(r.state)
	return unitOf(r.state)
}

func (r *random) between(lo, hi float64) float64 { return lerp(lo, hi, r.next()) }
func (r *random) intn(n int) int                 { return int(r.next() * float64(n)) }

// noise is smooth value noise in [0,1]: hashed values on the integer lattice, joined by 3t²-2t³.
func noise(seed int64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int64(fx), int64(fy)
	tx, ty := smooth(x-fx), smooth(y-fy)
	lattice := func(dx, dy int64) float64 {
		return unitOf(mix(mix(uint64(ix+dx)^uint64(seed)<<32) ^ uint64(iy+dy)))
	}
	return lerp(lerp(lattice(0, 0), lattice(1, 0), tx), lerp(lattice(0, 1), lattice(1, 1), tx), ty)
}

func smooth(t float64) float64 { return float64(t*t) * (3 - float64(2*t)) }

// fractal adds octaves of noise, each twice as fine and 0.6 times as strong: texture at every distance a
// camera may have.
func fractal(seed int64, x, y float64, octaves int) float64 {
	sum, weight, total := 0.0, 1.0, 0.0
	for o := range octaves {
		sum += float64(weight * noise(seed+int64(o)*7919, x, y))
		total += weight
		weight = float64(weight * 0.6)
		x, y = float64(x*2.03)+17.3, float64(y*2.03)-9.1
	}
	return sum / total
}
