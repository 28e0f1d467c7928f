package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/splat"
)

// called runs a command line and returns its exit code and what it printed.
func called(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), console{out: &out, err: &errs, args: args})
	return code, out.String(), errs.String()
}

// line is a splat of n Gaussians along x, at 0, 1, 2, ...
func line(t *testing.T, n int) (path string) {
	t.Helper()
	c := splat.New(n, 1, splat.Mip)
	for i := range n {
		c.Means[3*i], c.Quats[4*i] = float32(i), 1
	}
	path = filepath.Join(t.TempDir(), "line.ply")
	var b bytes.Buffer
	if err := c.WritePLY(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConvertThroughEveryFormat(t *testing.T) {
	in := line(t, 10)
	for _, f := range splat.Formats() {
		out := filepath.Join(t.TempDir(), "converted"+f.Suffix)
		if code, _, stderr := called(t, "convert", in, in, out); code != exitOK {
			t.Errorf("%s: exit %d: %s", f.Name, code, stderr)
			continue
		}
		code, stdout, stderr := called(t, "info", "--json", out)
		var said struct {
			Format    string
			Gaussians int
		}
		if err := json.Unmarshal([]byte(stdout), &said); code != exitOK || err != nil || said.Format != f.Name || said.Gaussians != 20 {
			t.Errorf("%s: exit %d, %s %s %v", f.Name, code, stdout, stderr, err)
		}
	}
}

func TestConvertToAPage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a room.HTML")
	if code, stdout, stderr := called(t, "convert", line(t, 5), out); code != exitOK || !strings.Contains(stdout, "5 Gaussians") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	page, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(page), `data-title="a room" data-name="splat.sog" data-view="null" data-unit=""`) {
		t.Errorf("%v, %.300s", err, page)
	}
}

func TestConvertToFolders(t *testing.T) {
	in := line(t, 50)
	for _, f := range splat.Folders() {
		out := filepath.Join(t.TempDir(), "made", f.File)
		if code, _, stderr := called(t, "convert", "--levels", "2", in, out); code != exitOK {
			t.Errorf("%s: exit %d: %s", f.Name, code, stderr)
			continue
		}
		back := filepath.Join(t.TempDir(), "back.ply")
		if code, _, stderr := called(t, "convert", out, back); code != exitOK {
			t.Errorf("%s: exit %d: %s", f.Name, code, stderr)
			continue
		}
		if c, _, err := splat.ReadFile(back); err != nil || c.Len() != 50 {
			t.Errorf("%s: %v, %+v", f.Name, err, c)
		}
	}
}

func TestConvertCropsAndMoves(t *testing.T) {
	out := filepath.Join(t.TempDir(), "moved.ply")
	code, _, stderr := called(t, "convert", "--crop=2,-1,-1,5,1,1", "--rotate", "0,0,1,90", "--scale", "2", "--translate", "0,0,7", "--degree", "0", line(t, 10), out)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	c, _, err := splat.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if c.Len() != 4 || c.Degree != 0 {
		t.Fatalf("%d Gaussians of degree %d", c.Len(), c.Degree)
	}
	for i := range 4 {
		x, y, z := c.Means[3*i], c.Means[3*i+1], c.Means[3*i+2]
		if !(x*x < 1e-8 && y > float32(2*(i+2))-1e-4 && y < float32(2*(i+2))+1e-4 && z == 7) {
			t.Errorf("Gaussian %d is at %g %g %g", i, x, y, z)
		}
	}
}

