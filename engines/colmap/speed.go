package colmap

import (
	"slices"
	"sync"
	"time"
)

// referenceBlur is what two blurs take on the core that the costs of Estimate were measured on (Zen 4): 286 µs were measured on one of
// Zen 3, on which COLMAP's commands took 1.3 to 1.9 times as long.
const referenceBlur = 180 * time.Microsecond

// slowest and fastest are speeds beyond which a measurement is not believed.
const slowest, fastest = 0.4, 2.5

// CoreSpeed is how fast a core of this machine is beside the one that costs were measured on, by the fastest of some blurs, which are
// what finding features consists of. A busy machine gives a smaller number, as COLMAP will have there.
var CoreSpeed = sync.OnceValue(func() float64 {
	const side, times = 192, 200
	image, out := make([]float32, side*side), make([]float32, side*side)
	for i := range image {
		image[i] = float32(i*7919%256) / 255
	}
	taken := make([]time.Duration, times)
	for i := range taken {
		begun := time.Now()
		blur(out, image, side)
		blur(image, out, side)
		taken[i] = time.Since(begun)
	}
	return min(max(float64(referenceBlur)/float64(max(slices.Min(taken), 1)), slowest), fastest)
})

// blur weighs each pixel with its neighbours in a row and writes the result transposed, as one half of a Gaussian does.
func blur(to, from []float32, side int) {
	weights := [...]float32{0.028, 0.066, 0.124, 0.179, 0.206, 0.179, 0.124, 0.066, 0.028}
	for y := range side {
		row := from[y*side : (y+1)*side]
		for x := len(weights) / 2; x < side-len(weights)/2; x++ {
			sum := float32(0)
			for k, v := range row[x-len(weights)/2 : x-len(weights)/2+len(weights)] {
				sum += weights[k] * v
			}
			to[x*side+y] = sum
		}
	}
}
