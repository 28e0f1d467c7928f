package toolchain

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script writes a shell script that plays a program.
func script(t *testing.T, file, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// isolate makes an empty private root and an empty PATH, except for the shell, and clears every setting.
func isolate(t *testing.T) (root, bin string) {
	t.Helper()
	root, bin = t.TempDir(), t.TempDir()
	t.Setenv("SPLATWORKS_TOOLS", root)
	for _, tool := range Tools {
		t.Setenv(tool.variable, "")
	}
	t.Setenv("PATH", bin)
	return root, bin
}

func TestLocateOrder(t *testing.T) {
	root, bin := isolate(t)
	if _, err := Locate("colmap"); err == nil || !strings.Contains(err.Error(), "install.sh colmap") {
		t.Errorf("nothing installed: %v", err)
	}
	inPath := script(t, filepath.Join(bin, "colmap"), "true")
	expect := func(want string) {
		t.Helper()
		if got, err := Locate("colmap"); err != nil || got != want {
			t.Errorf("found %q (%v), want %q", got, err, want)
		}
	}
	expect(inPath)
	expect(inPath)
	private := script(t, filepath.Join(root, "colmap", "bin", "colmap"), "true")
	expect(private)
	set := script(t, filepath.Join(t.TempDir(), "mine"), "true")
	t.Setenv("SPLATWORKS_COLMAP", set)
	expect(set)
	t.Setenv("SPLATWORKS_COLMAP", set+"-missing")
	if got, err := Locate("colmap"); err == nil {
		t.Errorf("a setting that names nothing fell through to %q", got)
	}
	if _, err := Locate("blender"); err == nil {
		t.Error("blender is not one of the tools")
	}
}

func TestPrivateRoots(t *testing.T) {
	t.Setenv("SPLATWORKS_TOOLS", "")
	t.Setenv("SPLATWORKS_MODELS", "")
	t.Setenv("XDG_CACHE_HOME", "/x")
	if got, err := ModelsFolder(); err != nil || got != filepath.Join("/x", "splatworks", "models") {
		t.Errorf("models in %q, %v", got, err)
	}
	if got, err := privateRoots(); err != nil || got != filepath.Join("/x", "splatworks") {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "/home/a")
	if got, err := privateRoots(); err != nil || got != "/home/a/.cache/splatworks" {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("HOME", "") // as under systemd or cron: no relative path by accident
	if got, err := ModelsFolder(); err == nil || got != "" || !strings.Contains(err.Error(), "SPLATWORKS_MODELS") {
		t.Errorf("models in %q, %v", got, err)
	}
}

// A library has no place in PATH: it is looked for where libraries are, and need not be executable.
func TestLocateLibrary(t *testing.T) {
	root, _ := isolate(t)
	private := filepath.Join(root, "onnxruntime", "lib", "libonnxruntime.so")
	if err := errors.Join(os.MkdirAll(filepath.Dir(private), 0o755), os.WriteFile(private, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if got, err := Locate("onnxruntime"); err != nil || got != private {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("SPLATWORKS_ONNXRUNTIME", private+".other")
	if got, err := Locate("onnxruntime"); err == nil {
		t.Errorf("a setting that names nothing fell through to %q", got)
	}
	// doctor reports an invalid library and carries on.
	t.Setenv("SPLATWORKS_ONNXRUNTIME", private)
	reports := Check(t.Context())
	if r := reports[len(reports)-1]; r.Name != "onnxruntime" || r.OK || !r.Optional || r.Problem == "" {
		t.Errorf("%+v", r)
	}
}

func TestCheck(t *testing.T) {
	_, bin := isolate(t)
	script(t, filepath.Join(bin, "ffmpeg"), "echo 'ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026'; echo built with gcc")
	script(t, filepath.Join(bin, "redis-server"), "echo broken library >&2; exit 127")
	script(t, filepath.Join(bin, "colmap"), "echo 'COLMAP 4.2.1 (Commit Unknown)'; echo '  global_mapper'")
	reports := make(map[string]Report)
	for _, r := range Check(t.Context()) {
		reports[r.Name] = r
		if r.NeededFor == "" || r.OK == (r.Problem != "") || r.OK == (r.Debian != "") || r.OK == (r.MacOS != "") {
			t.Errorf("inconsistent report %+v", r)
		}
	}
	for name, want := range map[string]string{"ffmpeg": "true ffmpeg version 5.1.9-0+deb12u1 ", "ffprobe": "false  not installed",
		"redis-server": "false  broken library", "colmap": "true 4.2.1 "} {
		r := reports[name]
		got := fmt.Sprintf("%v %s ", r.OK, r.Version)
		if !strings.HasPrefix(want, got) || !strings.Contains(r.Problem, strings.TrimPrefix(want, got)) {
			t.Errorf("%s: %+v, want %q", name, r, want)
		}
	}
	for _, old := range []string{"echo 'COLMAP 3.8 -- Structure-from-Motion'", "echo 'COLMAP 4.0 (Commit Unknown)'; echo '  mapper'"} {
		script(t, filepath.Join(bin, "colmap"), old)
		if r := Check(t.Context())[3]; r.OK || !strings.Contains(r.Problem, "has no global_mapper") {
			t.Errorf("%s: %+v", old, r)
		}
	}
}

// The script must parse, reject what it does not know and explain itself, on any machine and without a network.
func TestInstallScript(t *testing.T) {
	if out, err := exec.Command("sh", "-n", "install.sh").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("sh", "install.sh", "blender").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unknown tool 'blender'") {
		t.Errorf("blender: %v, %s", err, out)
	}
	out, err = exec.Command("sh", "install.sh", "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "SPLATWORKS_DEBIAN_MIRROR") {
		t.Errorf("--help: %v, %s", err, out)
	}
	text, err := os.ReadFile("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range Tools {
		_, target, _ := strings.Cut(tool.debian, "install.sh ")
		if target, _, _ = strings.Cut(target, ","); !strings.Contains(string(text), "install_"+target+"()") {
			t.Errorf("install.sh cannot install %q, which %s needs", target, tool.Name)
		}
	}
	// Mirrors come from the machine's own configuration.
	for _, host := range []string{"debian.org", "ubuntu.com", "http://"} {
		if strings.Contains(string(text), host) {
			t.Errorf("install.sh names %s", host)
		}
	}
}