func TestConvertToACount(t *testing.T) {
	out := filepath.Join(t.TempDir(), "fewer.ply")
	if code, _, stderr := called(t, "convert", "--count", "7", line(t, 50), out); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if c, _, err := splat.ReadFile(out); err != nil || c.Len() != 7 {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestConvertPlacesTiles(t *testing.T) {
	dir := t.TempDir()
	report, out := filepath.Join(dir, "report.json"), filepath.Join(dir, "tiles", "tileset.json")
	if err := os.WriteFile(report, []byte(`{"sfm": {"world": {"place": {"earth_fixed": [0,1,0,0, -1,0,0,0, 0,0,1,0, 6378137,0,0,1]}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := called(t, "convert", "--place", report, line(t, 10), out); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	text, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(text), `"transform":[0,1,0,0,0,0,1,0,1,0,0,0,6378137,0,0,1]`) {
		t.Errorf("%v: %s", err, text)
	}
	nowhere := filepath.Join(dir, "nowhere.json")
	if err := os.WriteFile(nowhere, []byte(`{"sfm": {"world": {"unit": "metre"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"is for a tileset.json": {"convert", "--place", report, line(t, 3), filepath.Join(dir, "a.ply")},
		"without --up":          {"convert", "--place", report, "--scale", "2", line(t, 3), out},
		"photos with GPS":       {"convert", "--place", nowhere, line(t, 3), out},
	} {
		if code, _, stderr := called(t, args...); code != exitBadUsage || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
}

func TestConvertSaysWhatIsWrong(t *testing.T) {
	in := line(t, 3)
	out := filepath.Join(t.TempDir(), "out.ply")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"convert", in}, exitBadUsage, "at least one splat"},
		{[]string{"convert", in, "out.obj"}, exitBadUsage, ".spz"},
		{[]string{"convert", "--crop=50,0,0,60,1,1", in, out}, exitBadUsage, "splatworks info"},
		{[]string{"convert", "--crop=1,2", in, out}, exitBadUsage, "6 numbers"},
		{[]string{"convert", "--scale=0", in, out}, exitBadUsage, "positive"},
		{[]string{"convert", "--rotate=0,0,0,90", in, out}, exitBadUsage, "no direction"},
		{[]string{"convert", "--degree=4", in, out}, exitBadUsage, "0 to 3"},
		{[]string{"convert", "--up=0,0,0", in, out}, exitBadUsage, "no direction"},
		{[]string{"convert", "--levels=99", in, out}, exitBadUsage, "--levels"},
		{[]string{"convert", "--count=-1", in, out}, exitBadUsage, "--count"},
		{[]string{"info", "convert_test.go"}, exitFailed, "says no format"},
	} {
		code, _, stderr := called(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit %d, %s", c.args, code, stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v left a file", c.args)
		}
	}
}

// What eval and render look at is read like what convert reads: in every format, and what was changed in it is said.
func TestLookAtReadsEveryFormat(t *testing.T) {
	in := line(t, 10)
	for _, f := range splat.Formats() {
		path := filepath.Join(t.TempDir(), "splat"+f.Suffix)
		if code, _, stderr := called(t, "convert", in, path); code != exitOK {
			t.Fatalf("%s: exit %d: %s", f.Name, code, stderr)
		}
		for _, command := range [][]string{{"eval", path, t.TempDir()}, {"render", path, t.TempDir(), "-o", filepath.Join(t.TempDir(), "out")},
			{"mesh", path, t.TempDir(), "-o", filepath.Join(t.TempDir(), "out.glb")}} {
			// The scene is empty, which is found out once the splat was read.
			code, _, stderr := called(t, command...)
			if code == exitOK || strings.Contains(stderr, path) || !strings.Contains(stderr, "sparse") {
				t.Errorf("%s of %s: exit %d, %s", command[0], f.Name, code, stderr)
			}
		}
	}
	for _, command := range [][]string{{"eval", "a.ply", "scene", "--device", "cuda"}, {"render", "a.ply", "scene", "-o", "out", "--device", "cuda"}} {
		if code, _, stderr := called(t, command...); code != exitBadUsage || !strings.Contains(stderr, "--device cuda: no graphics card") {
			t.Errorf("%q where there is no card: %d %s", command, code, stderr)
		}
	}
	if code, _, stderr := called(t, "eval", filepath.Join(t.TempDir(), "absent.ply"), t.TempDir()); code != exitBadUsage {
		t.Errorf("a splat that is not there: exit %d, %s", code, stderr)
	}
}

// Every command that reads a splat says what it had to change.
func TestRepairsAreSaid(t *testing.T) {
	in := line(t, 10)
	b, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	start := bytes.Index(b, []byte("end_header\n")) + len("end_header\n")
	copy(b[start:], []byte{0, 0, 0xc0, 0x7f}) // the first Gaussian's x is not a number
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"eval", in, t.TempDir()}, {"info", in},
		{"convert", in, filepath.Join(t.TempDir(), "out.spz")}, {"render", in, t.TempDir(), "-o", t.TempDir()},
		{"mesh", in, t.TempDir(), "-o", filepath.Join(t.TempDir(), "out.stl")},
	} {
		if _, _, stderr := called(t, command...); !strings.Contains(stderr, "dropped") {
			t.Errorf("%s says %q", command[0], stderr)
		}
	}
}

// What a mesh cannot be written as is refused before anything is read.
func TestMeshRefusesWhatItCannotWrite(t *testing.T) {
	for _, args := range [][]string{{"-o", "out.ply"}, {"-o", "out.stl", "--collision"}, {"-o", "out.glb", "--faces", "1"}, {"-o", "out.glb", "--texture", "-1"}} {
		if code, _, stderr := called(t, append([]string{"mesh", "absent.ply", "absent"}, args...)...); code != exitBadUsage || strings.Contains(stderr, "no such file") {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
}
