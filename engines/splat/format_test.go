package splat

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// scene is a cloud as training leaves it: positions of a room, small scales, most Gaussians nearly opaque.
func scene(n, degree int, mode RenderMode) *Cloud {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	c := New(n, degree, mode)
	for i := range n {
		for axis := range 3 {
			c.Means[3*i+axis] = float32(3 * rng.NormFloat64())
			c.LogScales[3*i+axis] = float32(-4 + rng.NormFloat64())
			c.DC[3*i+axis] = float32(rng.Float64()*2 - 1)
		}
		for j := range 4 {
			c.Quats[4*i+j] = float32(rng.NormFloat64())
		}
		c.Opacities[i] = float32(math.Max(-5, math.Min(5, 2*rng.NormFloat64())))
	}
	for i := range c.Rest {
		c.Rest[i] = float32(0.1 * rng.NormFloat64())
	}
	return c
}

// tolerance is the largest error that a format may make: of a position in units, of a log scale, of an angle in degrees, of an
// opacity, and the root mean square of a coefficient of degree 0 and above.
type tolerance struct{ mean, scale, angle, opacity, dc, rest float64 }

var tolerances = map[string]tolerance{
	"ply":            {},
	"glb":            {scale: 1e-5, angle: 0.05, opacity: 1e-6},
	"compressed-ply": {mean: 0.02, scale: 0.01, angle: 0.2, opacity: 0.002, dc: 0.01, rest: 0.02},
	"spz":            {mean: 1e-5, scale: 0.032, angle: 0.25, opacity: 0.002, dc: 0.012, rest: 0.05},
	"glb-spz":        {mean: 1e-5, scale: 0.032, angle: 0.25, opacity: 0.002, dc: 0.012, rest: 0.05},
	"spz-v3":         {mean: 1e-5, scale: 0.032, angle: 0.25, opacity: 0.002, dc: 0.012, rest: 0.05},
	"sog":            {mean: 2e-3, scale: 0.8, angle: 0.8, opacity: 0.002, dc: 0.01, rest: 0.1},
	"splat":          {scale: 1e-5, angle: 1.2, opacity: 0.002, dc: 0.01},
}

// within compares two clouds whose Gaussians are in the same order.
func within(t *testing.T, what string, got, want *Cloud, tol tolerance) {
	t.Helper()
	if got.Len() != want.Len() || got.Degree != want.Degree {
		t.Fatalf("%s: %d Gaussians of degree %d, want %d of %d", what, got.Len(), got.Degree, want.Len(), want.Degree)
	}
	most := func(a, b []float32, f func(float32) float64) (worst float64) {
		for i := range a {
			worst = math.Max(worst, math.Abs(f(a[i])-f(b[i])))
		}
		return worst
	}
	plain := func(v float32) float64 { return float64(v) }
	rms := func(a, b []float32) float64 {
		sum := 0.0
		for i := range a {
			sum += (float64(a[i]) - float64(b[i])) * (float64(a[i]) - float64(b[i]))
		}
		return math.Sqrt(sum / math.Max(1, float64(len(a))))
	}
	angle := 0.0
	for i := range got.Len() {
		a, b := got.unitQuat(i), want.unitQuat(i)
		dot := math.Abs(a[0]*b[0] + a[1]*b[1] + a[2]*b[2] + a[3]*b[3])
		angle = math.Max(angle, 360/math.Pi*math.Acos(math.Min(1, dot)))
	}
	is := tolerance{most(got.Means, want.Means, plain), most(got.LogScales, want.LogScales, plain), angle,
		most(got.Opacities, want.Opacities, opacity), rms(got.DC, want.DC), rms(got.Rest, want.Rest)}
	t.Logf("%s: %+v", what, is)
	ok := is.mean <= tol.mean && is.scale <= tol.scale && is.angle <= tol.angle+1e-5 && is.opacity <= tol.opacity+1e-7 && is.dc <= tol.dc && is.rest <= tol.rest
	if !ok {
		t.Errorf("%s: errors %+v, at most %+v", what, is, tol)
	}
}

