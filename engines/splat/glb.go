package splat

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// glTF 2.0 binary with KHR_gaussian_splatting, as Khronos ratified it: a mesh of points whose attributes are linear scale, unit
// rotation, opacity from 0 to 1 and spherical harmonics. glTF's axes are x right, y up, z back. Viewers that do not know the
// extension draw the points in the colours of COLOR_0.

const (
	glbMagic     = 0x46546c67 // "glTF"
	glbJSON      = 0x4e4f534a
	glbBIN       = 0x004e4942
	glFloat      = 5126
	glPoints     = 0
	khrSplatting = "KHR_gaussian_splatting"
	// maxGLBJSON bounds the document of a file that is read: one of ours has 8 KB.
	maxGLBJSON = 1 << 20
)

type (
	gltf struct {
		Asset          gltfAsset    `json:"asset"`
		ExtensionsUsed []string     `json:"extensionsUsed,omitempty"`
		Required       []string     `json:"extensionsRequired,omitempty"`
		Scene          int          `json:"scene"`
		Scenes         []gltfScene  `json:"scenes"`
		Nodes          []gltfNode   `json:"nodes"`
		Meshes         []gltfMesh   `json:"meshes"`
		Accessors      []gltfAccess `json:"accessors"`
		BufferViews    []gltfView   `json:"bufferViews"`
		Buffers        []gltfBuffer `json:"buffers"`
	}
	gltfAsset struct {
		Version   string         `json:"version"`
		Generator string         `json:"generator,omitempty"`
		Extras    map[string]any `json:"extras,omitempty"`
	}
	gltfScene struct {
		Nodes []int `json:"nodes"`
	}
	gltfNode struct {
		Mesh int `json:"mesh"`
	}
	gltfMesh struct {
		Primitives []gltfPrimitive `json:"primitives"`
	}
	gltfPrimitive struct {
		Attributes map[string]int           `json:"attributes"`
		Mode       *int                     `json:"mode,omitempty"`
		Extensions map[string]gltfSplatting `json:"extensions,omitempty"`
	}
	gltfSplatting struct {
		Kernel        string               `json:"kernel"`
		ColorSpace    string               `json:"colorSpace"`
		SortingMethod string               `json:"sortingMethod"`
		Projection    string               `json:"projection"`
		Extensions    map[string]gltfInner `json:"extensions,omitempty"`
	}
	gltfInner struct {
		BufferView int `json:"bufferView"`
	}
	gltfAccess struct {
		BufferView    *int      `json:"bufferView,omitempty"`
		ByteOffset    int64     `json:"byteOffset,omitempty"`
		ComponentType int       `json:"componentType"`
		Count         int64     `json:"count"`
		Type          string    `json:"type"`
		Min           []float32 `json:"min,omitempty"`
		Max           []float32 `json:"max,omitempty"`
	}
	gltfView struct {
		Buffer     int   `json:"buffer"`
		ByteOffset int64 `json:"byteOffset,omitempty"`
		ByteLength int64 `json:"byteLength"`
		ByteStride int64 `json:"byteStride,omitempty"`
	}
	gltfBuffer struct {
		ByteLength int64  `json:"byteLength"`
		URI        string `json:"uri,omitempty"`
	}
)

// glbAttribute is one accessor: its name, how many floats it has, and the floats of Gaussian i.
type glbAttribute struct {
	name  string
	width int
	value func(i int, to []float32)
}

var glTypes = map[int]string{1: "SCALAR", 3: "VEC3", 4: "VEC4"}

// attributes of the cloud, which is already in glTF's axes.
func (c *Cloud) glbAttributes() []glbAttribute {
	k := RestCount(c.Degree)
	list := []glbAttribute{
		{"POSITION", 3, func(i int, to []float32) { copy(to, c.Means[3*i:3*i+3]) }},
		{khrSplatting + ":ROTATION", 4, func(i int, to []float32) {
			q := c.unitQuat(i)
			to[0], to[1], to[2], to[3] = float32(q[1]), float32(q[2]), float32(q[3]), float32(q[0])
		}},
		{khrSplatting + ":SCALE", 3, func(i int, to []float32) {
			for axis := range 3 {
				to[axis] = float32(math.Exp(float64(c.LogScales[3*i+axis])))
			}
		}},
		{khrSplatting + ":OPACITY", 1, func(i int, to []float32) { to[0] = float32(opacity(c.Opacities[i])) }},
		{khrSplatting + ":SH_DEGREE_0_COEF_0", 3, func(i int, to []float32) { copy(to, c.DC[3*i:3*i+3]) }},
		{"COLOR_0", 4, func(i int, to []float32) {
			for channel := range 3 {
				to[channel] = float32(math.Min(1, math.Max(0, 0.5+C0*float64(c.DC[3*i+channel]))))
			}
			to[3] = float32(opacity(c.Opacities[i]))
		}},
	}
	for j := range k {
		list = append(list, glbAttribute{shAttribute(j), 3, func(i int, to []float32) { copy(to, c.Rest[3*(k*i+j):3*(k*i+j)+3]) }})
	}
	return list
}

