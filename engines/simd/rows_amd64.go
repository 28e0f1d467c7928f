//go:build amd64 && !noasm

package simd

import "unsafe"

// The wrappers below give the assembly of rows_avx*_amd64.s the signatures of the plain functions. Reslicing panics where
// the plain form would: the assembly checks nothing.

type rowFuncs struct {
	adam            func(p, m, v, g, lr *float32, rows uint64, lanes uint32, step *float32)
	bytes           func(dst *float32, src *uint8, n uint64)
	multiply        func(dst, x, y *float32, n uint64)
	convolveRow     func(dst, src *float32, n uint64)
	convolveColumns func(above, below, rows *float32, n uint64)
	partials        func(parts, stats *float32, mu, variance *uint16, valid *float32, n uint64) float32
	gradient        func(grad, sums, x, y *float32, n uint64, l1, ssim float32) float32
}

func (f rowFuncs) adamRows(p, m, v, g []float32, lr []float32, lanes uint16, step *AdamStep) {
	if len(lr) == 0 {
		return
	}
	n := len(lr) * GroupLanes
	p, m, v, g = p[:n], m[:n], v[:n], g[:n]
	f.adam(&p[0], &m[0], &v[0], &g[0], &lr[0], uint64(len(lr)), uint32(lanes), &step.Beta1)
}

func (f rowFuncs) loss() lossRows {
	return lossRows{
		bytes: func(dst []float32, src []uint8) {
			n := whole(len(dst))
			src = src[:n]
			f.bytes(&dst[0], &src[0], uint64(n))
		},
		multiply: func(dst, a, b []float32) {
			n := whole(len(dst))
			a, b = a[:n], b[:n]
			f.multiply(&dst[0], &a[0], &b[0], uint64(n))
		},
		convolveRow: func(dst, src []float32) {
			n := whole(len(dst))
			src = src[:n+2*ssimPad]
			f.convolveRow(&dst[0], &src[0], uint64(n))
		},
		convolveColumns: func(above, below []float32, rows *ring) {
			n := whole(len(above))
			below = below[:n]
			for _, r := range rows {
				_ = r[:n]
			}
			f.convolveColumns(&above[0], &below[0], (*float32)(unsafe.Pointer(rows)), uint64(n))
		},
		partials: func(parts, stats *[3][]float32, mu, variance []uint16, valid []float32) float32 {
			n := whole(len(mu))
			for i := range parts {
				_, _ = parts[i][:n+2*ssimPad], stats[i][:n]
			}
			variance, valid = variance[:n], valid[:n]
			return f.partials((*float32)(unsafe.Pointer(parts)), (*float32)(unsafe.Pointer(stats)), &mu[0], &variance[0], &valid[0], uint64(n))
		},
		gradient: func(grad []float32, sums *[3][]float32, x, y []float32, weights LossWeights) float32 {
			n := whole(len(grad))
			for i := range sums {
				_ = sums[i][:n]
			}
			x, y = x[:n], y[:n]
			return f.gradient(&grad[0], (*float32)(unsafe.Pointer(sums)), &x[0], &y[0], uint64(n), weights.L1, weights.SSIM)
		},
	}
}

// whole checks that a row is whole registers, and not empty.
func whole(n int) int {
	if n == 0 || n%16 != 0 {
		panic("simd: a row is not whole registers")
	}
	return n
}
