package splat

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls work for disjoint ranges that cover 0..n, on all processors.
func parallel(n int, work func(from, to int)) {
	workers := max(1, min(runtime.GOMAXPROCS(0), n/4096))
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() { work(n*w/workers, n*(w+1)/workers) })
	}
	done.Wait()
}

// parallelEach calls work for each of 0..n, on all processors.
func parallelEach(n int, work func(i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	done.Wait()
}

// toByte rounds to the nearest of 0 to 255. What is no number becomes 0.
func toByte(v float64) byte {
	if !(v > 0) {
		return 0
	}
	return byte(math.Min(255, math.Floor(v+0.5)))
}

// opacity is the activated value of a logit.
func opacity(logit float32) float64 { return 1 / (1 + math.Exp(-float64(logit))) }

// logit is the inverse of opacity, within what a Cloud may hold: formats with 8 bits have true zeros and ones.
func logit(opacity float64) float32 {
	const least = 1e-6
	opacity = math.Min(1-least, math.Max(least, opacity))
	return float32(math.Log(opacity / (1 - opacity)))
}

// unitQuat is quaternion i, w x y z, of length 1.
func (c *Cloud) unitQuat(i int) (q [4]float64) {
	sum := 0.0
	for j := range q {
		q[j] = float64(c.Quats[4*i+j])
		sum += q[j] * q[j]
	}
	for j := range q {
		q[j] /= math.Sqrt(sum)
	}
	return q
}

// largest is the index of the component with the largest magnitude, the first of equal ones.
func largest(q [4]float64) (at int) {
	for j, v := range q {
		if math.Abs(v) > math.Abs(q[at]) {
			at = j
		}
	}
	return at
}

// withDropped fills in the component that a smallest-three encoding leaves out.
func withDropped(q [4]float64, dropped int) [4]float64 {
	rest := 1.0
	for j, v := range q {
		if j != dropped {
			rest -= v * v
		}
	}
	q[dropped] = math.Sqrt(math.Max(0, rest))
	return q
}
