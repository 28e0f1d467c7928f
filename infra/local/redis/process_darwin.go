package redis

import "syscall"

// processAttributes: a process group of its own, so that a Ctrl-C in the terminal does not reach the server before its
// clients are done. macOS has no parent-death signal: the next start ends a server that was left.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
