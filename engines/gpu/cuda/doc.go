// Package cuda is a gpu.Device over NVIDIA's driver, libcuda.so.1, which it loads when it is opened: no cgo and no toolkit, at
// build or at run time. The driver compiles the PTX of package kernels for the card.
//
// The package is empty without the build tag gpu: a program that can load libraries is linked dynamically, and those that
// need no card stay static.
package cuda
