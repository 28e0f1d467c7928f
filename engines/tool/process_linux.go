package tool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxRSSUnit: Linux reports the largest resident set in KiB (getrusage(2)).
const maxRSSUnit = 1024

// processAttributes makes the program leader of a process group of its own, and has the kernel kill it when this process
// dies without a chance to.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory bounds the data of a process: RLIMIT_DATA counts private writable mappings since Linux 4.7 (setrlimit(2)).
// It comes a moment after the start, long before a program has read its input. A process that is gone needs no bound.
func limitMemory(pid int, bytes int64) {
	limit := unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil)
}
