package splat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func randomCloud(n, degree int, mode RenderMode) *Cloud {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(degree)))
	c := New(n, degree, mode)
	for _, group := range [][]float32{c.Means, c.LogScales, c.Quats, c.Opacities, c.DC, c.Rest} {
		for i := range group {
			group[i] = float32(rng.NormFloat64())
		}
	}
	return c
}

func encode(t testing.TB, c *Cloud) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.WritePLY(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func equal(a, b *Cloud) bool {
	same := func(x, y []float32) bool {
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				return false
			}
		}
		return true
	}
	return a.Degree == b.Degree && a.Mode == b.Mode && same(a.Means, b.Means) && same(a.LogScales, b.LogScales) &&
		same(a.Quats, b.Quats) && same(a.Opacities, b.Opacities) && same(a.DC, b.DC) && same(a.Rest, b.Rest)
}

func TestPLYRoundTripIsExact(t *testing.T) {
	for degree := range MaxDegree + 1 {
		for _, mode := range []RenderMode{Classic, Mip} {
			for _, n := range []int{0, 1, 100} {
				want := randomCloud(n, degree, mode)
				b := encode(t, want)
				header := bytes.Index(b, []byte("end_header\n")) + len("end_header\n")
				if got := int64(len(b) - header); got != want.PLYBytes() {
					t.Errorf("degree %d: %d record bytes, PLYBytes says %d", degree, got, want.PLYBytes())
				}
				got, err := ReadPLY(iotest.HalfReader(bytes.NewReader(b)))
				if err != nil {
					t.Fatalf("degree %d: %v", degree, err)
				}
				if !equal(got, want) {
					t.Errorf("degree %d, mode %v, n %d: the cloud changed in the round trip", degree, mode, n)
				}
			}
		}
	}
}

// The transpose of f_rest is the most common fault of PLY writers, and a round trip cannot see it.
func TestPLYRestIsChannelMajor(t *testing.T) {
	c := New(1, 1, Classic)
	c.Quats[0] = 1
	for i := range c.Rest {
		c.Rest[i] = float32(i) // coefficient-major: r1 g1 b1 r2 g2 b2 r3 g3 b3
	}
	b := encode(t, c)
	at := bytes.Index(b, []byte("end_header\n")) + len("end_header\n") + 4*9
	for i, want := range []float32{0, 3, 6, 1, 4, 7, 2, 5, 8} {
		p := at + 4*i
		got := math.Float32frombits(uint32(b[p]) | uint32(b[p+1])<<8 | uint32(b[p+2])<<16 | uint32(b[p+3])<<24)
		if got != want {
			t.Errorf("f_rest_%d = %v, want %v", i, got, want)
		}
	}
}

func TestReadPLYGoesByName(t *testing.T) {
	want := randomCloud(3, 0, Mip)
	header := "ply\r\nformat binary_little_endian 1.0\ncomment made elsewhere\ncomment SplatRenderMode: mip\nelement vertex 3\n"
	for _, name := range []string{"rot_0", "rot_1", "rot_2", "rot_3", "opacity"} {
		header += "property float " + name + "\n"
	}
	header += "property uchar flag\nproperty double time\n"
	for _, name := range []string{"scale_0", "scale_1", "scale_2", "f_dc_0", "f_dc_1", "f_dc_2", "x", "y", "z"} {
		header += "property float " + name + "\n"
	}
	b := []byte(header + "end_header\n")
	for i := range 3 {
		put := func(vs ...float32) {
			for _, v := range vs {
				u := math.Float32bits(v)
				b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
			}
		}
		put(want.Quats[4*i : 4*i+4]...)
		put(want.Opacities[i])
		b = append(b, 7, 0, 0, 0, 0, 0, 0, 0, 0)
		put(want.LogScales[3*i : 3*i+3]...)
		put(want.DC[3*i : 3*i+3]...)
		put(want.Means[3*i : 3*i+3]...)
	}
	got, err := ReadPLY(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if !equal(got, want) {
		t.Error("the cloud changed when its properties were reordered")
	}
}

func TestReadPLYRefuses(t *testing.T) {
	good := string(encode(t, randomCloud(2, 1, Classic)))
	for name, test := range map[string]struct{ file, want string }{
		"empty":             {"", "ends early"},
		"other file":        {"PK\x03\x04\n", "first line"},
		"binary in ascii":   {strings.Replace(good, "binary_little_endian", "ascii", 1), "values of"},
		"other format":      {strings.Replace(good, "binary_little_endian", "binary_middle_endian", 1), "binary_little_endian"},
		"one byte short":    {good[:len(good)-1], "record 1 of 2"},
		"missing property":  {strings.Replace(good, "property float opacity\n", "property float opaque\n", 1), "opacity is missing"},
		"integer opacity":   {strings.Replace(good, "property float opacity\n", "property int opacity\n", 1), "expected float"},
		"lists before":      {strings.Replace(good, "element vertex", "element face 1\nproperty list uchar int vertex_indices\nelement vertex", 1), "face"},
		"ends before":       {strings.Replace(good, "element vertex", "element camera 999999\nproperty double fov\nelement vertex", 1), "element camera"},
		"twice":             {strings.Replace(good, "property float opacity\n", "property float x\n", 1), "twice"},
		"odd rest":          {strings.Replace(good, "property float f_rest_8\n", "property float other\n", 1), "f_rest"},
		"compressed":        {strings.Replace(good, "element vertex", "element chunk", 1), "element"},
		"negative count":    {strings.Replace(good, "vertex 2", "vertex -2", 1), "vertex count"},
		"huge count":        {strings.Replace(good, "vertex 2", "vertex 99999999999", 1), "vertex count"},
		"promises too much": {strings.Replace(good, "vertex 2", "vertex 200000000", 1), "ends in record"},
		"nothing finite":    {nothingFinite(t), "none of its 2"},
		"unknown mode":      {strings.Replace(good, "Mode: default", "Mode: 2dgs", 1), "2dgs"},
		"endless line":      {"ply\ncomment " + strings.Repeat("x", 1<<17), "longer"},
		"endless header":    {"ply\n" + strings.Repeat("comment x\n", 5000), "lines"},
	} {
		_, err := ReadPLY(strings.NewReader(test.file))
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want an ErrFormat that mentions %q", name, err, test.want)
		}
	}
	broken := errors.New("disk on fire")
	if _, err := ReadPLY(iotest.ErrReader(broken)); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("a read error came back as %v", err)
	}
}

