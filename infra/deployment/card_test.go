package deployment

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// neededByDriver is what libcuda.so.1 of the driver versions 535 and 580 is linked with (readelf -d). It comes from the machine, so
// nothing here can look.
var neededByDriver = []string{"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"}

const loader = "ld-linux-x86-64.so.2"

// shipped are the libraries that card.sh puts into the image, as one list with the loader.
func shipped(t *testing.T) []string {
	t.Helper()
	script := text(t, "infra", "docker", "card.sh")
	m, l := regexp.MustCompile(`(?m)^libraries="(.+)"$`).FindStringSubmatch(script), regexp.MustCompile(`(?m)^loader=(\S+)$`).FindStringSubmatch(script)
	if m == nil || l == nil || l[1] != loader {
		t.Fatal("card.sh does not say which libraries it takes")
	}
	return append(strings.Fields(m[1]), l[1])
}

// cardProgram builds the smallest program with both drivers: the tests of engines/gpu/cards, tagged as card.sh tags. It is linked
// with what the programs of the image are linked with, which is all that loads libraries in them.
func cardProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a program; not with -short")
	}
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("the image is for linux/amd64")
	}
	if !strings.Contains(text(t, "infra", "docker", "card.sh"), `CGO_ENABLED=0 go build -tags disable_grpc_modules,nodynamic,gpu `) {
		t.Fatal("card.sh builds otherwise than this test")
	}
	program := filepath.Join(t.TempDir(), "cards.test")
	build := exec.Command("go", "test", "-c", "-tags", "disable_grpc_modules,nodynamic,gpu", "-o", program, "../../engines/gpu/cards")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// imported are the libraries that a file is linked with.
func imported(t *testing.T, file string) []string {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	return libraries
}

// TestCardsImageHoldsItsLibraries: what the programs and the driver are linked with, and what those are linked with, is there, and
// nothing else.
func TestCardsImageHoldsItsLibraries(t *testing.T) {
	program, there := cardProgram(t), shipped(t)
	wanted := slices.Concat(imported(t, program), neededByDriver, []string{loader})
	for i := 0; i < len(wanted); i++ {
		for _, more := range imported(t, library(wanted[i])) {
			if !slices.Contains(wanted, more) {
				wanted = append(wanted, more)
			}
		}
	}
	slices.Sort(wanted)
	slices.Sort(there)
	if wanted = slices.Compact(wanted); !slices.Equal(wanted, there) {
		t.Errorf("needed are %q,\nthe image has %q", wanted, there)
	}
}

// library is where one is on this machine, which has the folders of the image's Debian.
func library(name string) string {
	if name == loader {
		return filepath.Join("/lib64", name)
	}
	return filepath.Join("/lib/x86_64-linux-gnu", name)
}

