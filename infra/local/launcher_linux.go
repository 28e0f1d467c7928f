package local

import "syscall"

// workerAttributes: a process group of its own, and an orderly end when this process dies without a chance to.
func workerAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