// plyOf is a file that other tools could have written: WritePLY without its check.
func plyOf(t testing.TB, c *Cloud) []byte {
	t.Helper()
	good := c.Clone()
	for i := range good.Len() {
		copy(good.Quats[4*i:], []float32{1, 0, 0, 0})
	}
	for _, p := range good.parts() {
		for i, v := range *p.data {
			if !(v > -15 && v < 15) {
				(*p.data)[i] = 0
			}
		}
	}
	b := encode(t, good)
	header := bytes.Index(b, []byte("end_header\n")) + len("end_header\n")
	names := plyProperties(c.Degree)
	k := RestCount(c.Degree)
	for i := range c.Len() {
		at := header + 4*len(names)*i
		put := func(column int, values ...float32) {
			for j, v := range values {
				binary.LittleEndian.PutUint32(b[at+4*(column+j):], math.Float32bits(v))
			}
		}
		put(0, c.Means[3*i:3*i+3]...)
		put(6, c.DC[3*i:3*i+3]...)
		put(9+3*k, c.Opacities[i])
		put(10+3*k, c.LogScales[3*i:3*i+3]...)
		put(13+3*k, c.Quats[4*i:4*i+4]...)
	}
	return b
}

func nothingFinite(t testing.TB) string {
	c := randomCloud(2, 0, Classic)
	c.Means[0], c.DC[4] = float32(math.NaN()), float32(math.Inf(1))
	return string(plyOf(t, c))
}