// TestCardsProgramStartsInItsImage runs the program in a root that holds it and the image's libraries: it lists no card there and says
// why. Without one of those that it is linked with it does not start.
func TestCardsProgramStartsInItsImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder")
	}
	program := cardProgram(t)
	start := func(without string) (string, error) {
		root := t.TempDir()
		copied := map[string]string{program: "/program"}
		for _, name := range shipped(t) {
			if name != without {
				copied[library(name)] = library(name)
			}
		}
		for from, to := range copied {
			content, err := os.ReadFile(from)
			if err := errors.Join(err, os.MkdirAll(filepath.Join(root, filepath.Dir(to)), 0o755), os.WriteFile(filepath.Join(root, to), content, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		command := exec.Command("/program", "-test.v", "-test.run", "ListAndOpen")
		command.Dir, command.Env = "/", []string{"LD_LIBRARY_PATH=/usr/local/nvidia/lib64"}
		command.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := start(""); errors.Is(err, syscall.EPERM) {
		t.Skip("the root folder may not be changed here")
	} else if err != nil || !strings.Contains(out, "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range append(imported(t, program), loader) {
		if out, err := start(name); err == nil {
			t.Errorf("it starts without %s: %s", name, out)
		}
	}
}

// TestOnlyTheCardsImageLoadsLibraries: without the tag gpu nothing that loads libraries is in the programs, so they are static.
func TestOnlyTheCardsImageLoadsLibraries(t *testing.T) {
	for tags, want := range map[string]bool{"disable_grpc_modules,nodynamic": false, "disable_grpc_modules,nodynamic,gpu": true} {
		list := exec.Command("go", "list", "-tags", tags, "-deps", "./cmd/functions", "./cmd/operators", "./services/filter/cmd", "./services/preprocess/cmd", "./services/train/cmd", "./services/export/cmd")
		list.Dir, list.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "github.com/ebitengine/purego"); got != want {
			t.Errorf("tags %s: loads libraries: %t", tags, got)
		}
	}
	if !strings.Contains(text(t, "infra", "docker", "static.Dockerfile"), "go build -tags disable_grpc_modules,nodynamic -trimpath") {
		t.Error("the static image is built with other tags")
	}
}

// TestTheCardsImageIsBuiltOnRequest, from the programs' own sources.
func TestTheCardsImageIsBuiltOnRequest(t *testing.T) {
	o, out := images(t, "cpu", nil, nil, "train-cuda")
	o.ended(t, 0)
	if len(o.called("buildx build", "train-cuda.Dockerfile", "GO_IMAGE=golang@sha256:abc")) != 1 {
		t.Errorf("built %q", o.Calls)
	}
	if note, err := os.ReadFile(filepath.Join(out, "train-cuda")); err != nil || string(note) != "h/p/splatworks/train-cuda@sha256:55\n" {
		t.Errorf("noted %q, %v", note, err)
	}
	build := text(t, "cloudbuild.yaml")
	if !strings.Contains(build, "[ \"$(cat \"$OUT/training\")\" = cuda ] || exit 0\n      exec infra/docker/build.sh train-cuda\n") || !strings.Contains(build, ` training >"$OUT/training"`) {
		t.Error("cloudbuild.yaml does not build train-cuda when the settings have train_gpu")
	}
	dockerfile := text(t, "infra", "docker", "train-cuda.Dockerfile")
	for _, want := range []string{"sh infra/docker/card.sh /out\n", "COPY --from=build /out/lib64 /lib64\n", "COPY --from=build /out/lib /lib\n", "LD_LIBRARY_PATH=/usr/local/nvidia/lib64\n"} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("train-cuda.Dockerfile does not say %q", want)
		}
	}
}

// TestProgramsAreNotIgnored: what a Dockerfile's list leaves out of the build holds nothing that the programs are made of.
func TestProgramsAreNotIgnored(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-tags", "disable_grpc_modules,nodynamic,gpu", "-f", `{{if not .Standard}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}
{{end}}{{range .SFiles}}{{$dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}`, "./cmd/...", "./services/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, file := range strings.Fields(string(out)) {
		if own, is := strings.CutPrefix(file, root+"/"); is {
			files = append(files, own)
		}
	}
	if len(files) < 500 || !slices.Contains(files, "web/dist/index.html") {
		t.Fatalf("only %d files", len(files))
	}
	lists, err := filepath.Glob(filepath.Join("..", "docker", "*.dockerignore"))
	if err != nil || len(lists) < 3 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	for _, name := range lists {
		for line := range strings.Lines(text(t, "infra", "docker", filepath.Base(name))) {
			pattern := strings.TrimSpace(line)
			if pattern == "" || pattern[0] == '#' {
				continue
			}
			for _, file := range files {
				if ignored(pattern, file) {
					t.Errorf("%s leaves out %s, which the programs need", filepath.Base(name), file)
					break
				}
			}
		}
	}
}

// ignored says whether a line of such a list leaves a file out: by its name or by that of a folder above it.
func ignored(pattern, file string) bool {
	anywhere, deep := strings.CutPrefix(pattern, "**/")
	for path := file; path != "."; path = filepath.Dir(path) {
		compared := path
		if deep {
			compared = filepath.Base(path)
		}
		if match, err := filepath.Match(anywhere, compared); err != nil || match {
			return true
		}
	}
	return false
}
