package mesh

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"strings"
	"testing"
)

// tetrahedron is a closed mesh with a texture of four colours, 2 units long along z. Its first face looks up, to -y.
func tetrahedron() *Textured {
	t := &Textured{Mesh: &Mesh{
		Vertices: []vec{{0, -1, 2}, {1, -1, 0}, {-1, -1, 0}, {0, 0, 1}},
		Faces:    [][3]int32{{0, 2, 1}, {0, 1, 3}, {1, 2, 3}, {2, 0, 3}},
	}, UV: [][2]float32{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}}, Corners: [][3]int32{{0, 2, 1}, {0, 1, 3}, {1, 2, 3}, {2, 0, 3}}}
	t.Texture = image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for i := range 256 {
		t.Texture.SetNRGBA(i%16, i/16, color.NRGBA{uint8(255 * (i % 16 / 8)), uint8(255 * (i / 128)), 0, 255})
	}
	return t
}

func float(data []byte, at int) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(data[at:])))
}

// The GLB holds the mesh with y up, its indices are in range, its faces look the way they did, and the texture is the right way up.
func TestGLBIsTheMesh(t *testing.T) {
	var b bytes.Buffer
	mesh := tetrahedron()
	if err := mesh.WriteGLB(&b, "metre"); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	if int(binary.LittleEndian.Uint32(data[8:])) != len(data) || len(data)%4 != 0 {
		t.Fatalf("a file of %d bytes says that it has %d", len(data), binary.LittleEndian.Uint32(data[8:]))
	}
	size := int(binary.LittleEndian.Uint32(data[12:]))
	var doc struct {
		Asset struct {
			Extras map[string]string
		}
		BufferViews []struct{ ByteOffset, ByteLength int }
		Accessors   []struct {
			BufferView, Count int
			Min, Max          []float64
		}
		Meshes []struct {
			Primitives []struct {
				Attributes map[string]int
				Indices    int
			}
		}
		Images []struct{ BufferView int }
	}
	if err := json.Unmarshal(data[20:20+size], &doc); err != nil {
		t.Fatal(err)
	}
	bin := data[28+size:]
	of := func(accessor int) []byte {
		v := doc.BufferViews[doc.Accessors[accessor].BufferView]
		return bin[v.ByteOffset : v.ByteOffset+v.ByteLength]
	}
	p := doc.Meshes[0].Primitives[0]
	positions, indices, uv := of(p.Attributes["POSITION"]), of(p.Indices), of(p.Attributes["TEXCOORD_0"])
	if doc.Asset.Extras["unit"] != "metre" || len(indices) != 4*12 || len(positions) != 4*12 || len(uv) != 4*8 || doc.Accessors[p.Indices].Count != 12 {
		t.Fatalf("%+v", doc)
	}
	at := func(n int) vec {
		i := int(binary.LittleEndian.Uint32(indices[4*n:]))
		return vec{float(positions, 12*i), float(positions, 12*i+4), float(positions, 12*i+8)}
	}
	if n := between(at(0), at(1), at(2)); !(n[1] > 0) || n[0] != 0 || n[2] != 0 {
		t.Errorf("the face that looks up has the normal %v", n)
	}
	if a := doc.Accessors[p.Attributes["POSITION"]]; a.Max[1] != 1 || a.Min[2] != -2 {
		t.Errorf("the box is %v to %v", a.Min, a.Max)
	}
	v := doc.BufferViews[doc.Images[0].BufferView]
	picture, err := jpeg.Decode(bytes.NewReader(bin[v.ByteOffset : v.ByteOffset+v.ByteLength]))
	if err != nil || picture.Bounds() != mesh.Texture.Bounds() {
		t.Fatalf("texture: %v", err)
	}
	if r, g, _, _ := picture.At(12, 4).RGBA(); r < 0xc000 || g > 0x4000 || float(uv, 4) != 0.25 {
		t.Errorf("the upper right of the texture is %x %x", r, g)
	}
}

// The STL is in millimetres with z up: of a real size where that is known, and 100 mm long where it is not; its header says whether
// it is watertight.
func TestSTLIsInMillimetres(t *testing.T) {
	m := tetrahedron().Mesh
	open := &Mesh{Vertices: m.Vertices, Faces: m.Faces[1:]}
	for _, c := range []struct {
		m      *Mesh
		metres float64
		long   float64
		closed string
	}{{m, 0.5, 1000, ", watertight"}, {m, 0, 100, ", watertight"}, {open, 2, 4000, "not watertight"}} {
		var b bytes.Buffer
		if err := c.m.WriteSTL(&b, c.metres); err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		if len(data) != 84+50*len(c.m.Faces) || int(binary.LittleEndian.Uint32(data[80:])) != len(c.m.Faces) || !strings.Contains(string(data[:80]), c.closed) {
			t.Fatalf("%d bytes, %q", len(data), data[:80])
		}
		low, high := math.Inf(1), math.Inf(-1)
		for f := range c.m.Faces {
			var corner [4]vec
			for k := range 4 {
				for axis := range 3 {
					corner[k][axis] = float(data, 84+50*f+12*k+4*axis)
				}
			}
			if n := between(corner[1], corner[2], corner[3]); !(dot(n, corner[0]) > 0.999*length(n)) {
				t.Errorf("face %d: normal %v of %v", f, corner[0], corner[1:])
			}
			for _, p := range corner[1:] {
				low, high = min(low, p[1]), max(high, p[1])
			}
		}
		if !(math.Abs(high-low-c.long) < 1e-3) {
			t.Errorf("%g mm long, not %g", high-low, c.long)
		}
	}
}

// The zip holds the mesh, the material that it names, and the texture that this names.
func TestOBJNamesItsTexture(t *testing.T) {
	var b bytes.Buffer
	if err := tetrahedron().WriteOBJ(&b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		text[f.Name] = string(all)
	}
	for file, holds := range map[string]string{
		"mesh.obj": "mtllib mesh.mtl\nusemtl photos\nv 0 1 -2\n", "mesh.mtl": "map_Kd mesh.jpg", "mesh.jpg": "\xff\xd8",
	} {
		if !strings.Contains(text[file], holds) {
			t.Errorf("%s is %.100q", file, text[file])
		}
	}
	if !strings.Contains(text["mesh.obj"], "vt 0.250000 0.750000\n") || !strings.Contains(text["mesh.obj"], "f 1/1 3/3 2/2\n") || strings.Count(text["mesh.obj"], "\nf ") != 4 {
		t.Errorf("%s", text["mesh.obj"])
	}
}

// full is a disk that takes some bytes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return len(p), nil
}

func TestAFullDiskIsAnError(t *testing.T) {
	m := tetrahedron()
	for name, write := range map[string]func(io.Writer) error{
		"GLB": func(w io.Writer) error { return m.WriteGLB(w, "metre") }, "bare GLB": func(w io.Writer) error { return m.Mesh.WriteGLB(w, "metre") },
		"OBJ": m.WriteOBJ, "STL": func(w io.Writer) error { return m.WriteSTL(w, 1) },
	} {
		for _, left := range []int{0, 100} {
			if err := write(&full{left}); err == nil {
				t.Errorf("%s of %d bytes: no error", name, left)
			}
		}
	}
}
