// Package toolchain finds the native programs that Splatworks drives and says how to get what is missing. install.sh
// beside it installs them on Debian and Ubuntu.
package toolchain

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/tool"
)

// Tool is a native program.
type Tool struct {
	Name      string
	NeededFor string
	variable  string // of the environment, names another path
	private   string // below the folder of private roots; empty: the system's package has it
	version   []string
	library   string // the file name of a shared library; empty: it is a program
	Optional  bool   // everything works without it, though less well
	debian    string // how to get it
	macOS     string
}

// Tools are all there are.
var Tools = []Tool{
	{Name: "ffmpeg", NeededFor: "reading videos", variable: "SPLATWORKS_FFMPEG", version: []string{"-version"},
		debian: "infra/toolchain/install.sh ffmpeg, or apt-get install ffmpeg", macOS: "brew install ffmpeg"},
	{Name: "ffprobe", NeededFor: "reading videos", variable: "SPLATWORKS_FFPROBE", version: []string{"-version"},
		debian: "infra/toolchain/install.sh ffmpeg, or apt-get install ffmpeg", macOS: "brew install ffmpeg"},
	{Name: "redis-server", NeededFor: "'splatworks up'", variable: "SPLATWORKS_REDIS_SERVER", version: []string{"--version"}, Optional: true,
		debian: "infra/toolchain/install.sh redis, or apt-get install redis-server", macOS: "brew install redis"},
	{Name: "colmap", NeededFor: "camera poses (4.x, with global_mapper)", variable: "SPLATWORKS_COLMAP", private: "colmap/bin/colmap",
		debian: "infra/toolchain/install.sh colmap", macOS: "brew install colmap"},
	{Name: "onnxruntime", NeededFor: "depth maps (1.24 or later)", variable: "SPLATWORKS_ONNXRUNTIME", private: "onnxruntime/lib/libonnxruntime.so",
		library: "libonnxruntime.so", Optional: true, debian: "infra/toolchain/install.sh onnxruntime", macOS: "brew install onnxruntime"},
}

// Locate finds a tool: where SPLATWORKS_NAME says, in the private roots that install.sh made, or in PATH, in this order.
func Locate(name string) (string, error) {
	for _, t := range Tools {
		if t.Name == name {
			return t.locate()
		}
	}
	return "", fmt.Errorf("unknown tool %q", name)
}

func (t Tool) locate() (string, error) {
	if t.library != "" {
		return t.locateLibrary()
	}
	if path := os.Getenv(t.variable); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("%s says %s: %w", t.variable, path, err)
		}
		return path, nil
	}
	if t.private != "" {
		if path, err := Private(t.private); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(t.Name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: %s", t.Name, t.howToInstall())
	}
	return path, nil
}

// HowToInstall says how a tool is installed here.
func HowToInstall(name string) string {
	for _, t := range Tools {
		if t.Name == name {
			return t.howToInstall()
		}
	}
	return ""
}

func (t Tool) howToInstall() string {
	return fmt.Sprintf("on Debian or Ubuntu run %s; on macOS run %s", t.debian, t.macOS)
}

// libraryFolders are where shared libraries are put by hand or by a package manager.
var libraryFolders = []string{"/opt/onnxruntime/lib", "/usr/local/lib", "/opt/homebrew/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"}

func (t Tool) locateLibrary() (string, error) {
	if path := os.Getenv(t.variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s says %s: %w", t.variable, path, err)
		}
		return path, nil
	}
	var candidates []string
	if roots, err := privateRoots(); err == nil {
		candidates = append(candidates, filepath.Join(roots, t.private))
	}
	for _, folder := range libraryFolders {
		path := filepath.Join(folder, t.library)
		candidates = append(candidates, path, strings.TrimSuffix(path, ".so")+".dylib")
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: %s", t.library, t.howToInstall())
}

// Private is a program that install.sh put below the folder of private roots.
func Private(program string) (string, error) {
	roots, err := privateRoots()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(roots, program))
}

// privateRoots is where install.sh puts what the system has no package for.
func privateRoots() (string, error) {
	if dir := os.Getenv("SPLATWORKS_TOOLS"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "splatworks"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w: set HOME, XDG_CACHE_HOME or SPLATWORKS_TOOLS", err)
	}
	return filepath.Join(home, ".cache", "splatworks"), nil
}

// ModelsFolder is where the weights of depth models lie on this machine: where SPLATWORKS_MODELS says, or beside the
// private roots.
func ModelsFolder() (string, error) {
	if dir := os.Getenv("SPLATWORKS_MODELS"); dir != "" {
		return dir, nil
	}
	roots, err := privateRoots()
	if err != nil {
		return "", fmt.Errorf("find the folder of models: %w, or SPLATWORKS_MODELS", err)
	}
	return filepath.Join(roots, "models"), nil
}

// Report is the state of one tool.
type Report struct {
	Name      string `json:"name"`
	OK        bool   `json:"ok"`
	Optional  bool   `json:"optional,omitempty"`
	Path      string `json:"path,omitempty"`
	Version   string `json:"version,omitempty"`
	NeededFor string `json:"needed_for"`
	Problem   string `json:"problem,omitempty"`
	Debian    string `json:"debian,omitempty"` // how to get it, when it is not OK
	MacOS     string `json:"macos,omitempty"`
}

// checkTimeout bounds how long a program may take to say its version.
const checkTimeout = 20 * time.Second

// Check runs every tool to see that it works.
func Check(ctx context.Context) []Report {
	reports := make([]Report, len(Tools))
	for i, t := range Tools {
		r := Report{Name: t.Name, NeededFor: t.NeededFor, Optional: t.Optional}
		path, err := t.locate()
		if err == nil {
			r.Path = path
			r.Version, err = t.ask(ctx, path)
		}
		if err != nil {
			r.Problem, r.Debian, r.MacOS = err.Error(), t.debian, t.macOS
		}
		r.OK = err == nil
		reports[i] = r
	}
	return reports
}

// ask has the program say its version.
func (t Tool) ask(ctx context.Context, path string) (string, error) {
	if t.library != "" {
		return depth.RuntimeVersion(path)
	}
	if t.Name == "colmap" {
		return (&colmap.Colmap{Path: path, Timeout: checkTimeout}).Version(ctx)
	}
	first := ""
	_, err := tool.Run(ctx, tool.Command{Path: path, Args: t.version, Timeout: checkTimeout, OnStdout: func(line string) {
		if first == "" {
			first = line
		}
	}})
	first, _, _ = strings.Cut(first, " Copyright")
	first, _, _ = strings.Cut(first, " sha=")
	return strings.TrimSpace(first), err
}