// shAttribute names coefficient j above degree 0.
func shAttribute(j int) string {
	degree := 1
	for j >= RestCount(degree) {
		degree++
	}
	return fmt.Sprintf("%s:SH_DEGREE_%d_COEF_%d", khrSplatting, degree, j-RestCount(degree-1))
}

// WriteGLB writes float32 attributes. The render mode is in asset.extras: the extension has no field for it.
func (c *Cloud) WriteGLB(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	t := c.Turned()
	attributes := t.glbAttributes()
	doc, size := t.glbDocument(attributes)
	if err := doc.writeHead(w, size); err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	for _, a := range attributes {
		err := writeRecords(w, t.Len(), 4*a.width, func(i int, record []byte) {
			var values [4]float32
			a.value(i, values[:a.width])
			putFloats(record, values[:a.width]...)
		})
		if err != nil {
			return fmt.Errorf("write GLB: %w", err)
		}
	}
	return nil
}

// writeHead writes all but the content of the binary chunk, which has size bytes.
func (doc *gltf) writeHead(w io.Writer, size int64) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	for len(text)%4 != 0 {
		text = append(text, ' ')
	}
	total := 12 + 8 + int64(len(text)) + 8 + size
	if total > math.MaxUint32 {
		return fmt.Errorf("%d bytes are more than a GLB may have (4 GiB); write fewer Gaussians or a lower degree", total)
	}
	out := bufio.NewWriter(w)
	for _, v := range []uint32{glbMagic, 2, uint32(total), uint32(len(text)), glbJSON} {
		out.Write(binary.LittleEndian.AppendUint32(nil, v))
	}
	out.Write(text)
	for _, v := range []uint32{uint32(size), glbBIN} {
		out.Write(binary.LittleEndian.AppendUint32(nil, v))
	}
	return out.Flush() // holds the first error of all writes
}

func (c *Cloud) glbDocument(attributes []glbAttribute) (doc gltf, size int64) {
	n := int64(c.Len())
	names := map[string]int{}
	for i, a := range attributes {
		view := i
		access := gltfAccess{BufferView: &view, ComponentType: glFloat, Count: n, Type: glTypes[a.width]}
		if a.name == "POSITION" {
			low, high := c.bounds()
			access.Min, access.Max = low[:], high[:]
		}
		names[a.name] = i
		bytes := 4 * int64(a.width) * n
		doc.Accessors = append(doc.Accessors, access)
		doc.BufferViews = append(doc.BufferViews, gltfView{ByteOffset: size, ByteLength: bytes})
		size += bytes
	}
	points := glPoints
	doc.Asset = gltfAsset{Version: "2.0", Generator: "Splatworks", Extras: map[string]any{"SplatRenderMode": c.Mode.String()}}
	doc.ExtensionsUsed = []string{khrSplatting}
	doc.Scenes, doc.Nodes = []gltfScene{{Nodes: []int{0}}}, []gltfNode{{}}
	doc.Meshes = []gltfMesh{{Primitives: []gltfPrimitive{{Attributes: names, Mode: &points, Extensions: map[string]gltfSplatting{
		khrSplatting: {Kernel: "ellipse", ColorSpace: "srgb_rec709_display", SortingMethod: "cameraDistance", Projection: "perspective"}}}}}}
	doc.Buffers = []gltfBuffer{{ByteLength: size}}
	return doc, size
}

// ReadGLB reads the first Gaussian primitive of a GLB whose attributes are float32, or SPZ, in its own binary chunk, as ours are.
// Transforms of nodes are not applied.
func ReadGLB(r io.Reader) (*Cloud, error) {
	c, err := readGLB(r)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = formatErrorf("the file ends early")
		}
		return nil, fmt.Errorf("read GLB: %w", err)
	}
	return finish(c, "GLB")
}

