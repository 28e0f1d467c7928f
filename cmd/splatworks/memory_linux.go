//go:build cgo

package main

/*
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define LEAST_MB 2048 // machine.LeastMemory

// Go's runtime ends with a crash of its own where it cannot reserve addresses: below some 900 MB before the first line of Go runs,
// and up to some 1.5 GB in the midst of a command. So this is said before it starts.
__attribute__((constructor)) static void check_memory(void) {
	struct rlimit limit;
	if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >> 20 >= LEAST_MB)
		return;
	dprintf(2, "splatworks: the limit on memory is %llu MB (ulimit -v), at least %d MB are needed, and large captures need more: raise it, or remove it with 'ulimit -v unlimited'\n",
		(unsigned long long)(limit.rlim_cur >> 20), LEAST_MB);
	_exit(1);
}
*/
import "C"
