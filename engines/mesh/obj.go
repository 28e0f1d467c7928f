package mesh

import (
	"archive/zip"
	"bufio"
	"fmt"
	"io"
)

// WriteOBJ writes a zip of the mesh as Wavefront OBJ, its material, and the texture: y up, as in the GLB.
func (t *Textured) WriteOBJ(w io.Writer) error {
	picture, err := encode(t.Texture)
	if err != nil {
		return fmt.Errorf("write OBJ: %w", err)
	}
	z := zip.NewWriter(w)
	for _, file := range []struct {
		name  string
		write func(w io.Writer) error
	}{
		{"mesh.obj", t.writeOBJ},
		{"mesh.mtl", func(w io.Writer) error {
			_, err := io.WriteString(w, "newmtl photos\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd mesh.jpg\n")
			return err
		}},
		{"mesh.jpg", func(w io.Writer) error {
			_, err := w.Write(picture)
			return err
		}},
	} {
		f, err := z.Create(file.name)
		if err == nil {
			err = file.write(f)
		}
		if err != nil {
			return fmt.Errorf("write OBJ: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write OBJ: %w", err)
	}
	return nil
}

// writeOBJ writes the text. Its v of a texture counts from below.
func (t *Textured) writeOBJ(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "# y up\nmtllib mesh.mtl\nusemtl photos\n")
	for _, p := range t.Vertices {
		q := turned(p)
		fmt.Fprintf(out, "v %.6g %.6g %.6g\n", q[0], q[1], q[2])
	}
	for _, uv := range t.UV {
		fmt.Fprintf(out, "vt %.6f %.6f\n", uv[0], 1-uv[1])
	}
	for f, face := range t.Faces {
		c := t.Corners[f]
		fmt.Fprintf(out, "f %d/%d %d/%d %d/%d\n", face[0]+1, c[0]+1, face[1]+1, c[1]+1, face[2]+1, c[2]+1)
	}
	return out.Flush() // holds the first error of all writes
}
