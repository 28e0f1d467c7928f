package deployment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The scripts of a deployment are run against stand-ins for gcloud, terraform, docker and curl. A stand-in writes its call
// down, and answers as the first rule says that fits it; without one it succeeds and says nothing.
type rule struct {
	Program string // gcloud, terraform, docker, curl
	Match   string // part of the arguments, joined by spaces
	Times   int    // how often the rule answers before it is used up; 0: always
	Exit    int
	Stdout  string
	Stderr  string
	Creates string // a file in the folder that the program is called in
}

// standIn is the program: it notes the call in $STAND_INS/calls and answers by the rules there, one folder each.
const standIn = `#!/bin/sh
program=${0##*/} call="$*"
printf '%s %s\n' "$program" "$call" | tr '\n' ' ' >>"$STAND_INS/calls"
echo >>"$STAND_INS/calls"
if [ "$program" = gcloud ]; then case $call in *"cp - "*) cat >/dev/null ;; esac; fi
for rule in "$STAND_INS"/rules/*; do
	IFS= read -r of <"$rule/program"
	IFS= read -r match <"$rule/match"
	read -r times <"$rule/times"
	read -r status <"$rule/exit"
	[ "$of" = "$program" ] || continue
	case $call in *"$match"*) ;; *) continue ;; esac
	if [ "$times" -gt 0 ]; then
		[ ! -e "$rule/used-$times" ] || continue
		used=1
		while [ -e "$rule/used-$used" ]; do used=$((used + 1)); done
		: >"$rule/used-$used"
	fi
	if [ -s "$rule/creates" ]; then echo "$program $call" >"$(cat "$rule/creates")"; fi
	cat "$rule/stdout"
	cat "$rule/stderr" >&2
	exit "$status"
done
exit 0
`

// outcome is how a script ended.
type outcome struct {
	Exit   int
	Output string // both streams
	Calls  []string
	Root   string // of the copy of the project that it ran in
}

// run runs a script of the project, given from the project's root, with the stand-ins in place of the real programs.
func run(t *testing.T, rules []rule, environment []string, script string, arguments ...string) outcome {
	t.Helper()
	if testing.Short() {
		t.Skip("starts hundreds of processes; not with -short")
	}
	folder := t.TempDir()
	write := func(content string, mode os.FileMode, path ...string) {
		name := filepath.Join(append([]string{folder}, path...)...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range rules {
		for name, content := range map[string]string{"program": r.Program + "\n", "match": r.Match + "\n", "times": fmt.Sprintln(r.Times), "exit": fmt.Sprintln(r.Exit), "stdout": r.Stdout, "stderr": r.Stderr, "creates": r.Creates} {
			write(content, 0o600, "rules", fmt.Sprintf("%03d", i), name)
		}
	}
	for _, program := range []string{"gcloud", "terraform", "docker", "curl"} {
		write(standIn, 0o700, "bin", program)
	}
	bin := filepath.Join(folder, "bin")
	command := exec.Command("sh", append([]string{script}, arguments...)...)
	if strings.HasSuffix(script, "kept.sh") {
		command = exec.Command("bash", append([]string{script}, arguments...)...)
	}
	command.Dir = project(t)
	command.Env = append(os.Environ(), append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "STAND_INS=" + folder, "PAUSE=0"}, environment...)...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(folder, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	ended := outcome{Exit: command.ProcessState.ExitCode(), Output: output.String(), Root: command.Dir}
	for call := range strings.Lines(string(calls)) {
		ended.Calls = append(ended.Calls, strings.TrimSpace(call))
	}
	return ended
}

// project is a copy of what the scripts need of the project: they write beside themselves.
func project(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"terraform", "infra/docker"} {
		if err := os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("..", "..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	build, err := os.ReadFile(filepath.Join("..", "..", "cloudbuild.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "cloudbuild.yaml"), build, 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// ended fails the test unless the script ended with the status and said what.
func (o outcome) ended(t *testing.T, exit int, said ...string) {
	t.Helper()
	if o.Exit != exit {
		t.Errorf("ended with %d, want %d", o.Exit, exit)
	}
	for _, words := range said {
		if !strings.Contains(o.Output, words) {
			t.Errorf("does not say %q", words)
		}
	}
	if t.Failed() {
		t.Logf("calls:\n%s\noutput:\n%s", strings.Join(o.Calls, "\n"), o.Output)
	}
}

// called are the calls that hold all of the words.
func (o outcome) called(words ...string) []string {
	var found []string
next:
	for _, call := range o.Calls {
		for _, word := range words {
			if !strings.Contains(call, word) {
				continue next
			}
		}
		found = append(found, call)
	}
	return found
}

// inOrder fails the test unless calls that hold these parts follow one another.
func (o outcome) inOrder(t *testing.T, parts ...string) {
	t.Helper()
	at := 0
	for _, part := range parts {
		for at < len(o.Calls) && !strings.Contains(o.Calls[at], part) {
			at++
		}
		if at == len(o.Calls) {
			t.Errorf("no call of %q where it belongs; calls:\n%s", part, strings.Join(o.Calls, "\n"))
			return
		}
		at++
	}
}