// stored is the cloud in the order in which a format stores it, as far as the format can say it.
func stored(f Format, c *Cloud) *Cloud {
	switch f.Name {
	case "compressed-ply", "sog":
		return c.Picked(c.mortonOrder())
	case "splat":
		plain := c.Clone()
		plain.Degree, plain.Rest, plain.Mode = 0, nil, Classic
		return plain
	}
	return c
}

func written(t testing.TB, f Format, c *Cloud) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b, c); err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	return b.Bytes()
}

func TestFormatsReadWhatTheyWrite(t *testing.T) {
	for _, f := range Formats() {
		for _, degree := range []int{0, 1, 3} {
			c := scene(3000, degree, Mip)
			if f.Name == "splat" { // its order is its own: as it is for one Gaussian
				c = c.Picked([]int{0})
			}
			b := written(t, f, c)
			got, err := f.Read(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Errorf("%s, degree %d: %v", f.Name, degree, err)
				continue
			}
			want := stored(f, c)
			if got.Mode != want.Mode {
				t.Errorf("%s: render mode %v, want %v", f.Name, got.Mode, want.Mode)
			}
			within(t, f.Name, got, want, tolerances[f.Name])
			if found, err := formatFor("a"+f.Suffix, b); err != nil || found.Name != f.Name {
				t.Errorf("a %s is taken for %s: %v", f.Name, found.Name, err)
			}
		}
	}
}

func TestFormatsHoldExtremes(t *testing.T) {
	extreme := New(4, 3, Classic)
	for i := range 4 {
		extreme.Quats[4*i+i] = float32(1 - 2*(i%2))
		extreme.Opacities[i] = []float32{-MaxOpacityLogit, MaxOpacityLogit, 0, 5}[i]
		for axis := range 3 {
			extreme.Means[3*i+axis] = []float32{0, 1e4, -1e4, 1e-4}[i]
			extreme.LogScales[3*i+axis] = []float32{-19, 19, 0, -12}[i]
			extreme.DC[3*i+axis] = []float32{-30, 30, 0, 1}[i]
		}
	}
	for i := range extreme.Rest {
		extreme.Rest[i] = []float32{-9, 9, 0, 0.5}[i%4]
	}
	for _, f := range Formats() {
		for _, c := range []*Cloud{extreme, New(0, 3, Mip), New(0, 0, Classic), scene(1, 2, Mip), scene(257, 0, Classic)} {
			b := written(t, f, c)
			got, err := f.Read(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Errorf("%s of %d Gaussians: %v", f.Name, c.Len(), err)
			} else if got.Len() != c.Len() {
				t.Errorf("%s: %d of %d Gaussians", f.Name, got.Len(), c.Len())
			}
		}
	}
}

// damaged changes a file at random places: bytes, words that are likely lengths, and its end.
func damaged(rng *rand.Rand, whole []byte) []byte {
	b := bytes.Clone(whole)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(b))
		switch rng.IntN(5) {
		case 0:
			b[at] ^= byte(1 << rng.IntN(8))
		case 1:
			b[at] = byte(rng.IntN(256))
		case 2:
			copy(b[at:], []byte{0xff, 0xff, 0xff, 0x7f})
		case 3:
			copy(b[at:], b[rng.IntN(len(b)):])
		case 4:
			b = b[:max(1, at)]
		}
		if rng.IntN(2) == 0 && len(b) > 64 { // headers decide more than bodies
			b[rng.IntN(64)] = byte(rng.IntN(256))
		}
	}
	return b
}

