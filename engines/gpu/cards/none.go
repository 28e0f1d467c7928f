//go:build !gpu || !(linux || darwin)

package cards

import (
	"errors"

	"github.com/splatworks/splatworks/engines/gpu"
)

var errLeftOut = errors.New("this program was built without graphics cards (build tag gpu)")

func listNone() ([]Card, error) { return nil, errLeftOut }

func openNone(int) (gpu.Device, error) { return nil, errLeftOut }

var (
	listers = map[Driver]func() ([]Card, error){CUDA: listNone, OpenCL: listNone}
	openers = map[Driver]func(ordinal int) (gpu.Device, error){CUDA: openNone, OpenCL: openNone}
)
