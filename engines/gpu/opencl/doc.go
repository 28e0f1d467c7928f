// Package opencl is a gpu.Device over any OpenCL 1.2 driver, which it loads when it is opened: no cgo and no headers. The driver
// compiles the source of package kernels. With PoCL, which runs OpenCL on the processor, it is an independent witness of the
// kernels in tests; on the cards of other makers it is experimental.
//
// The package is empty without the build tag gpu: a program that can load libraries is linked dynamically, and those that
// need no card stay static.
package opencl
