package child

import "syscall"

// attributes: macOS has no parent-death signal. A redis-server that is left behind is ended by the next start; a worker
// loses its lease when Redis goes, and ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
