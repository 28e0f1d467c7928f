package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSubmit sends captures by the command line, as a person and as a script would.
func TestSubmit(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server")
	b := start(t, t.TempDir())
	dir := t.TempDir()
	file := func(name string, size int64) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat("this is no video\n", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	one, two := file("one.mp4", 0), file("two.mp4", 0)
	submit := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		return splatworks(t, append([]string{"submit", "--server", b.url}, args...)...)
	}

	for _, bad := range [][]string{{}, {filepath.Join(dir, "none.mp4")}, {one, dir}, {one, "--preset", "best"}} {
		if code, stdout, stderr := submit(bad...); code != 2 || stdout != "" || stderr == "" {
			t.Errorf("%v: exit %d, %q, %q", bad, code, stdout, stderr)
		}
	}
	if code, _, stderr := splatworks(t, "submit", "--server", "http://127.0.0.1:1", one); code != 1 || !strings.Contains(stderr, "splatworks up") {
		t.Errorf("without a backend: exit %d, %q", code, stderr)
	}
	if code, stdout, stderr := submit("gs://sources/none.mp4"); code != 1 || stdout != "" || !strings.Contains(stderr, "invalid_source") || !strings.Contains(stderr, "Check the name") {
		t.Errorf("refused: exit %d, %q, %q", code, stdout, stderr)
	}

	code, stdout, stderr := submit("--json", "--session", "script", one)
	var script accepted
	if err := json.Unmarshal([]byte(stdout), &script); err != nil || code != 0 || script.RequestID == "" || script.CallbackToken == "" {
		t.Fatalf("exit %d, %q (%v), %q", code, stdout, err, stderr)
	}
	b.secrets = append(b.secrets, script.CallbackToken)
	if !strings.Contains(stderr, "upload     100 %") || !strings.Contains(stderr, "done in") {
		t.Errorf("progress: %q", stderr)
	}
	if code, _, stderr := splatworks(t, "watch", "--server", b.url, "--token", script.CallbackToken); code != 1 || !strings.Contains(stderr, "FAILED in filter") {
		t.Errorf("watch: exit %d, %q", code, stderr)
	} else if f := b.status(script).Failure; f == nil || f.Advice == "" || !strings.Contains(stderr, f.Message) || !strings.Contains(stderr, f.Advice) {
		t.Errorf("failure %+v, but %q", f, stderr)
	}

	code, stdout, stderr = submit(one, two)
	if fields := strings.Fields(stdout); code != 0 || len(fields) != 4 || fields[0] != "request" || fields[2] != "token" {
		t.Errorf("several: exit %d, %q, %q", code, stdout, stderr)
	} else {
		b.secrets = append(b.secrets, fields[3])
	}
	b.interrupt(file("long.mp4", 1<<30))
}

// interrupt submits a capture that takes long to send and presses Ctrl-C when the request is made.
func (b *backend) interrupt(capture string) {
	t := b.t
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "submit", "--server", b.url, capture)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	var a accepted
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == "token" {
			a.CallbackToken = strings.TrimSpace(value)
			break
		}
	}
	b.secrets = append(b.secrets, a.CallbackToken)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // its exit status is read below
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "interrupted") || !strings.Contains(stderr.String(), "was called off") {
		t.Errorf("Ctrl-C: exit %d (%v), %q", code, cmd.ProcessState.Sys().(syscall.WaitStatus), stderr.String())
	}
	if d := b.status(a); d.Status != "CANCELED" {
		t.Errorf("after Ctrl-C the request is %s", d.Status)
	}
}
