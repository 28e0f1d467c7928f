//go:build !amd64 || noasm

package simd

var tables = map[Level]*Kernels{Plain: &plainKernels}

// Levels returns the levels that this machine can run, slowest first. Plain is always there.
func Levels() []Level { return []Level{Plain} }
