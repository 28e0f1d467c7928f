package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// lossReference is the loss of one channel in float64, straight from its definition: whole-image window sums, and the
// gradient by the chain rule over them.
func lossReference(x []float32, pix []uint8, w, h int, weights LossWeights) (grad []float64, l1, ssim float64) {
	var g [ssimTaps]float64
	total := 0.0
	for k := range g {
		g[k] = math.Exp(-float64((k-5)*(k-5)) / (2 * 1.5 * 1.5))
		total += g[k]
	}
	n := w * h
	blur := func(v func(i int) float64) []float64 {
		out := make([]float64, n)
		for y := range h {
			for x := range w {
				for j := range g {
					for i := range g {
						if yy, xx := y+j-5, x+i-5; yy >= 0 && yy < h && xx >= 0 && xx < w {
							out[y*w+x] += g[i] * g[j] / (total * total) * v(yy*w+xx)
						}
					}
				}
			}
		}
		return out
	}
	X := func(i int) float64 { return float64(x[i]) }
	Y := func(i int) float64 { return float64(pix[i]) / 255 }
	mx, my := blur(X), blur(Y)
	exx := blur(func(i int) float64 { return X(i) * X(i) })
	eyy := blur(func(i int) float64 { return Y(i) * Y(i) })
	exy := blur(func(i int) float64 { return X(i) * Y(i) })
	pm, pxx, pxy := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		a, b := 2*mx[i]*my[i]+ssimC1, 2*(exy[i]-mx[i]*my[i])+ssimC2
		c, d := mx[i]*mx[i]+my[i]*my[i]+ssimC1, exx[i]-mx[i]*mx[i]+eyy[i]-my[i]*my[i]+ssimC2
		s := a * b / (c * d)
		ssim += s
		pm[i] = 2*my[i]*b/(c*d) - 2*mx[i]*s/c + 2*mx[i]*s/d - 2*my[i]*a/(c*d)
		pxx[i], pxy[i] = -s/d, 2*a/(c*d)
	}
	gm, gxx, gxy := blur(func(i int) float64 { return pm[i] }), blur(func(i int) float64 { return pxx[i] }), blur(func(i int) float64 { return pxy[i] })
	grad = make([]float64, n)
	for i := range n {
		diff := X(i) - Y(i)
		l1 += math.Abs(diff)
		if diff != 0 {
			grad[i] = float64(weights.L1) * math.Copysign(1, diff)
		}
		grad[i] -= float64(weights.SSIM) * (gm[i] + 2*X(i)*gxx[i] + Y(i)*gxy[i])
	}
	return grad, l1, ssim
}

func testImages(rng *rand.Rand, w, h int, kind string) (x []float32, pix []uint8) {
	x, pix = make([]float32, w*h), make([]uint8, w*h)
	for i := range x {
		switch kind {
		case "noise":
			pix[i] = uint8(rng.IntN(256))
			x[i] = rng.Float32() * 1.2
		case "close": // what training looks like: nearly right
			pix[i] = uint8(128 + 80*math.Sin(float64(i%w)/7)*math.Cos(float64(i/w)/5))
			x[i] = float32(pix[i])/255 + 0.03*float32(rng.NormFloat64())
		case "bright": // the constants C1, C2 decide
			pix[i] = 255
			x[i] = 1
		case "black":
		}
	}
	return x, pix
}

func TestLossMatchesDefinition(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, kind := range []string{"noise", "close", "bright", "black"} {
			for _, size := range [][2]int{{1, 1}, {3, 17}, {16, 16}, {47, 12}, {64, 33}} {
				t.Run(fmt.Sprintf("%s%dx%d", kind, size[0], size[1]), func(t *testing.T) {
					w, h := size[0], size[1]
					x, pix := testImages(rand.New(rand.NewPCG(1, 2)), w, h, kind)
					weights := LossWeights{L1: 0.8 / float32(3*w*h), SSIM: 0.2 / float32(3*w*h)}
					want, wantL1, wantSSIM := lossReference(x, pix, w, h, weights)
					truth, err := k.NewTruth(pix, w, h)
					if err != nil {
						t.Fatal(err)
					}
					const guard = 12345
					grad := make([]float32, w*h+1)
					grad[w*h] = guard
					var l1, ssim float64
					l := NewLoss(w)
					for y0 := 0; y0 < h; y0 += 9 { // in shares
						a, b := k.Rows(l, x, truth, y0, min(h, y0+9), weights, grad)
						l1, ssim = l1+a, ssim+b
					}
					if grad[w*h] != guard {
						t.Fatal("wrote outside the gradient")
					}
					n := float64(w * h)
					// Rounding of sums of n terms; SSIM: the moments' fixed point, 2^-17 in the mean against C2/2.
					if !(math.Abs(l1-wantL1) <= 1e-5*n) || !(math.Abs(ssim-wantSSIM) <= 3e-3*n) {
						t.Errorf("l1 %v ssim %v, want %v %v", l1, ssim, wantL1, wantSSIM)
					}
					// SSIM's derivative is at most about 1/sqrt(C2) = 33 a window; its rounding is measured against that.
					tol := 1e-5*float64(weights.L1) + 33*2e-3*float64(weights.SSIM)
					for i, g := range want {
						if x[i] == float32(pix[i])/255 {
							continue // the sign of nothing
						}
						if !(math.Abs(float64(grad[i])-g) <= tol) {
							t.Fatalf("gradient at %d: %v, want %v", i, grad[i], g)
						}
					}
				})
			}
		}
	})
}

