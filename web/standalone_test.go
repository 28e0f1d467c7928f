package web_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/web"
	"github.com/splatworks/splatworks/web/chromium"
)

// twoBalls are a red Gaussian at the origin and a green one on its right, and many behind the camera, so that the page holds the file in
// more than one piece.
func twoBalls() *splat.Cloud {
	const behind = 30_000
	c := splat.New(2+behind, 0, splat.Classic)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2 + behind {
		c.Means[3*i] = 0.4 * float32(i)
		if i >= 2 {
			c.Means[3*i], c.Means[3*i+1], c.Means[3*i+2] = rng.Float32(), rng.Float32(), -3-rng.Float32()
		}
		for k := range 3 {
			c.LogScales[3*i+k] = float32(math.Log(0.1))
			c.DC[3*i+k] = -1.7
		}
		c.DC[3*i+i%2] = 1.7
		c.Quats[4*i] = 1
		c.Opacities[i] = 6
	}
	return c
}

// TestStandaloneOpensFromADisk: without a server, and with no word to anybody.
func TestStandaloneOpensFromADisk(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	format, err := splat.FormatNamed("sog")
	if err != nil {
		t.Fatal(err)
	}
	var file, page bytes.Buffer
	if err := format.Write(&file, twoBalls()); err != nil {
		t.Fatal(err)
	}
	if file.Len() < 3<<15 {
		t.Fatalf("%d bytes of a splat are no two pieces", file.Len())
	}
	view := &artifacts.View{Position: [3]float64{0.2, 0, -1}, Target: [3]float64{0.2, 0, 0}, FOVDeg: 60}
	hostile := `A "place" </title></script><script>window.broken = true</script>`
	if err := (web.Standalone{Title: hostile, Name: "splat.sog", View: view, Unit: "metre"}).Write(&page, &file); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "viewer.html")
	if err := os.WriteFile(path, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tab := chromium.Open(t, "file://"+path, 640, 480, false)
	tab.Until(`document.querySelector('.viewer.loaded') && document.title.startsWith('A "place"')`)
	var at [2]float64
	for range 100 { // the first picture comes some frames after the file
		shown, err := png.Decode(bytes.NewReader(tab.Screenshot(false)))
		if err != nil {
			t.Fatal(err)
		}
		if at = middles(shown); !math.IsNaN(at[0] + at[1]) {
			break
		}
	}
	// A ball 0.2 to the side of a view of 60 degrees over 640 pixels: 0.2 * 554 pixels off the middle.
	if !(math.Abs(at[0]-(320-111)) < 12 && math.Abs(at[1]-(320+111)) < 12) {
		t.Errorf("red and green are at %.0f, want 209 and 431", at)
	}
	tab.Look("viewer.html", nil, "")
	var broken bool
	if tab.Eval(`!!window.broken`, &broken); broken {
		t.Error("a title became a script")
	}
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}
}

// middles are the mean columns of what is red, and of what is green; NaN where nothing is.
func middles(img image.Image) (at [2]float64) {
	b := img.Bounds()
	var n [2]float64
	for x := b.Min.X; x < b.Max.X; x++ {
		for y := b.Min.Y; y < b.Max.Y; y++ {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			for k, is := range []bool{c.R > 100 && c.G < 60, c.G > 100 && c.R < 60} {
				if is {
					at[k] += float64(x)
					n[k]++
				}
			}
		}
	}
	return [2]float64{at[0] / n[0], at[1] / n[1]}
}
