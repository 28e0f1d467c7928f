//go:build gpu && (linux || darwin)

package cards

import (
	"fmt"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cuda"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/opencl"
)

var (
	listers = map[Driver]func() ([]Card, error){CUDA: listCUDA, OpenCL: listOpenCL}
	openers = map[Driver]func(ordinal int) (gpu.Device, error){
		CUDA:   func(ordinal int) (gpu.Device, error) { return cuda.Open(ordinal, kernels.PTX) },
		OpenCL: func(ordinal int) (gpu.Device, error) { return opencl.Open(ordinal, kernels.OpenCL()) },
	}
)

// leastCapability is what the PTX is for: T4 and later.
const leastCapability = 75

func listCUDA() (list []Card, err error) {
	found, err := cuda.Cards()
	for _, c := range found {
		card := Card{Driver: CUDA, Name: c.Name, Memory: c.Bytes, ordinal: c.Ordinal,
			Version: fmt.Sprintf("CUDA %d.%d, compute capability %d.%d, %d multiprocessors", c.Driver/1000, c.Driver%1000/10, c.Major, c.Minor, c.Multiprocessors)}
		if 10*c.Major+c.Minor < leastCapability {
			card.Problem = "its compute capability is below 7.5"
		}
		list = append(list, card)
	}
	return list, err
}

func listOpenCL() (list []Card, err error) {
	found, err := opencl.Devices()
	for i, d := range found {
		list = append(list, Card{Driver: OpenCL, Name: d.Name, Memory: d.Memory, Version: d.Version, ordinal: i, processor: d.Processor})
	}
	return list, err
}
