package mesh

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
)

// textureQuality of the JPEG in files.
const textureQuality = 92

// turned brings a point to glTF's axes, x right, y up, z back: half a turn about x.
func turned(p vec) vec { return vec{p[0], -p[1], -p[2]} }

// WriteGLB writes glTF 2.0 with the texture inside, unlit, since the photos hold the light already. unit says what the unit of
// the world is ("metre", or another word): glTF's is a metre.
func (t *Textured) WriteGLB(w io.Writer, unit string) error {
	picture, err := encode(t.Texture)
	if err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	positions := make([]vec, len(t.UV))
	for f, corners := range t.Corners {
		for k, n := range corners {
			positions[n] = turned(t.Vertices[t.Faces[f][k]])
		}
	}
	g := newGLB(unit)
	primitive := map[string]any{"attributes": map[string]int{"POSITION": g.positions(positions), "TEXCOORD_0": g.texcoords(t.UV)},
		"indices": g.indices(t.Corners), "material": 0}
	g.doc["meshes"] = []any{map[string]any{"primitives": []any{primitive}}}
	g.doc["images"] = []any{map[string]any{"bufferView": g.view(picture, 0), "mimeType": "image/jpeg"}}
	g.doc["samplers"] = []any{map[string]any{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}}
	g.doc["textures"] = []any{map[string]any{"source": 0, "sampler": 0}}
	g.doc["materials"] = []any{map[string]any{
		"pbrMetallicRoughness": map[string]any{"baseColorTexture": map[string]any{"index": 0}, "metallicFactor": 0, "roughnessFactor": 1},
		"extensions":           map[string]any{"KHR_materials_unlit": map[string]any{}},
	}}
	g.doc["extensionsUsed"] = []string{"KHR_materials_unlit"}
	return g.write(w)
}

// WriteGLB writes the bare mesh: for collisions.
func (m *Mesh) WriteGLB(w io.Writer, unit string) error {
	positions := make([]vec, len(m.Vertices))
	for i, p := range m.Vertices {
		positions[i] = turned(p)
	}
	g := newGLB(unit)
	primitive := map[string]any{"attributes": map[string]int{"POSITION": g.positions(positions)}, "indices": g.indices(m.Faces)}
	g.doc["meshes"] = []any{map[string]any{"primitives": []any{primitive}}}
	return g.write(w)
}

func encode(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: textureQuality})
	return b.Bytes(), err
}

// glb is a file that is being put together.
type glb struct {
	doc       map[string]any
	views     []any
	accessors []any
	bin       []byte
}

func newGLB(unit string) *glb {
	return &glb{doc: map[string]any{
		"asset": map[string]any{"version": "2.0", "generator": "Splatworks", "extras": map[string]string{"unit": unit}},
		"scene": 0, "scenes": []any{map[string]any{"nodes": []int{0}}}, "nodes": []any{map[string]any{"mesh": 0}},
	}}
}

// Numbers of glTF.
const (
	glArray, glElements = 34962, 34963
	glUint, glFloat     = 5125, 5126
	glbMagic            = 0x46546c67
	glbJSON, glbBIN     = 0x4e4f534a, 0x004e4942
)

// view adds bytes; target 0: for no vertex.
func (g *glb) view(data []byte, target int) int {
	v := map[string]any{"buffer": 0, "byteOffset": len(g.bin), "byteLength": len(data)}
	if target != 0 {
		v["target"] = target
	}
	g.bin = append(g.bin, data...)
	for len(g.bin)%4 != 0 {
		g.bin = append(g.bin, 0)
	}
	g.views = append(g.views, v)
	return len(g.views) - 1
}

func (g *glb) accessor(a map[string]any) int {
	g.accessors = append(g.accessors, a)
	return len(g.accessors) - 1
}

func (g *glb) positions(list []vec) int {
	data := make([]byte, 0, 12*len(list))
	low, high := [3]float32{}, [3]float32{}
	for i, p := range list {
		for k := range 3 {
			v := float32(p[k])
			if i == 0 {
				low[k], high[k] = v, v
			}
			low[k], high[k] = min(low[k], v), max(high[k], v)
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	return g.accessor(map[string]any{"bufferView": g.view(data, glArray), "componentType": glFloat, "count": len(list), "type": "VEC3", "min": low, "max": high})
}

func (g *glb) texcoords(list [][2]float32) int {
	data := make([]byte, 0, 8*len(list))
	for _, uv := range list {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(uv[0]))
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(uv[1]))
	}
	return g.accessor(map[string]any{"bufferView": g.view(data, glArray), "componentType": glFloat, "count": len(list), "type": "VEC2"})
}

func (g *glb) indices(faces [][3]int32) int {
	data := make([]byte, 0, 12*len(faces))
	for _, t := range faces {
		for _, v := range t {
			data = binary.LittleEndian.AppendUint32(data, uint32(v))
		}
	}
	return g.accessor(map[string]any{"bufferView": g.view(data, glElements), "componentType": glUint, "count": 3 * len(faces), "type": "SCALAR"})
}

func (g *glb) write(w io.Writer) error {
	g.doc["bufferViews"], g.doc["accessors"], g.doc["buffers"] = g.views, g.accessors, []any{map[string]int{"byteLength": len(g.bin)}}
	text, err := json.Marshal(g.doc)
	if err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	for len(text)%4 != 0 {
		text = append(text, ' ')
	}
	total := 12 + 8 + len(text) + 8 + len(g.bin)
	if total > math.MaxUint32 {
		return fmt.Errorf("write GLB: %d bytes are more than a GLB may have (4 GiB)", total)
	}
	var head []byte
	for _, v := range []uint32{glbMagic, 2, uint32(total), uint32(len(text)), glbJSON} {
		head = binary.LittleEndian.AppendUint32(head, v)
	}
	head = append(head, text...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(g.bin)))
	head = binary.LittleEndian.AppendUint32(head, glbBIN)
	for _, part := range [][]byte{head, g.bin} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write GLB: %w", err)
		}
	}
	return nil
}
