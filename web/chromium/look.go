package chromium

import (
	"fmt"
	"os"
	"path/filepath"
)

// Look checks the page at hand on a phone and a desktop, in light and dark: nothing is wider than the window, and axe, the text of
// Deque's checker of accessibility, finds nothing; empty: it is not asked. Pictures go to a folder, if one is named.
func (b *Tab) Look(name string, axe []byte, pictures string) {
	b.t.Helper()
	for _, width := range []int{1440, 375} {
		for _, dark := range []bool{true, false} {
			b.Resize(width, 812, dark)
			where := fmt.Sprintf("%s at %d, dark %v", name, width, dark)
			var wide int
			b.Eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wide)
			if wide > 0 {
				b.t.Errorf("%s: %d pixels wider than the window", where, wide)
			}
			if len(axe) > 0 {
				b.accessible(where, axe)
			}
			if pictures == "" {
				continue
			}
			file := filepath.Join(pictures, fmt.Sprintf("%s-%d-%s.png", name, width, map[bool]string{true: "dark", false: "light"}[dark]))
			if err := os.WriteFile(file, b.Screenshot(true), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func (b *Tab) accessible(where string, axe []byte) {
	b.t.Helper()
	b.Eval(string(axe)+"; true", nil)
	var violations []string
	b.Eval(`axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; ')))`, &violations)
	for _, v := range violations {
		b.t.Errorf("%s: %s", where, v)
	}
}