func TestLossLevelsAgree(t *testing.T) {
	const w, h = 123, 40
	weights := LossWeights{L1: 1e-5, SSIM: 0.25e-5}
	for _, kind := range []string{"noise", "close", "bright", "black"} {
		x, pix := testImages(rand.New(rand.NewPCG(3, 2)), w, h, kind)
		var wantL1, wantSSIM float64
		var want []float32
		eachLevel(t, func(t *testing.T, k *Kernels) {
			truth, err := k.NewTruth(pix, w, h)
			if err != nil {
				t.Fatal(err)
			}
			grad := make([]float32, w*h)
			l1, ssim := k.Rows(NewLoss(w), x, truth, 0, h, weights, grad)
			if k.Level == Plain {
				want, wantL1, wantSSIM = grad, l1, ssim
				return
			}
			if !(math.Abs(l1-wantL1) <= 1e-5*w*h) || !(math.Abs(ssim-wantSSIM) <= 2e-4*w*h) {
				t.Errorf("%s: l1 %v ssim %v, plain %v %v", kind, l1, ssim, wantL1, wantSSIM)
			}
			for i := range grad {
				// The gradient's three terms reach 2/C2 = 2200 and cancel; each carries the rounding of a variance, about
				// 1e-7 of 5e-3 in these images.
				if !(math.Abs(float64(grad[i]-want[i])) <= 2/ssimC2*2e-5*float64(weights.SSIM)) {
					t.Fatalf("%s: gradient at %d: %v, plain %v", kind, i, grad[i], want[i])
				}
			}
		})
	}
}

func TestLossGradientIsDerivative(t *testing.T) {
	const w, h = 20, 18
	x, pix := testImages(rand.New(rand.NewPCG(5, 5)), w, h, "close")
	weights := LossWeights{L1: 0.8 / (3 * w * h), SSIM: 0.2 / (3 * w * h)}
	grad, _, _ := lossReference(x, pix, w, h, weights)
	loss := func() float64 {
		_, l1, ssim := lossReference(x, pix, w, h, weights)
		return float64(weights.L1)*l1 + float64(weights.SSIM)*(w*h-ssim)
	}
	for _, i := range []int{0, 19, 7*w + 9, 17*w + 3} {
		x0 := x[i]
		const step = 1.0 / (1 << 10)
		x[i] = x0 + step
		hi, up := x[i], loss()
		x[i] = x0 - step
		lo, down := x[i], loss()
		x[i] = x0
		got := (up - down) / float64(hi-lo)
		if !(math.Abs(got-grad[i]) <= 2e-3*math.Abs(grad[i])+1e-7) {
			t.Errorf("pixel %d: difference %v, gradient %v", i, got, grad[i])
		}
	}
}

func TestNewTruthRefusesWrongSize(t *testing.T) {
	k := Plain.Kernels()
	for _, c := range [][3]int{{11, 3, 4}, {0, 0, 0}, {1, -1, -1}} {
		if _, err := k.NewTruth(make([]uint8, c[0]), c[1], c[2]); err == nil {
			t.Errorf("accepted %d pixels for %dx%d", c[0], c[1], c[2])
		}
	}
}

