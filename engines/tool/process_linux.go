package tool

import "syscall"

// maxRSSUnit: Linux reports the largest resident set in KiB (getrusage(2)).
const maxRSSUnit = 1024

// processAttributes makes the program leader of a process group of its own, and has the kernel kill it when this process
// dies without a chance to.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
