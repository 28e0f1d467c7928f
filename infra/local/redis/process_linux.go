package redis

import "syscall"

// processAttributes: a process group of its own, so that a Ctrl-C in the terminal does not reach the server before its
// clients are done; and an orderly end when this process dies without a chance to.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
