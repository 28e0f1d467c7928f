//go:build !linux

package simd

import "time"

var epoch = time.Now()

// threadTime is the wall clock where there is no portable CPU time of a thread.
func threadTime() time.Duration { return time.Since(epoch) }