func TestAdamMatchesDefinition(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		rng := rand.New(rand.NewPCG(9, 9))
		for _, rows := range []int{0, 1, 2, 14, 59} {
			for _, lanes := range []uint16{0, 1, 0x8000, 0xffff, 0xa5c3} {
				n := rows * GroupLanes
				const guard = 7.25
				buf := func(f func() float64) []float32 {
					b := make([]float32, n+1)
					for i := range n {
						b[i] = float32(f())
					}
					b[n] = guard
					return b
				}
				p, m := buf(rng.NormFloat64), buf(func() float64 { return 1e-3 * rng.NormFloat64() })
				v := buf(func() float64 { return 1e-6 * rng.Float64() })
				g := buf(func() float64 { return []float64{0, 1e-20, 1e-3, 1, 1e10}[rng.IntN(5)] * rng.NormFloat64() })
				if n > 40 {
					v[3], m[3], g[3] = 0, 0, 0
					g[20], g[40] = float32(math.NaN()), float32(math.Inf(1))
				}
				lr := make([]float32, rows)
				for r := range lr {
					lr[r] = []float32{0, 1e-3, 0.05}[r%3]
				}
				step := NewAdamStep(rows)
				p2, m2, v2 := append([]float32(nil), p...), append([]float32(nil), m...), append([]float32(nil), v...)
				k.Adam(p2, m2, v2, g, lr, lanes, &step)
				for i := range p {
					wp, wm, wv := float64(p[i]), float64(m[i]), float64(v[i])
					if i < n && lanes>>(i%GroupLanes)&1 != 0 {
						wm += (1 - 0.9) * (float64(g[i]) - wm)
						wv += (1 - 0.999) * (float64(g[i])*float64(g[i]) - wv)
						wp -= float64(lr[i/GroupLanes]) * float64(step.Correct1) * wm / (math.Sqrt(float64(step.Correct2)*wv) + 1e-15)
					}
					for what, pair := range map[string][2]float64{"p": {float64(p2[i]), wp}, "m": {float64(m2[i]), wm}, "v": {float64(v2[i]), wv}} {
						got, want := pair[0], pair[1]
						if math.IsNaN(want) || math.IsInf(want, 0) {
							if got-got == 0 {
								t.Fatalf("%s[%d] = %v, want %v", what, i, got, want)
							}
							continue
						}
						// 1-beta is rounded to 2^-24 of beta: 6e-5 of 1-beta2. Small v are denormal.
						if !(math.Abs(got-want) <= 1e-4*math.Abs(want)+1e-37) && !(what == "p" && math.Abs(got-want) <= 1e-4*math.Abs(wp-float64(p[i]))+2e-7*math.Abs(wp)) {
							t.Fatalf("rows %d lanes %04x: %s[%d] = %v, want %v", rows, lanes, what, i, got, want)
						}
					}
				}
			}
		}
	})
}

func BenchmarkLoss(b *testing.B) {
	x, pix := testImages(rand.New(rand.NewPCG(1, 1)), frameW, frameH, "close")
	weights := LossWeights{L1: 1e-6, SSIM: 1e-6}
	grad := make([]float32, len(x))
	run := func(k *Kernels, rounds int) time.Duration {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		truth, err := k.NewTruth(pix, frameW, frameH)
		if err != nil {
			b.Fatal(err)
		}
		l := NewLoss(frameW)
		best := time.Hour
		for range rounds {
			start := threadTime()
			for range 3 {
				k.Rows(l, x, truth, 0, frameH, weights, grad)
			}
			best = min(best, threadTime()-start)
		}
		return best
	}
	plain := run(Plain.Kernels(), 5)
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			best := run(level.Kernels(), b.N+1)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(best.Microseconds())/1e3, "ms-for-3-channels")
			b.ReportMetric(float64(plain)/float64(best), "x-plain")
		})
	}
}

func BenchmarkAdam(b *testing.B) {
	for _, gaussians := range []int{1600, 100000} { // in the cache, and not
		groups, rows := gaussians/GroupLanes, GroupRows(3)
		n := groups * rows * GroupLanes
		p, m, v, g := Aligned(n), Aligned(n), Aligned(n), Aligned(rows*GroupLanes)
		lr := make([]float32, rows)
		for i := range g {
			g[i] = float32(i)
		}
		step := NewAdamStep(0)
		run := func(k *Kernels, rounds int) time.Duration {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			best := time.Hour
			for range rounds {
				start := threadTime()
				for j := range groups {
					at := j * rows * GroupLanes
					k.Adam(p[at:], m[at:], v[at:], g, lr, 0xffff, &step)
				}
				best = min(best, threadTime()-start)
			}
			return best
		}
		plain := run(Plain.Kernels(), 5)
		for _, level := range Levels() {
			b.Run(fmt.Sprintf("%d/%v", gaussians, level), func(b *testing.B) {
				best := run(level.Kernels(), b.N+1)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(best.Nanoseconds())/float64(n), "ns/param")
				b.ReportMetric(float64(plain)/float64(best), "x-plain")
			})
		}
	}
}
