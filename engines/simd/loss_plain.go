package simd

var lossRowsPlain = lossRows{
	bytes:           bytesPlain,
	multiply:        multiplyPlain,
	convolveRow:     convolveRowPlain,
	convolveColumns: convolveColumnsPlain,
	partials:        partialsPlain,
	gradient:        gradientPlain,
}

func bytesPlain(dst []float32, src []uint8) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = float32(v) * (1.0 / 255)
	}
}

func multiplyPlain(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func convolveRowPlain(dst, src []float32) {
	g := &ssimWindow
	for i := range dst {
		s := src[ssimPad-ssimRadius+i:][:ssimTaps]
		dst[i] = g[0]*(s[0]+s[10]) + g[1]*(s[1]+s[9]) + g[2]*(s[2]+s[8]) + g[3]*(s[3]+s[7]) + g[4]*(s[4]+s[6]) + g[5]*s[5]
	}
}

func convolveColumnsPlain(above, below []float32, rows *ring) {
	for first, dst := range [][]float32{above, below} {
		g := &ssimWindow
		var r [ssimTaps][]float32
		for k := range r {
			r[k] = rows[first+k][:len(dst)]
		}
		for i := range dst {
			dst[i] = g[0]*(r[0][i]+r[10][i]) + g[1]*(r[1][i]+r[9][i]) + g[2]*(r[2][i]+r[8][i]) +
				g[3]*(r[3][i]+r[7][i]) + g[4]*(r[4][i]+r[6][i]) + g[5]*r[5][i]
		}
	}
}

func partialsPlain(parts, stats *[3][]float32, mu, variance []uint16, valid []float32) float32 {
	var sum float32
	n := len(mu)
	mx, exx, exy := stats[0][:n], stats[1][:n], stats[2][:n]
	pm, pxx, pxy := parts[0][ssimPad:][:n], parts[1][ssimPad:][:n], parts[2][ssimPad:][:n]
	variance, valid = variance[:n], valid[:n]
	for i := range mx {
		mux, muy := mx[i], float32(mu[i])*(1.0/muScale)
		a := 2*mux*muy + ssimC1
		b := 2*(exy[i]-mux*muy) + ssimC2
		c := mux*mux + muy*muy + ssimC1
		d := max(exx[i]-mux*mux, 0) + float32(variance[i])*(1.0/varScale) + ssimC2
		r := valid[i] / (c * d)
		rc, rd := d*r, c*r // 1/c and 1/d
		ac, bd := a*rc, b*rd
		s := ac * bd
		sum += s
		pm[i] = 2 * (muy*(bd*rc-ac*rd) + mux*s*(rd-rc))
		pxx[i] = -s * rd
		pxy[i] = 2 * ac * rd
	}
	return sum
}

func gradientPlain(grad []float32, sums *[3][]float32, x, y []float32, weights LossWeights) float32 {
	var sum float32
	n := len(grad)
	gm, gxx, gxy := sums[0][:n], sums[1][:n], sums[2][:n]
	x, y = x[:n], y[:n]
	for i := range grad {
		diff := x[i] - y[i]
		sum += abs(diff)
		g := -weights.SSIM * (gm[i] + 2*x[i]*gxx[i] + y[i]*gxy[i])
		if diff > 0 {
			g += weights.L1
		} else if diff < 0 {
			g -= weights.L1
		}
		grad[i] = g
	}
	return sum
}
