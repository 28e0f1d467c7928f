//go:build !cgo || !linux

package depth

// GPUs are known on Linux only.
func GPUs() []GPU { return nil }
