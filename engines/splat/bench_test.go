package splat

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var (
	benchGaussians = flag.Int("gaussians", 1_000_000, "in BenchmarkConvert")
	convertTo      = flag.String("convert", "", "convert FILE (the first argument) to this one: what BenchmarkConvert measures in a process of its own")
)

// TestMain converts a file where the benchmark asks for it, so that its memory can be measured apart from the benchmark's.
func TestMain(m *testing.M) {
	flag.Parse()
	if *convertTo == "" {
		os.Exit(m.Run())
	}
	if err := convertFile(flag.Arg(0), *convertTo); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func convertFile(from, to string) error {
	c, _, err := ReadFile(from)
	if err != nil {
		return err
	}
	if folder, ok := FolderOf(to); ok {
		return folder.Write(filepath.Dir(to), c, 2)
	}
	f, err := FormatOf(to)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	return f.Write(out, c)
}

// measured runs a program to its end.
func measured(b *testing.B, program string, args ...string) (wall time.Duration, peak int64) {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), program, args...)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return time.Since(start), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// BenchmarkConvert turns the PLY of a million Gaussians of degree 3 into web formats, and gives seconds, bytes and peak memory
// as ratios to those of PlayCanvas's splat-transform on the same file, in the same run. Reading is in both.
func BenchmarkConvert(b *testing.B) {
	converter := splatTransform(b)
	dir := b.TempDir()
	from := filepath.Join(dir, "a.ply")
	f, err := os.Create(from)
	if err != nil {
		b.Fatal(err)
	}
	if err := scene(*benchGaussians, 3, Mip).WritePLY(f); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for _, suffix := range []string{".spz", ".sog", ".glb", ".compressed.ply"} {
		b.Run(suffix[1:], func(b *testing.B) {
			theirs, ours := filepath.Join(dir, "theirs"+suffix), filepath.Join(dir, "ours"+suffix)
			their, theirPeak := measured(b, converter, "-w", "-g", "cpu", from, theirs)
			b.ResetTimer()
			for range b.N {
				our, ourPeak := measured(b, os.Args[0], "-convert", ours, from)
				b.ReportMetric(our.Seconds()/their.Seconds(), "of-their-seconds")
				b.ReportMetric(float64(sizeOf(b, ours))/float64(sizeOf(b, theirs)), "of-their-bytes")
				b.ReportMetric(float64(ourPeak)/float64(theirPeak), "of-their-memory")
				b.ReportMetric(float64(ourPeak)/(1<<20), "MiB")
			}
		})
	}
	b.Run("levels", func(b *testing.B) { // splat-transform makes none of its own
		for range b.N {
			our, ourPeak := measured(b, os.Args[0], "-convert", filepath.Join(dir, "streamed", streamedName), from)
			b.ReportMetric(our.Seconds(), "s")
			b.ReportMetric(float64(ourPeak)/(1<<20), "MiB")
		}
	})
}

func sizeOf(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
