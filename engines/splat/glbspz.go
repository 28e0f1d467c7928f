package splat

import (
	"bytes"
	"fmt"
	"io"
)

// A GLB with SPZ inside: KHR_gaussian_splatting_compression_spz_2, a draft (github.com/KhronosGroup/glTF, pull request 2531), which
// 3D Tiles are made with. The attributes have no data of their own; a buffer view has a whole SPZ file of version 3. Positions are
// what the SPZ file has, x right, y up, z back, as CesiumJS takes them; the draft's text would turn them by half about y.
const khrSPZ = "KHR_gaussian_splatting_compression_spz_2"

// WriteGLBSPZ writes one of about a sixth of the size of WriteGLB's. A viewer that does not know the draft cannot show it.
func (c *Cloud) WriteGLBSPZ(w io.Writer) error {
	var spz bytes.Buffer
	if err := c.WriteSPZ3(&spz); err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	size := spz.Len()
	for spz.Len()%4 != 0 {
		spz.WriteByte(0)
	}
	t := c.Turned()
	doc, _ := t.glbDocument(t.glbAttributes())
	for i := range doc.Accessors {
		doc.Accessors[i].BufferView = nil
	}
	attributes := doc.Meshes[0].Primitives[0].Attributes
	delete(attributes, khrSplatting+":OPACITY") // both are in COLOR_0 here
	delete(attributes, khrSplatting+":SH_DEGREE_0_COEF_0")
	splatting := doc.Meshes[0].Primitives[0].Extensions[khrSplatting]
	splatting.Extensions = map[string]gltfInner{khrSPZ: {BufferView: 0}}
	doc.Meshes[0].Primitives[0].Extensions[khrSplatting] = splatting
	doc.ExtensionsUsed = []string{khrSplatting, khrSPZ}
	doc.Required = doc.ExtensionsUsed
	doc.BufferViews = []gltfView{{ByteLength: int64(size)}}
	doc.Buffers = []gltfBuffer{{ByteLength: int64(spz.Len())}}
	if err := doc.writeHead(w, int64(spz.Len())); err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	if _, err := w.Write(spz.Bytes()); err != nil {
		return fmt.Errorf("write GLB: %w", err)
	}
	return nil
}

// unpackSPZ reads the SPZ file in a buffer view.
func (doc *gltf) unpackSPZ(inner gltfInner, bin []byte) (*Cloud, error) {
	if inner.BufferView < 0 || inner.BufferView >= len(doc.BufferViews) {
		return nil, formatErrorf("%s names no buffer view", khrSPZ)
	}
	view, size := doc.BufferViews[inner.BufferView], int64(len(bin))
	if view.Buffer != 0 || view.ByteOffset < 0 || view.ByteOffset > size || view.ByteLength < 0 || view.ByteLength > size-view.ByteOffset {
		return nil, formatErrorf("the buffer view of %s is not inside the binary chunk", khrSPZ)
	}
	return readSPZ(bytes.NewReader(bin[view.ByteOffset : view.ByteOffset+view.ByteLength]))
}
