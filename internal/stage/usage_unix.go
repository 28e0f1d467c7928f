//go:build unix

package stage

import (
	"os"
	"runtime"
	"syscall"
)

type account struct {
	cpuS         float64 // user + system, this process and its children
	peakRSSBytes int64   // largest resident set of this process, since forgetPeak where the kernel keeps that apart
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
		if who == syscall.RUSAGE_SELF {
			a.peakRSSBytes = int64(r.Maxrss)
		}
	}
	if runtime.GOOS != "darwin" { // kilobytes everywhere but there
		a.peakRSSBytes *= 1024
	}
	return a
}

// forgetPeak begins the peak of resident memory anew, or a job would be charged with that of the one before it: "5" is what proc(5)
// documents for it in clear_refs. Where that is missing the peak stays that of the process.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
