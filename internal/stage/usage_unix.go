//go:build unix

package stage

import (
	"runtime"
	"syscall"
)

type account struct {
	cpuS         float64 // user + system, this process and its children
	peakRSSBytes int64   // largest single process so far
}

// usage asks the kernel. Children count once they have ended and were waited for.
func usage() account {
	var a account
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) != nil {
			continue
		}
		a.cpuS += seconds(r.Utime) + seconds(r.Stime)
		rss := int64(r.Maxrss)
		if runtime.GOOS != "darwin" { // kilobytes everywhere but there
			rss *= 1024
		}
		a.peakRSSBytes = max(a.peakRSSBytes, rss)
	}
	return a
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
