package tool

import "syscall"

// maxRSSUnit: macOS reports the largest resident set in bytes (getrusage(2)).
const maxRSSUnit = 1

// processAttributes makes the program leader of a process group of its own. macOS has no parent-death signal.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// limitMemory does nothing: macOS bounds no other process's memory.
func limitMemory(int, int64) {}
