// Package kernels holds the kernels of the GPU trainer: one source in OpenCL C 1.2 (*.cl, in the order of an iteration, then refinement), two
// preludes that give its words to clang's PTX target and to OpenCL drivers, and the PTX that clang made of it. Package gpu
// launches them and says in which order.
//
// To change a kernel: edit its .cl, run go generate ./engines/gpu/kernels (clang-19 is needed for that alone), and run the
// tests of engines/gpu, which run the PTX on an interpreter.
package kernels

import _ "embed"

//go:generate ./generate.sh

// PTX is the compiled module, for every NVIDIA card from compute capability 7.5 on.
//
//go:embed kernels.ptx
var PTX string

var (
	//go:embed prelude_ptx.h
	preludePTX string
	//go:embed prelude_opencl.h
	preludeOpenCL string

	//go:embed types.cl
	types string
	//go:embed project.cl
	project string
	//go:embed sort.cl
	sort string
	//go:embed tiles.cl
	tiles string
	//go:embed blend.cl
	blend string
	//go:embed loss.cl
	loss string
	//go:embed update.cl
	update string
	//go:embed refine.cl
	refine string
)

// source is the kernels without a prelude, in the order of generate.sh.
func source() string { return types + project + sort + tiles + blend + loss + update + refine }

// OpenCL is the source for an OpenCL driver, complete.
func OpenCL() string { return preludeOpenCL + source() }
