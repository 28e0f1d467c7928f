package simd

import "math"

// AdamStep holds what is the same for all parameters in one step of Adam (Kingma and Ba 2015).
type AdamStep struct {
	Beta1, Beta2, Epsilon float32
	// Correct1 and Correct2 are 1/(1-beta1^t) and 1/(1-beta2^t): the bias corrections of m and v; 1 leaves them out, as
	// is usual when only visible Gaussians are updated and t differs between them.
	Correct1, Correct2 float32
}

// NewAdamStep returns the settings of 3DGS training (0.9, 0.999, 1e-15), with bias correction for step t >= 1 or without
// for t = 0.
func NewAdamStep(t int) AdamStep {
	s := AdamStep{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-15, Correct1: 1, Correct2: 1}
	if t > 0 {
		s.Correct1 = float32(1 / (1 - math.Pow(0.9, float64(t))))
		s.Correct2 = float32(1 / (1 - math.Pow(0.999, float64(t))))
	}
	return s
}

// adamPlain updates len(lr) rows of GroupLanes parameters p and their moments m, v with the gradients g, row k at rate
// lr[k], in the lanes whose bit is set; the others keep parameters and moments:
//
//	m += (1-beta1)(g - m);  v += (1-beta2)(g² - v);  p -= lr·Correct1·m / (sqrt(Correct2·v) + Epsilon)
//
// A row with lr 0 keeps its parameters and still advances its moments; leave rows out by slicing. p, m, v and g hold at
// least len(lr)*GroupLanes floats. For flat slices of any layout pass lanes 0xffff and one rate for every 16 floats.
func adamPlain(p, m, v, g []float32, lr []float32, lanes uint16, step *AdamStep) {
	n := len(lr) * GroupLanes
	p, m, v, g = p[:n], m[:n], v[:n], g[:n]
	for i := range p {
		if lanes>>(i%GroupLanes)&1 == 0 {
			continue
		}
		m[i] += (1 - step.Beta1) * (g[i] - m[i])
		v[i] += (1 - step.Beta2) * (g[i]*g[i] - v[i])
		root := float32(math.Sqrt(float64(step.Correct2 * v[i])))
		p[i] -= lr[i/GroupLanes] * step.Correct1 * m[i] / (root + step.Epsilon)
	}
}