func readGLB(r io.Reader) (*Cloud, error) {
	var head [5]uint32 // magic, version, length, length of the JSON chunk, its type
	if err := binary.Read(r, binary.LittleEndian, &head); err != nil {
		return nil, err
	}
	if head[0] != glbMagic || head[1] != 2 || head[4] != glbJSON || head[3] > maxGLBJSON {
		return nil, formatErrorf("the file is no binary glTF 2.0, or its document is larger than %d bytes", maxGLBJSON)
	}
	text, err := readExactly(r, int64(head[3]))
	if err != nil {
		return nil, err
	}
	var doc gltf
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, formatErrorf("document: %v", err)
	}
	var chunk [2]uint32
	if err := binary.Read(r, binary.LittleEndian, &chunk); err != nil {
		return nil, err
	}
	if chunk[1] != glbBIN {
		return nil, formatErrorf("the second chunk is not binary")
	}
	bin, err := readExactly(r, int64(chunk[0]))
	if err != nil {
		return nil, err
	}
	for _, mesh := range doc.Meshes {
		for _, p := range mesh.Primitives {
			splatting, ok := p.Extensions[khrSplatting]
			if !ok {
				continue
			}
			if inner, ok := splatting.Extensions[khrSPZ]; ok {
				return doc.unpackSPZ(inner, bin)
			}
			return doc.cloud(p, bin)
		}
	}
	return nil, formatErrorf("no primitive with %s", khrSplatting)
}

// cloud decodes the attributes of a primitive and turns them into our axes.
func (doc *gltf) cloud(p gltfPrimitive, bin []byte) (*Cloud, error) {
	degree := 0
	for d := 1; d <= MaxDegree; d++ {
		if _, ok := p.Attributes[shAttribute(RestCount(d-1))]; ok {
			degree = d
		}
	}
	positions, err := doc.floats(p, bin, "POSITION", 3, -1)
	if err != nil {
		return nil, err
	}
	n := len(positions) / 3
	mode := Classic
	if m, ok := doc.Asset.Extras["SplatRenderMode"].(string); ok {
		if mode, err = ParseRenderMode(m); err != nil {
			return nil, formatErrorf("%v", err)
		}
	}
	c := &Cloud{Degree: degree, Mode: mode, Means: positions}
	var scales, quats, opacities []float32
	for _, a := range []struct {
		name  string
		width int
		to    *[]float32
	}{{":SCALE", 3, &scales}, {":ROTATION", 4, &quats}, {":OPACITY", 1, &opacities}, {":SH_DEGREE_0_COEF_0", 3, &c.DC}} {
		if *a.to, err = doc.floats(p, bin, khrSplatting+a.name, a.width, n); err != nil {
			return nil, err
		}
	}
	for _, s := range scales {
		c.LogScales = append(c.LogScales, logScale(float64(s)))
	}
	for _, o := range opacities {
		c.Opacities = append(c.Opacities, logit(float64(o)))
	}
	for i := range n {
		c.Quats = append(c.Quats, quats[4*i+3], quats[4*i], quats[4*i+1], quats[4*i+2])
	}
	k := RestCount(degree)
	c.Rest = make([]float32, 3*k*n)
	for j := range k {
		values, err := doc.floats(p, bin, shAttribute(j), 3, n)
		if err != nil {
			return nil, err
		}
		for i := range n {
			copy(c.Rest[3*(k*i+j):], values[3*i:3*i+3])
		}
	}
	return c.Turned(), nil
}

// floats reads an attribute of n values with a width; any number of them where n is negative.
func (doc *gltf) floats(p gltfPrimitive, bin []byte, name string, width, n int) ([]float32, error) {
	at, ok := p.Attributes[name]
	if !ok || at < 0 || at >= len(doc.Accessors) {
		return nil, formatErrorf("attribute %s is missing", name)
	}
	a := doc.Accessors[at]
	if a.ComponentType != glFloat || a.Type != glTypes[width] || a.BufferView == nil || *a.BufferView < 0 || *a.BufferView >= len(doc.BufferViews) {
		return nil, formatErrorf("attribute %s is no array of %s of float", name, glTypes[width])
	}
	if n >= 0 && a.Count != int64(n) {
		return nil, formatErrorf("attribute %s has %d values of %d", name, a.Count, n)
	}
	view := doc.BufferViews[*a.BufferView]
	record := int64(4 * width)
	stride := view.ByteStride
	if stride == 0 {
		stride = record
	}
	size := int64(len(bin))
	inside := a.Count >= 0 && a.Count <= size/record && view.Buffer == 0 && stride >= record && stride <= 255 && view.ByteOffset >= 0 && view.ByteOffset <= size &&
		a.ByteOffset >= 0 && a.ByteOffset <= size && view.ByteOffset+a.ByteOffset+max(0, a.Count-1)*stride+min(1, a.Count)*record <= size
	if !inside {
		return nil, formatErrorf("attribute %s is not inside the binary chunk", name)
	}
	values := make([]float32, 0, a.Count*int64(width))
	for i := range a.Count {
		at := view.ByteOffset + a.ByteOffset + i*stride
		for j := range int64(width) {
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(bin[at+4*j:])))
		}
	}
	return values, nil
}
