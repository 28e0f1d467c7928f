package load

import (
	"fmt"
	"syscall"
)

// mountDisk makes a folder a disk of diskBytes.
func mountDisk(dir string) error {
	return syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes))
}
