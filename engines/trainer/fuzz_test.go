package trainer

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Whatever lies where an image or a mask should be: an error that says so, or a valid splat.
func FuzzImageFile(f *testing.F) {
	pixel := func(w, h int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, w, h))); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	f.Add(pixel(1, 1), false)
	f.Add(pixel(16, 12), false)
	f.Add(pixel(16, 12), true)
	f.Add(pixel(16, 12)[:40], false)
	f.Add([]byte("\xff\xd8\xff"), true)
	// A PNG that promises 2^31 pixels.
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x80\x00\x00\x01\x00\x00\x08\x02\x00\x00\x00\x7a\x0e\x62\x46"), false)
	f.Fuzz(func(t *testing.T, data []byte, mask bool) {
		d := synthetic(4, 16, 12)
		dir := writeScene(t, d, nil)
		name := filepath.Join(dir, "images", d.Train[0].Name)
		if mask {
			name = filepath.Join(dir, "masks", d.Train[0].Name+".png")
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(20)
		cfg.MaxGaussians = 300
		loaded, err := Load(dir, &cfg)
		if err != nil {
			return
		}
		res, err := Train(context.Background(), cfg, loaded, nil, Hooks{Clock: ticking(time.Millisecond)})
		if err != nil {
			return
		}
		if err := res.Cloud.Validate(); err != nil {
			t.Error(err)
		}
	})
}
