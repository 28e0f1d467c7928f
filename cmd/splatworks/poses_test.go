package main

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInputWithPoses: what is uploaded holds the input without its own poses, and those that were named.
func TestInputWithPoses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	photos := filepath.Dir(write("photos/a.jpg", "picture"))
	write("photos/transforms.json", "their own")
	write("export/sparse/0/cameras.bin", "c")
	write("export/sparse/0/images.bin", "i")
	write("export/sparse/0/project.ini", "x")
	video := write("film.mp4", "film")
	write("phone/depth/1.png", "d")
	write("phone/confidence/1.png", "s")
	const eye = `[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]`
	phone := write("phone/t.json", `{"fl_x": 1, "frames": [{"file_path": "images/1.jpg", "depth_file_path": "depth/1.png", "transform_matrix": `+eye+`},
		{"file_path": "images/2.jpg", "depth_file_path": "../../etc/passwd", "transform_matrix": `+eye+`}]}`)
	packed := write("in.zip", "")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range []string{"b.jpg", "sparse/images.txt"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, test := range map[string]struct{ input, poses, want string }{
		"a folder and a project":    {photos, filepath.Join(dir, "export"), "a.jpg poses/cameras.bin poses/images.bin"},
		"a video and a file":        {video, filepath.Join(dir, "export/sparse/0/cameras.bin"), "film.mp4 poses/cameras.bin poses/images.bin"},
		"a zip and a phone's poses": {packed, phone, "b.jpg poses/confidence/1.png poses/depth/1.png poses/transforms.json"},
	} {
		in, size, done, err := openPosed(t.Context(), test.input, test.poses, io.Discard)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		archive, err := zip.NewReader(in, size)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range archive.File {
			names = append(names, m.Name)
		}
		done()
		if slices.Sort(names); strings.Join(names, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, names, test.want)
		}
	}
	for _, poses := range []string{photos + "/none", dir, video} {
		if _, _, _, err := openPosed(t.Context(), video, poses, io.Discard); err == nil {
			t.Errorf("%s was taken for poses", poses)
		}
	}
}
