//go:build amd64 && !noasm

package simd

import (
	"fmt"
	"unsafe"
)

type (
	projectAsm       func(view, group *float32, degree uint64, id uint32, splats *float32) uint32
	backwardGroupAsm func(view, group *float32, degree uint64, visible uint32, splats, grads *float32, slots, counts *uint32, rows, screen *float32)
)

// projectGroup runs an assembly kernel of that number of lanes over a group.
func projectGroup(kernel projectAsm, lanes int) projectFunc {
	return func(view *View, group []float32, degree int, id uint32, splats []Splat) (visible uint16) {
		group, splats = group[:GroupRows(checkDegree(degree))*GroupLanes], splats[:GroupLanes]
		for l := 0; l < GroupLanes; l += lanes {
			v := kernel(&view.R[0][0], &group[l], uint64(degree), id+uint32(l), (*float32)(unsafe.Pointer(&splats[l])))
			visible |= uint16(v) << l
		}
		return visible
	}
}

func backwardGroup(kernel backwardGroupAsm, lanes int) backwardGroupFunc {
	return func(view *View, group []float32, degree int, visible uint16, splats []Splat, grads []Grad, slots, counts []uint32, rows []float32, screen *Screen) {
		n := GroupRows(checkDegree(degree)) * GroupLanes
		group, rows = group[:n], rows[:n]
		splats, slots, counts = splats[:GroupLanes], slots[:GroupLanes], counts[:GroupLanes]
		for m := visible; m != 0; m &= m - 1 {
			l := nextBlock(m)
			_ = grads[slots[l]:][:counts[l]]
		}
		for l := 0; l < GroupLanes; l += lanes {
			kernel(&view.R[0][0], &group[l], uint64(degree), uint32(visible)>>l, (*float32)(unsafe.Pointer(&splats[l])),
				(*float32)(unsafe.Pointer(unsafe.SliceData(grads))), &slots[l], &counts[l], &rows[l], &screen.U[l])
		}
	}
}

func checkDegree(degree int) int {
	if degree < 0 || degree > 3 {
		panic(fmt.Sprintf("simd: SH degree %d", degree))
	}
	return degree
}
