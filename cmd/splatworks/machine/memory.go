package machine

import (
	"fmt"
	"syscall"
)

// LeastMemory is how much address space the programs need at least: a worker with 1.5 GB of it died of a tiny capture, one with 3 GB
// did not.
const LeastMemory = 2 << 30

// enoughMemory says in words what the Go runtime would otherwise say by a crash.
func enoughMemory() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return nil // a system without such a limit
	}
	return checkMemory(limit.Cur)
}

func checkMemory(limit uint64) error {
	if limit < LeastMemory {
		return fmt.Errorf("the limit on memory is %d MB (ulimit -v), at least %d MB are needed, and large captures need more: raise it, or remove it with 'ulimit -v unlimited'",
			limit>>20, LeastMemory>>20)
	}
	return nil
}