// TestDamagedFilesAreRefused reads many damaged files of each format. Each is read or refused, and costs no more memory than a
// file of its size may.
func TestDamagedFilesAreRefused(t *testing.T) {
	files := 300
	if testing.Short() {
		files = 30
	}
	for _, f := range Formats() {
		rng := rand.New(rand.NewPCG(11, 12))
		whole := written(t, f, scene(300, 1, Mip))
		var refused int
		var before, after runtime.MemStats
		for range files {
			b := damaged(rng, whole)
			runtime.ReadMemStats(&before)
			c, err := f.Read(bytes.NewReader(b), int64(len(b)))
			runtime.ReadMemStats(&after)
			if err != nil {
				refused++
			} else if err := c.Validate(); err != nil {
				t.Fatalf("%s: %v was read", f.Name, err)
			}
			if cost := int64(after.TotalAlloc - before.TotalAlloc); cost > 128<<20 {
				t.Errorf("%s: %d bytes took %d MB", f.Name, len(b), cost>>20)
			}
		}
		t.Logf("%s: %d of %d files refused", f.Name, refused, files)
		if refused == 0 && f.Name != "splat" {
			t.Errorf("%s: no damage was noticed", f.Name)
		}
	}
}

func FuzzReadAnyFormat(f *testing.F) {
	for i, format := range Formats() {
		f.Add(byte(i), written(f, format, scene(20, 1, Mip)))
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		format := formats[int(which)%len(formats)]
		c, err := format.Read(bytes.NewReader(b), int64(len(b)))
		if err == nil && c.Validate() != nil {
			t.Errorf("%s: %v was read", format.Name, c.Validate())
		}
	})
}

func TestDocumentedFormats(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Formats() {
		row := fmt.Sprintf("| %s | `%s` | %s | %s |\n", f.Name, f.Suffix, f.Opens, f.Loses)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/formats.md lacks %s", row)
		}
	}
	for _, f := range Folders() {
		row := fmt.Sprintf("| %s | `%s` | %s | %s |\n", f.Name, f.File, f.Opens, f.Keeps)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/formats.md lacks %s", row)
		}
	}
}

func TestTurningTwiceIsNothing(t *testing.T) {
	c := scene(100, 3, Mip)
	if !equal(c, c.Turned().Turned()) {
		t.Error("two half turns change the cloud")
	}
	if equal(c, c.Turned()) {
		t.Error("half a turn changes nothing")
	}
}

func TestColoursTurnWithTheCloud(t *testing.T) {
	c := scene(50, 3, Mip)
	turned := c.Turned()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range c.Len() {
		d := direction(rng)
		before, after := seen(c, i, d), seen(turned, i, [3]float64{d[0], -d[1], -d[2]})
		if !(math.Abs(before-after) < 1e-5) {
			t.Errorf("Gaussian %d from %v: %g before, %g after", i, d, before, after)
		}
	}
}

// splatTransform is PlayCanvas's converter, where it is installed.
func splatTransform(t testing.TB) string {
	t.Helper()
	converter := os.Getenv("SPLAT_TRANSFORM")
	if converter == "" {
		home, _ := os.UserCacheDir()
		converter = filepath.Join(home, "splatworks/splat-transform/node_modules/.bin/splat-transform")
	}
	if _, err := os.Stat(converter); err != nil {
		t.Skipf("splat-transform is not here: %v", err)
	}
	return converter
}

// TestAnotherProgramReadsOurFiles has PlayCanvas's splat-transform convert each format to PLY.
func TestAnotherProgramReadsOurFiles(t *testing.T) {
	converter := splatTransform(t)
	c := scene(2000, 3, Mip)
	for _, f := range Formats() {
		if f.Name == "glb" || f.Name == "glb-spz" { // it writes one of them, and reads neither
			continue
		}
		dir := t.TempDir()
		path, converted := filepath.Join(dir, "a"+f.Suffix), filepath.Join(dir, "b.ply")
		if err := os.WriteFile(path, written(t, f, c), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(converter, path, converted).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f.Name, err, out)
			continue
		}
		got, _, err := ReadFile(converted)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		want := stored(f, c)
		if f.Name == "splat" {
			continue // its order is by size; that it was read is what there is to compare
		}
		within(t, f.Name, got, want, tolerances[f.Name])
	}
}
