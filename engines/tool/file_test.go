package tool

import (
	"path/filepath"
	"testing"
)

func TestFileIsNeverAnOptionOrAProtocol(t *testing.T) {
	for _, name := range []string{"-x.mp4", "x:y.mp4", "#1.mp4", "%d.mp4", "a b.mp4", "/already/absolute: yes.mp4"} {
		got := File(name)
		if !filepath.IsAbs(got) || filepath.Base(got) != filepath.Base(name) {
			t.Errorf("%q became %q", name, got)
		}
	}
}
