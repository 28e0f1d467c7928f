package e2e

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// chaos runs every fault of TestChaos, not only the quick ones: some fifteen minutes on two cores. `make chaos` sets it.
var chaos = flag.Bool("chaos", false, "break everything in TestChaos, not only what is quick to break")

// fault is something that breaks while a fleet is at work.
type fault struct {
	name        string
	quick       bool // cheap enough for every run of the tests
	goods, bads int
	options     *pipeline.Options // good, where nil
	strike      func(*fleet)
}

var longTraining = pipeline.Options{Preset: "preview", TrainBudgetS: 15, MaxImages: 20, LongEdgePx: 200, Depth: pipeline.DepthOff}

var faults = []fault{
	{name: "nothing", goods: 3, bads: 1, strike: func(*fleet) {}},
	{name: "the backend is killed again and again", quick: true, goods: 2, strike: func(f *fleet) {
		for _, stage := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess, pipeline.Train} {
			f.any(stage)
			f.crash()
			f.up()
		}
	}},
	{name: "power is cut", goods: 3, bads: 1, strike: func(f *fleet) {
		for _, stage := range pipeline.Stages() {
			f.any(stage)
			f.powerCut()
			f.up()
		}
	}},
	{name: "power is cut three times in one training", goods: 1, options: &longTraining, strike: func(f *fleet) {
		for range 3 {
			f.worker(pipeline.Train)
			f.checkpoint()
			f.powerCut()
			f.up()
		}
	}},
	{name: "the laptop sleeps three times in one stage", goods: 1, options: &longTraining, strike: func(f *fleet) {
		for range 3 {
			f.worker(pipeline.Train)
			wake := f.suspend()
			time.Sleep(8 * time.Second) // longer than the lease of 6 s
			wake()
		}
	}},
	{name: "the backend is stopped in each stage", goods: 3, bads: 1, strike: func(f *fleet) {
		for _, stage := range pipeline.Stages() {
			f.any(stage)
			f.b.stop()
			f.up()
		}
	}},
	{name: "workers are killed", goods: 2, bads: 1, strike: func(f *fleet) {
		for _, stage := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess, pipeline.Train, pipeline.Export} {
			if pid := f.worker(stage); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}},
	{name: "a worker hangs for longer than its lease", goods: 2, strike: func(f *fleet) {
		for _, stage := range []pipeline.Stage{pipeline.Preprocess, pipeline.Train} {
			pid := f.worker(stage)
			if pid == 0 {
				continue
			}
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			time.Sleep(10 * time.Second) // longer than the lease of 6 s
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}},
	{name: "colmap is killed for want of memory", goods: 2, strike: func(f *fleet) {
		f.until(func() bool {
			for _, pid := range family(f.b.cmd.Process.Pid, f.dir) {
				if colmapStep.MatchString(commandLine(pid)) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					return true
				}
			}
			return f.ended()
		})
	}},
	{name: "a second backend is started on the same data", quick: true, goods: 1, strike: func(f *fleet) {
		f.worker(pipeline.Preprocess)
		before := files(f.dir + "/work")
		for _, command := range [][]string{{"up", "--listen", "127.0.0.1:0"}, {"rebuild"}} {
			code, _, said := splatworks(f.t, append(command, "--data", f.dir)...)
			if code == 0 || !strings.Contains(said, f.dir) {
				f.t.Errorf("%v on a folder in use: exit %d, %s", command, code, said)
			}
		}
		if after := files(f.dir + "/work"); before > 0 && after == 0 && len(f.b.workers("preprocess")) > 0 {
			f.t.Errorf("%d files of a running worker are gone", before)
		}
	}},
	{name: "redis is killed", goods: 3, bads: 1, strike: func(f *fleet) {
		for _, stage := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess, pipeline.Train} {
			f.any(stage)
			_ = syscall.Kill(f.b.redis().pid, syscall.SIGKILL)
			time.Sleep(time.Second) // it is started again
		}
	}},
	{name: "redis hangs", goods: 2, strike: func(f *fleet) {
		f.any(pipeline.Preprocess)
		resume := f.b.redis().pause()
		time.Sleep(12 * time.Second)
		resume()
	}},
	{name: "redis loses everything while it runs", quick: true, goods: 1, bads: 1, strike: func(f *fleet) {
		f.submitted()
		f.any(pipeline.Preprocess)
		f.b.redis().command("FLUSHALL")
	}},
	{name: "the queue's data are deleted", goods: 2, bads: 1, strike: func(f *fleet) {
		f.submitted()
		f.any(pipeline.Preprocess)
		f.powerCut()
		f.remove("cloud/redis")
		f.up()
	}},
	{name: "the queue's data are damaged", goods: 2, strike: func(f *fleet) {
		f.submitted()
		f.any(pipeline.Preprocess)
		f.powerCut()
		logs, _ := filepath.Glob(f.dir + "/cloud/redis/appendonlydir/*.incr.aof")
		if len(logs) != 1 {
			f.t.Fatalf("append-only files: %v", logs)
		}
		file, err := os.OpenFile(logs[0], os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = file.Write(make([]byte, 4096)) // what a loss of power leaves at a file's end
		}
		if err != nil {
			f.t.Fatal(err)
		}
		_ = file.Close()
		f.up()
	}},
}

// colmapStep is the command line of a long step of COLMAP, through a loader or not.
var colmapStep = regexp.MustCompile(`colmap.* (feature_extractor|exhaustive_matcher|sequential_matcher|mapper|global_mapper) `)

// TestChaos breaks something under a fleet of small requests. Whatever it is: every request ends once, as it would have ended
// without it, with one kind of webhook, and nothing is left behind.
func TestChaos(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server")
	capture := smallCapture(t)
	for _, fault := range faults {
		t.Run(strings.ReplaceAll(fault.name, " ", "_"), func(t *testing.T) {
			if !fault.quick && !*chaos {
				t.Skip("long: make chaos runs it")
			}
			options := good
			if fault.options != nil {
				options = *fault.options
			}
			f := newFleet(t, capture, fault.goods, fault.bads, options)
			fault.strike(f)
			f.settle()
		})
	}
}

// smallCapture is a video that goes through in seconds.
func smallCapture(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	if code, _, stderr := splatworks(t, "sample", "-o", dir, "--frames", "60", "--width", "320", "--height", "180"); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	body, err := os.ReadFile(filepath.Join(dir, "sample.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// checkpoint waits until the training has saved its state, since the last call or for the first time.
func (f *fleet) checkpoint() {
	before := f.checkpoints()
	f.until(func() bool { return f.checkpoints() > before || f.ended() })
}

// checkpoints counts the saved states and their renewals by generation.
func (f *fleet) checkpoints() (n int) {
	for _, name := range f.b.objects(f.b.storageURL(), "artifacts", "") {
		if strings.Contains(name, "checkpoint") {
			n++
		}
	}
	return n
}

func (f *fleet) remove(folder string) {
	if err := os.RemoveAll(filepath.Join(f.dir, folder)); err != nil {
		f.t.Fatal(err)
	}
}

// files counts the files below a folder.
func files(folder string) (n int) {
	_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}
