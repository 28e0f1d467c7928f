package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/web/chromium"
)

var (
	everyViewer  = flag.Bool("viewers", false, "open every format in every viewer")
	viewersSplat = flag.String("viewers-splat", "", "a splat of your own to show, with -viewers")
	viewersKeep  = flag.String("viewers-keep", "", "a folder for the pictures of the viewers")
)

// viewer is a library that shows splats, by its own loaders; its page is viewers/NAME.js.
type viewer struct {
	name, title string // the title as Format.Opens has it
	module      string // folder of the package
}

var viewers = []viewer{
	{"three", "three.js", "three"}, {"spark", "Spark", "@sparkjsdev/spark"},
	{"playcanvas", "PlayCanvas", "playcanvas"}, {"babylon", "Babylon.js", "babylonjs"},
}

// stand is a page with the viewers in a browser, and a folder that it can fetch from.
type stand struct {
	t       *testing.T
	tab     *chromium.Tab
	files   string
	modules string
}

// shown is what a viewer made of a file.
type shown struct {
	Count   int
	Picture string
	Error   string
}

// newStand opens the page, with the packages beside the first of those programs that is installed.
func newStand(t *testing.T, markers ...string) *stand {
	t.Helper()
	s := &stand{t: t, files: t.TempDir()}
	var missing []error
	for _, marker := range markers {
		path, err := toolchain.Private(marker)
		if err == nil {
			s.modules = path[:strings.LastIndex(path, "node_modules/")+len("node_modules")]
			break
		}
		missing = append(missing, err)
	}
	if s.modules == "" {
		t.Skipf("no viewers here: infra/toolchain/install.sh viewers chromium: %v", errors.Join(missing...))
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("viewers")))
	mux.Handle("/modules/", http.StripPrefix("/modules/", http.FileServer(http.Dir(s.modules))))
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(s.files))))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.tab = chromium.Open(t, server.URL+"/page.html", 400, 300, false)
	s.tab.Until("window.ready")
	return s
}

// A view of what is around the origin.
const viewWidth, viewHeight, viewFOV = 320, 240, 60

var viewEye = [3]float64{0.3, -0.7, -3}

// look has a viewer open a file of the folder. Files with y up are looked at from where the others are.
func (s *stand) look(viewer, file string, yUp bool, extra map[string]any) (shown, image.Image) {
	s.t.Helper()
	sign := 1.0
	if yUp {
		sign = -1
	}
	view := map[string]any{
		"width": viewWidth, "height": viewHeight, "fov": viewFOV, "near": 0.2, "far": 100,
		"eye": [3]float64{viewEye[0], sign * viewEye[1], sign * viewEye[2]}, "at": [3]float64{}, "up": [3]float64{0, -sign, 0},
	}
	for k, v := range extra {
		view[k] = v
	}
	raw, err := json.Marshal(view)
	if err != nil {
		s.t.Fatal(err)
	}
	var got shown
	s.tab.Eval(fmt.Sprintf("window.look(%q, %q, %s)", viewer, "/files/"+file, raw), &got)
	if got.Error != "" {
		return got, nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got.Picture, "data:image/png;base64,"))
	if err != nil {
		s.t.Fatalf("%s, %s: %v", viewer, file, err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		s.t.Fatalf("%s, %s: %v", viewer, file, err)
	}
	s.keep(viewer+"-"+strings.ReplaceAll(file, "/", "-"), picture)
	return got, picture
}

// keep writes a picture for people.
func (s *stand) keep(name string, picture image.Image) {
	s.t.Helper()
	if *viewersKeep == "" {
		return
	}
	f, err := os.Create(filepath.Join(*viewersKeep, name+".png"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, picture), f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// showpiece is what the viewers are shown. Its colours are seldom brighter than white: viewers cut them there, and training does not.
func showpiece(t *testing.T) *splat.Cloud {
	t.Helper()
	if *viewersSplat != "" {
		c, _, err := splat.ReadFile(*viewersSplat)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := assorted()
	c = c.Cropped([3]float64{-1.5, -1.5, -1.5}, [3]float64{1.5, 1.5, 1.5}) // not a round number of them
	c.Mode = splat.Mip
	for i := range c.DC {
		c.DC[i] *= 0.6
	}
	for i := range c.Rest {
		c.Rest[i] *= 0.4
	}
	return c
}

// painted is this project's own picture of the view, with the filter that splats are trained for.
func painted(c *splat.Cloud) image.Image {
	cam := lookingAtOrigin(viewEye, viewWidth, viewHeight, viewFOV)
	c.Mode = splat.Mip
	return trainer.NewPainter(c, &trainer.Config{Threads: 2}).Paint(&cam)
}

// counted is how many Gaussians a viewer says it has of n: Babylon.js fills up to a multiple of 16.
func (v viewer) counted(n int) int {
	if v.name == "babylon" {
		return (n + 15) / 16 * 16
	}
	return n
}

// exhibit is the showpiece in one of the formats, with what this project reads from it.
type exhibit struct {
	name, file, opens string
	read              *splat.Cloud
	want              image.Image
}

func (e *exhibit) opensIn(v viewer) bool {
	return e.opens == "everything" || strings.Contains(e.opens, v.title)
}

func (e *exhibit) yUp() bool {
	return strings.HasSuffix(e.file, ".spz") || strings.HasSuffix(e.file, ".glb")
}

// exhibits writes the showpiece in the named formats and folders; in all but 3D Tiles, which none of these viewers opens, without names.
func (s *stand) exhibits(c *splat.Cloud, names ...string) []exhibit {
	s.t.Helper()
	var all []exhibit
	for _, f := range splat.Formats() {
		if len(names) > 0 && !slices.Contains(names, f.Name) {
			continue
		}
		file, err := os.Create(filepath.Join(s.files, "a"+f.Suffix))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := errors.Join(f.Write(file, c), file.Close()); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, exhibit{name: f.Name, file: "a" + f.Suffix, opens: f.Opens})
	}
	for _, f := range splat.Folders() {
		if f.Name == "3d-tiles" || len(names) > 0 && !slices.Contains(names, f.Name) {
			continue
		}
		if err := f.Write(filepath.Join(s.files, f.Name), c, -1); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, exhibit{name: f.Name, file: f.Name + "/" + f.File, opens: f.Opens})
	}
	for i := range all {
		read, _, err := splat.ReadFile(filepath.Join(s.files, all[i].file))
		if err != nil {
			s.t.Fatal(err)
		}
		all[i].read, all[i].want = read, painted(read)
	}
	return all
}
