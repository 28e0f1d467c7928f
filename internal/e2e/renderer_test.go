package e2e

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/image/webp"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// softwareVulkan is the description of Chromium's own Vulkan driver, which runs on the processor.
const softwareVulkan = "/usr/lib/chromium/vk_swiftshader_icd.json"

// What this project draws is what PlayCanvas's renderer, written by others for a GPU, draws of the same file: shapes,
// order, SH colours, opacities, and the conventions of the file itself. What remains is that the other one cuts every
// Gaussian at three standard deviations and lowers it by a hundredth so that it ends there at zero. It draws every file in
// the classic mode.
func TestRendererAgreesWithAnIndependentOne(t *testing.T) {
	if testing.Short() {
		t.Skip("draws on a software GPU")
	}
	program, err := toolchain.Private("splat-transform/node_modules/.bin/splat-transform")
	if err != nil {
		t.Skipf("no independent renderer: %v; infra/toolchain/install.sh splat_transform", err)
	}
	if _, err := os.Stat(softwareVulkan); errors.Is(err, fs.ErrNotExist) {
		t.Skip("no GPU driver for the independent renderer: infra/toolchain/install.sh chromium")
	}
	const width, height, fov = 320, 240, 60
	cloud := assorted()
	ply := filepath.Join(t.TempDir(), "cloud.ply")
	f, err := os.Create(ply)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cloud.WritePLY(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, eye := range [][3]float64{{0, 0, -3}, {2, -0.7, 1.9}} {
		cam := lookingAtOrigin(eye, width, height, fov)
		got := trainer.NewPainter(cloud, &trainer.Config{Threads: 2}).Paint(&cam)
		// The other program turns a file of 3D Gaussian splatting by half a turn about z, to have y up.
		want := drawnBy(t, program, ply, fmt.Sprintf("%g,%g,%g", -eye[0], -eye[1], eye[2]), fmt.Sprintf("%dx%d", width, height), fov)
		psnr := psnrOf(t, got, want)
		t.Logf("from %v: %.2f dB", eye, psnr)
		if !(psnr > 40) {
			t.Errorf("from %v the renderers agree to %.2f dB, want more than 40", eye, psnr)
		}
	}
}

// assorted is a cloud of large and of sub-pixel, round and needle-like, faint and nearly opaque Gaussians, coloured by SH
// of degree 3.
func assorted() *splat.Cloud {
	rng := rand.New(rand.NewPCG(3, 14))
	const n = 2000
	c := splat.New(n, 3, splat.Classic)
	for i := range n {
		size := math.Log(0.02) + 0.8*rng.NormFloat64()
		for k := range 3 {
			c.Means[3*i+k] = float32(0.5 * rng.NormFloat64())
			c.LogScales[3*i+k] = float32(size + 0.6*rng.NormFloat64())
			c.DC[3*i+k] = float32(rng.NormFloat64())
		}
		for k := range 4 {
			c.Quats[4*i+k] = float32(rng.NormFloat64())
		}
		c.Opacities[i] = float32(2.5 * rng.NormFloat64())
	}
	for i := range c.Rest {
		c.Rest[i] = float32(0.15 * rng.NormFloat64())
	}
	return c
}

// lookingAtOrigin is a camera at eye with y up on the image, and a vertical field of view in degrees.
func lookingAtOrigin(eye [3]float64, width, height int, fovDegrees float64) raster.Camera {
	f := float64(height) / 2 / math.Tan(fovDegrees*math.Pi/360)
	cam := raster.Camera{Fx: f, Fy: f, Cx: float64(width) / 2, Cy: float64(height) / 2, Width: width, Height: height, Near: 0.2}
	forward := unit([3]float64{-eye[0], -eye[1], -eye[2]})
	right := unit(cross(forward, [3]float64{0, -1, 0}))
	cam.R = [3][3]float64{right, cross(forward, right), forward}
	for k, row := range cam.R {
		cam.T[k] = -(row[0]*eye[0] + row[1]*eye[1] + row[2]*eye[2])
	}
	return cam
}

func unit(v [3]float64) [3]float64 {
	n := math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2])
	return [3]float64{v[0] / n, v[1] / n, v[2] / n}
}

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// drawnBy has the independent renderer draw the file through a camera that looks at the origin.
func drawnBy(t *testing.T, program, ply, camera, resolution string, fov int) image.Image {
	t.Helper()
	picture := filepath.Join(t.TempDir(), "view.webp")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-w", "-g", "0", ply, picture,
		"--camera="+camera, "--look-at=0,0,0", "--up=0,1,0", fmt.Sprintf("--fov=%d", fov), "--resolution="+resolution)
	cmd.Env = append(os.Environ(), "VK_DRIVER_FILES="+softwareVulkan, "VK_ICD_FILENAMES="+softwareVulkan)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("splat-transform: %v\n%s", err, out)
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := webp.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func psnrOf(t *testing.T, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("pictures of %v and %v", a.Bounds(), b.Bounds())
	}
	squares, n, bright := 0.0, 0, 0.0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			ar, ag, ab, _ := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			br, bg, bb, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, pair := range [][2]uint32{{ar, br}, {ag, bg}, {ab, bb}} {
				d := (float64(pair[0]) - float64(pair[1])) / 0xffff
				squares += d * d
				bright += float64(pair[0]) / 0xffff
				n++
			}
		}
	}
	if !(bright/float64(n) > 0.05) {
		t.Fatalf("the pictures are nearly black: %.3f on average", bright/float64(n))
	}
	return -10 * math.Log10(squares/float64(n))
}
