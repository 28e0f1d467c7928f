package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
)

// withoutRedis leaves the programs of this test the tools of a reconstruction alone.
func withoutRedis(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		path, err := toolchain.Locate(name)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dirname", "readlink"} { // COLMAP is started by a script that uses these
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if colmap, err := toolchain.Locate("colmap"); err == nil {
		t.Setenv("SPLATWORKS_COLMAP", colmap)
	}
	t.Setenv("SPLATWORKS_REDIS_SERVER", "")
	t.Setenv("PATH", dir)
	if path, err := toolchain.Locate("redis-server"); err == nil {
		t.Fatalf("there is a redis-server: %s", path)
	}
}

// TestRunContinuesAfterItIsKilled kills a run in training, with a signal that nothing can handle. The same command continues from
// the checkpoint, and does nothing again that was finished. All of it without a redis-server.
func TestRunContinuesAfterItIsKilled(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	video := filepath.Join(t.TempDir(), "sample.mp4")
	if err := os.WriteFile(video, smallSample(t), 0o600); err != nil {
		t.Fatal(err)
	}
	withoutRedis(t)
	out := t.TempDir()
	args := []string{"run", video, "-o", out, "--preset", "preview", "--train-budget", "12s", "--json"}
	killInTraining(t, exec.Command(path, args...), out)

	code, stdout, stderr := splatworks(t, args...)
	if code != 0 || !strings.Contains(stderr, "continuing the interrupted run") {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	var r artifacts.ReportDocument
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Status != pipeline.Completed || r.Quality == nil || !(r.Quality.PSNRdB > 15) {
		t.Errorf("%v: %+v, quality %+v", err, r.Status, r.Quality)
	}
	for _, s := range r.Stages {
		if at := s.Metrics["resumed_at"]; s.Stage == pipeline.Train && !(at > 0) {
			t.Errorf("training began anew: %v", s.Metrics)
		}
		if !(s.PeakRSSBytes > 0) || !(s.CPUS > 0) {
			t.Errorf("%s has no account: %+v", s.Stage, s)
		}
	}
	logged, err := os.ReadFile(filepath.Join(out, "splatworks.log"))
	if err != nil {
		t.Fatal(err)
	}
	begun := map[string]int{}
	for line := range strings.Lines(string(logged)) {
		var entry struct{ Message, Stage string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "stage begins" {
			begun[entry.Stage]++
		}
	}
	for _, s := range pipeline.Stages() {
		times := 1
		if s == pipeline.Train {
			times = 2
		}
		if begun[string(s)] != times {
			t.Errorf("%s began %d times, not %d", s, begun[string(s)], times)
		}
	}
	if _, err := os.Stat(filepath.Join(out, ".unfinished")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("intermediate results stay: %v", err)
	}
}

// killInTraining starts a run and kills it once training has saved a checkpoint.
func killInTraining(t *testing.T, cmd *exec.Cmd, out string) {
	t.Helper()
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for in := bufio.NewScanner(said); in.Scan(); {
		lines.WriteString(in.Text() + "\n")
		saved, err := filepath.Glob(filepath.Join(out, ".unfinished", "store", "artifacts", "*train.checkpoint@", "object.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(saved) > 0 {
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, said)
			_ = cmd.Wait()
			return
		}
	}
	t.Fatalf("it ended without a checkpoint: %v\n%s", cmd.Wait(), &lines)
}
