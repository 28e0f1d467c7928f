package trigger_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/web/chromium"
)

// streamed is a splat with three coarser levels, as the last stage packs it.
func streamed(t *testing.T, c *splat.Cloud) []byte {
	t.Helper()
	kind, ok := splat.FolderOf("lod-meta.json")
	if !ok {
		t.Fatal("no streamed SOG")
	}
	dir := t.TempDir()
	if err := kind.Write(dir, c, 3); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(os.DirFS(dir), name)
		if err != nil {
			return err
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// links sets how many parts of a file a link is good for, and what is called when one is used once more.
func (f *storageFront) links(lasts int, expired func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lasts, f.expired = lasts, expired
}

// fetched notes what is read of a file, and breaks a link that was used too often. Callers hold mu.
func (f *storageFront) fetched(r *http.Request) {
	part := [2]int64{0, -1}
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &part[0], &part[1]); n == 2 {
		part[1]++
		f.used[r.URL.RawQuery]++
		if f.lasts > 0 && f.used[r.URL.RawQuery] > f.lasts {
			f.expired()
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Goog-Signature=", "X-Goog-Signature=0", 1)
			return
		}
	}
	name := path.Base(r.URL.Path)
	f.got[name] = append(f.got[name], part)
}

// read are the levels of a zip that were fetched from the storage, and the bytes of it that were.
func (f *storageFront) read(t *testing.T, levels []byte) (names []string, total int64) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(levels), int64(len(levels)))
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, part := range f.got[artifacts.StreamedSOG.FileName()] {
		if part[1] < 0 {
			t.Errorf("all of the levels were fetched")
		}
		total += part[1] - part[0]
		for _, file := range z.File {
			at, err := file.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			if name, inFolder := strings.CutSuffix(file.Name, "/meta.json"); inFolder && part[0] <= at && at < part[1] && part[1] < int64(len(levels)) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), total
}

// TestPageStreamsLevels: a phone loads the levels of a large splat that it has memory for, with links that the page renews when they
// have expired; a desktop loads the finest one, and neither fetches the splat whole. The phone has 40 MB, so that a small splat is large.
func TestPageStreamsLevels(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, front := newPageWorld(t)
	cloud := quartersOf(40_000)
	levels := streamed(t, cloud)
	a := w.result(leaving{cloud: cloud, more: map[artifacts.Kind][]byte{artifacts.StreamedSOG: levels}})

	phone := &person{t: t, Tab: chromium.Open(t, address, 375, 812, false)}
	phone.Touch()
	phone.Before(`Object.defineProperty(Navigator.prototype, 'deviceMemory', {value: 0.04});
		const wait = setInterval; window.setInterval = (f, ms) => wait(f, Math.min(ms, 1000))`) // links are renewed each second
	front.links(2, func() { w.advance(10 * time.Minute) }) // the API signs links anew by its clock
	phone.open(address, a, "A large place")
	shows := func(p *person) {
		t.Helper()
		p.comesTrue("the splat is on the screen", func() bool {
			above, below := p.canvas().colours(0.2, 0.45), p.canvas().colours(0.55, 0.8)
			return above.left[0] > 20 && above.right[1] > 20 && below.left[2] > 20 && below.right[2] > 20
		})
	}
	shows(phone)
	phone.comesTrue("a finer level than the first comes", func() bool { names, _ := front.read(t, levels); return len(names) > 1 })
	phone.Eval(`new Promise(done => setTimeout(done, 1000))`, nil) // more would come
	names, total := front.read(t, levels)
	if !slices.Equal(names, []string{"2_0", "3_0"}) || total > int64(len(levels))/2 {
		t.Errorf("a phone fetched levels %v, %d bytes of %d", names, total, len(levels))
	}
	phone.measure()

	front.links(0, nil)
	desktop := &person{t: t, Tab: chromium.Open(t, address, 1440, 812, false)}
	desktop.open(address, a, "A large place")
	shows(desktop)
	desktop.comesTrue("the finest level comes", func() bool { names, _ := front.read(t, levels); return slices.Contains(names, "0_0") })
	front.mu.Lock()
	defer front.mu.Unlock()
	for _, kind := range []artifacts.Kind{artifacts.SOG, artifacts.Splat} {
		if n := len(front.got[kind.FileName()]); n > 0 {
			t.Errorf("%s was fetched %d times", kind.FileName(), n)
		}
	}
	for _, fault := range append(phone.Faults(), desktop.Faults()...) {
		if !strings.Contains(fault, "403") { // of the links that had expired
			t.Errorf("console: %s", fault)
		}
	}
}
