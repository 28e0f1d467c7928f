package local

import "syscall"

// workerAttributes: a process group of its own. macOS has no parent-death signal: a worker that is left behind loses its
// lease when Redis goes, and ends.
func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