// What other tools write where we would not: what can be meant is drawn, the rest is dropped and counted.
func TestReadPLYMendsWhatOtherToolsWrite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, test := range map[string]struct {
		spoil func(*Cloud)
		want  Repairs
		check func(*Cloud) bool
	}{
		"opaque":          {func(c *Cloud) { c.Opacities[1] = inf }, Repairs{Clamped: 1}, func(c *Cloud) bool { return c.Opacities[1] == MaxOpacityLogit }},
		"transparent":     {func(c *Cloud) { c.Opacities[1] = -inf }, Repairs{Clamped: 1}, func(c *Cloud) bool { return c.Opacities[1] == -MaxOpacityLogit }},
		"very opaque":     {func(c *Cloud) { c.Opacities[1] = 40 }, Repairs{Clamped: 1}, func(c *Cloud) bool { return c.Opacities[1] == MaxOpacityLogit }},
		"flat":            {func(c *Cloud) { c.LogScales[5] = -inf }, Repairs{Clamped: 1}, func(c *Cloud) bool { return c.LogScales[5] < -19 }},
		"endless":         {func(c *Cloud) { c.LogScales[5] = inf }, Repairs{Dropped: 1}, nil},
		"NaN place":       {func(c *Cloud) { c.Means[3] = nan }, Repairs{Dropped: 1}, nil},
		"infinite place":  {func(c *Cloud) { c.Means[5] = -inf }, Repairs{Dropped: 1}, nil},
		"NaN colour":      {func(c *Cloud) { c.DC[4] = nan }, Repairs{Dropped: 1}, nil},
		"NaN opacity":     {func(c *Cloud) { c.Opacities[1] = nan }, Repairs{Dropped: 1}, nil},
		"NaN scale":       {func(c *Cloud) { c.LogScales[3] = nan }, Repairs{Dropped: 1}, nil},
		"no direction":    {func(c *Cloud) { copy(c.Quats[4:8], make([]float32, 4)) }, Repairs{Dropped: 1}, nil},
		"long quaternion": {func(c *Cloud) { copy(c.Quats[4:8], []float32{0, 50, 0, 0}) }, Repairs{}, func(c *Cloud) bool { return c.Quats[5] == 50 }},
		"several":         {func(c *Cloud) { c.Means[0], c.Means[6], c.Opacities[1] = nan, inf, inf }, Repairs{Dropped: 2, Clamped: 1}, nil},
	} {
		c := randomCloud(4, 0, Mip)
		test.spoil(c)
		got, err := ReadPLY(bytes.NewReader(plyOf(t, c)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Repairs != test.want || got.Len() != 4-test.want.Dropped || (test.want == Repairs{}) != (got.Repairs.String() == "") {
			t.Errorf("%s: %d Gaussians, %+v %q; want %+v of 4", name, got.Len(), got.Repairs, got.Repairs, test.want)
		}
		if test.check != nil && !test.check(got) {
			t.Errorf("%s: opacities %v, scales %v, quaternions %v", name, got.Opacities, got.LogScales, got.Quats)
		}
		if last := got.Means[3*got.Len()-1]; last != c.Means[11] {
			t.Errorf("%s: the last Gaussian is at %v, want %v", name, last, c.Means[11])
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Other elements, lists behind the Gaussians, doubles and bytes behind the end change nothing.
func TestReadPLYStepsOver(t *testing.T) {
	want := randomCloud(3, 1, Mip)
	good := string(encode(t, want))
	header, body, _ := strings.Cut(good, "end_header\n")
	camera := "element camera 2\nproperty float fov\nproperty uchar kind\n"
	for name, file := range map[string]string{
		"an element behind": header + "element extrinsic 16\nproperty float extrinsic\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n" + body + strings.Repeat("abcd", 17),
		"an element before": strings.Replace(header, "element vertex", camera+"element vertex", 1) + "end_header\n" + "0123401234" + body,
		"bytes behind":      good + "x",
		"lines of DOS":      strings.ReplaceAll(header, "\n", "\r\n") + "end_header\r\n" + body,
	} {
		got, err := ReadPLY(strings.NewReader(file))
		if err != nil || !equal(got, want) || got.Repairs != (Repairs{}) {
			t.Errorf("%s: %v, or the cloud changed", name, err)
		}
	}
}

func TestReadPLYTakesDoubles(t *testing.T) {
	want := randomCloud(2, 0, Classic)
	b := []byte("ply\nformat binary_little_endian 1.0\nelement vertex 2\n")
	names := plyProperties(0)
	for _, name := range names {
		b = append(b, "property double "+name+"\n"...)
	}
	b = append(b, "end_header\n"...)
	for i := range 2 {
		for _, values := range [][]float32{want.Means[3*i : 3*i+3], {0, 0, 0}, want.DC[3*i : 3*i+3], {want.Opacities[i]}, want.LogScales[3*i : 3*i+3], want.Quats[4*i : 4*i+4]} {
			for _, v := range values {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
			}
		}
	}
	if got, err := ReadPLY(bytes.NewReader(b)); err != nil || !equal(got, want) {
		t.Errorf("%v, or the cloud changed", err)
	}
}

func TestWritePLYRefusesWhatItCouldNotRead(t *testing.T) {
	for name, spoil := range map[string]func(*Cloud){
		"NaN mean":        func(c *Cloud) { c.Means[4] = float32(math.NaN()) },
		"infinite rest":   func(c *Cloud) { c.Rest[0] = float32(math.Inf(-1)) },
		"zero quaternion": func(c *Cloud) { copy(c.Quats[4:8], make([]float32, 4)) },
		"huge scale":      func(c *Cloud) { c.LogScales[0] = 21 },
		"huge opacity":    func(c *Cloud) { c.Opacities[1] = -30 },
		"short array":     func(c *Cloud) { c.DC = c.DC[:5] },
		"degree":          func(c *Cloud) { c.Degree = 4 },
		"mode":            func(c *Cloud) { c.Mode = 9 },
	} {
		c := randomCloud(2, 2, Mip)
		spoil(c)
		var b bytes.Buffer
		if err := c.WritePLY(&b); err == nil || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want an error before the first byte", name, err, b.Len())
		}
	}
}

func FuzzReadPLY(f *testing.F) {
	for degree := range MaxDegree + 1 {
		f.Add(encode(f, randomCloud(2, degree, RenderMode(degree%2))))
	}
	f.Add([]byte("ply\nformat binary_little_endian 1.0\nelement vertex 1\nend_header\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ReadPLY(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("an error about the content is not an ErrFormat: %v", err)
			}
			return
		}
		again, err := ReadPLY(bytes.NewReader(encode(t, c)))
		if err != nil || !equal(c, again) {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
	})
}

func BenchmarkWritePLY(b *testing.B) {
	c := randomCloud(10000, 3, Mip)
	b.SetBytes(c.PLYBytes())
	for b.Loop() {
		var w bytes.Buffer
		if err := c.WritePLY(&w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadPLY(b *testing.B) {
	c := randomCloud(10000, 3, Mip)
	file := encode(b, c)
	b.SetBytes(c.PLYBytes())
	for b.Loop() {
		if _, err := ReadPLY(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}
