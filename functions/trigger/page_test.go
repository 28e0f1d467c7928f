package trigger_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/engines/splat"
	emulator "github.com/splatworks/splatworks/infra/local/gcs"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"

	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/web"
	"github.com/splatworks/splatworks/web/chromium"
)

var screenshots = flag.String("screenshots", "", "folder for pictures of the page")

// storageFront is a proxy of the storage that can cut it off: first in the middle of a chunk, then altogether.
type storageFront struct {
	http.Handler
	mu   sync.Mutex
	cut  int64                 // bytes of the next chunk that arrive; negative: all
	gone bool                  // no connection
	got  map[string][][2]int64 // of files by name: from where to before where they were read; all of one: to -1

	lasts   int            // how many parts of a file a link is good for; 0: any number
	used    map[string]int // parts, by the link's query
	expired func()         // is called when a link is good no more
}

func (f *storageFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	cut, gone := int64(-1), f.gone
	if r.Method == http.MethodPut && !strings.Contains(r.Header.Get("Content-Range"), "*") && f.cut >= 0 {
		cut, f.cut, f.gone = f.cut, -1, true
	}
	if r.Method == http.MethodGet {
		f.fetched(r)
	}
	f.mu.Unlock()
	if cut >= 0 {
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, cut), broken{}))
		f.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if cut >= 0 || gone {
		panic(http.ErrAbortHandler) // which closes the connection
	}
	f.Handler.ServeHTTP(w, r)
}

func (f *storageFront) connect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = false
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// newPageWorld is a world with the page at its own address and the storage at another, as in the cloud.
func newPageWorld(t *testing.T) (w *world, page string, front *storageFront) {
	t.Helper()
	storage, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var site http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { site.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	cors := []emulator.CORS{{Origin: []string{server.URL}, Method: []string{"GET", "HEAD", "POST", "PUT"}, MaxAgeSeconds: 3600,
		ResponseHeader: []string{"Content-Type", "Content-Range", "Range", "Location", "x-goog-resumable", "x-goog-if-generation-match",
			"x-goog-content-length-range", "x-goog-meta-session-id"}}}
	for _, bucket := range []string{"inbox-filter", "inbox-preprocess", "inbox-depth", "inbox-train", "inbox-export", "artifacts"} {
		if err := storage.Bucket(t.Context(), bucket, cors); err != nil {
			t.Fatal(err)
		}
	}
	front = &storageFront{Handler: storage, cut: -1, got: map[string][][2]int64{}, used: map[string]int{}}
	storageServer := httptest.NewServer(front)
	t.Cleanup(storageServer.Close)
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: storageServer.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	email, key := storage.Account()
	signer, err := gcs.NewSigner(store, gcs.Account{Email: email, PrivateKey: key}, storageServer.URL)
	if err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, func(c *trigger.Config) { c.Store, c.Signer, c.Sources, c.Page = store, gcsSigner{signer}, nil, true })
	w.artifacts = store
	if site, err = web.Wrap(w.handler, storageServer.URL); err != nil {
		t.Fatal(err)
	}
	return w, server.URL, front
}

// hostile is a name that does something where it is not taken for text.
const hostile = `<img src=x onerror=alert(1)>`

// TestPage goes the way of a person through the page, in a real browser: choose a video with a hostile name, lose the connection in
// the middle of the upload, reload, continue, watch, and look at the splat. Nothing may reach the console, the checks of accessibility
// find nothing on any page, and nothing is wider than a phone.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, front := newPageWorld(t)
	tab := chromium.Open(t, address, 375, 812, false)
	p := &person{t: t, Tab: tab}
	capture := filepath.Join(t.TempDir(), hostile+".mp4")
	content := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(content)
	if err := os.WriteFile(capture, content, 0o600); err != nil {
		t.Fatal(err)
	}

	p.look("new")
	p.upload(capture, front)
	id := p.requestID()
	if o, err := w.artifacts.Stat(t.Context(), "inbox-filter", artifacts.UploadName(id, "input")); err != nil || o.Size != int64(len(content)) || o.ContentType != "video/mp4" {
		t.Fatalf("uploaded %+v, %v", o, err)
	}
	m := p.watch(w, id)
	w.leave(id, m)
	tab.Until(`document.querySelector('.viewer.loaded') && document.querySelector('.facts')`)
	p.scene()
	p.compare()
	p.notes()
	p.look("look")
	p.share(address)
	tab.Eval(`location.hash += '/report'`, nil)
	tab.Until(`document.querySelector('.tiles') && document.body.innerText.includes('28.25 dB')`)
	p.look("report")
	tab.Go(address + "/#/captures")
	tab.Until(`document.body.innerText.includes('Ready')`)
	p.look("captures")
	for _, fault := range tab.Faults() {
		if !strings.Contains(fault, "net::ERR_") { // of the connection that was cut
			t.Errorf("console: %s", fault)
		}
	}
}

// estimate reads what the capture will take, and that more work takes longer.
func (p *person) estimate() {
	p.t.Helper()
	seconds := func() (s float64) {
		p.Until(`document.querySelector('.estimate')?.innerText.includes('A rough guess') && document.querySelector('.estimate').innerText.includes('Four of five')`)
		p.Eval(`(([, n, unit]) => n * {seconds: 1, minutes: 60, hours: 3600}[unit])(document.querySelector('.estimate strong').innerText.match(/About ([\d.]+) (\w+) after/))`, &s)
		return s
	}
	standard := seconds()
	p.look("estimate")
	p.Eval(`document.querySelector('[name=effort][value=high]').click()`, nil)
	p.comesTrue("the best takes longer", func() bool { return seconds() > 1.5*standard })
	p.Eval(`document.querySelector('[name=effort][value=standard]').click()`, nil)
	p.comesTrue("less takes less again", func() bool { return seconds() == standard })
}

// TestPageShowsAFailure with its sentence and advice, and cancels what still runs.
func TestPageShowsAFailure(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	tab := chromium.Open(t, address, 1440, 900, true)
	p := &person{t: t, Tab: tab}
	photos := make([]string, 3)
	for i := range photos {
		photos[i] = filepath.Join(t.TempDir(), fmt.Sprintf("%d.jpg", i))
		if err := os.WriteFile(photos[i], picture(64, 48), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tab.Choose("input[type=file]", photos[0])
	tab.Until(`document.body.innerText.includes('At least three photos')`)
	tab.Choose("input[type=file]", photos...)
	p.estimate()
	tab.Click("Start")
	tab.Until(`document.querySelectorAll('.stages li').length === 5`)
	id := p.requestID()
	if captured := w.captured(id); len(captured) != 3 {
		t.Fatalf("captured %v", captured)
	}
	lease := w.claim(id, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: artifacts.CaptureName(id), Generation: 1})
	if _, err := lease.Fail(t.Context(), pipeline.Invalid("no_motion", "The camera "+hostile+" hardly moves.", "Walk around the subject.")); err != nil {
		t.Fatal(err)
	}
	tab.Until(`document.querySelector('[role=alert]')?.innerText.includes('Walk around the subject.') && document.body.innerText.includes('no_motion')`)
	p.look("failed")

	tab.Go(address + "/#/")
	tab.Choose("input[type=file]", photos...)
	tab.Click("Start")
	tab.Until(`location.hash.startsWith('#/c/')`)
	tab.Click("Cancel")
	tab.Until(`document.body.innerText.includes('You canceled this')`)
	for _, fault := range tab.Faults() {
		t.Errorf("console: %s", fault)
	}
}

// person is who uses the page.
type person struct {
	t *testing.T
	*chromium.Tab
}

func (p *person) requestID() string {
	p.t.Helper()
	var id string
	p.Until(`location.hash.startsWith('#/c/')`)
	p.Eval(`location.hash.split('/')[2]`, &id)
	return id
}

// upload loses the connection on the way, and all that the page had in memory.
func (p *person) upload(capture string, front *storageFront) {
	p.t.Helper()
	front.mu.Lock()
	front.cut = 3 << 20
	front.mu.Unlock()
	p.Choose("input[type=file]", capture)
	p.Until(`document.querySelector('form .primary')`)
	p.look("chosen")
	var estimates int
	if p.Eval(`document.querySelectorAll('.estimate').length`, &estimates); estimates > 0 {
		p.t.Error("there is an estimate of a video that cannot be read")
	}
	p.Click("Start")
	p.Until(`document.body.innerText.includes('No connection.')`)
	p.look("uploading")
	p.Reload()
	p.Until(`document.body.innerText.includes('Choose the same file again')`)
	front.connect()
	p.Choose("input[type=file]", capture)
	p.Until(fmt.Sprintf(`document.querySelectorAll('.stages li').length === %d`, len(pipeline.Stages())))
}

// share makes a link, which another browser opens, alone and in a frame, until it is revoked.
func (p *person) share(address string) {
	p.t.Helper()
	p.Until(`document.querySelector('.share form')`)
	p.Eval(`(i => { i.value = 'A title ' + `+quoted(hostile)+`; i.dispatchEvent(new Event('input', {bubbles: true})); })(document.querySelector('.share form input'))`, nil)
	p.Click("Make a link")
	p.Until(`document.querySelector('.made') && document.querySelectorAll('.share li').length === 1`)
	p.look("share")
	p.Eval(`document.querySelector('.share input[type=checkbox]').click()`, nil)
	p.Eval(`document.querySelector('.share form button').click()`, nil)
	p.Until(`document.querySelectorAll('.share li').length === 2 && document.querySelector('.share').innerText.includes(', with photographs')`)
	var link, embed string
	p.Eval(`document.querySelectorAll('.made input')[0].value`, &link)
	p.Eval(`document.querySelectorAll('.made input')[1].value.match(/src="([^"]+)"/)[1]`, &embed)
	if !strings.HasPrefix(link, address+"/s?") || !strings.HasPrefix(embed, address+"/embed#/s/") {
		p.t.Errorf("links %q and %q", link, embed)
	}

	guest := &person{t: p.t, Tab: chromium.Open(p.t, link, 375, 812, false)} // with a profile of its own
	guest.Until(`location.hash.startsWith('#/s/') && document.querySelector('.viewer.loaded') && document.querySelector('.facts')`)
	var text string
	guest.Eval(`document.body.innerText`, &text)
	if !strings.Contains(text, "A title "+hostile) || strings.Contains(text, "comparison.jpg") || !strings.Contains(text, "splat.sog") || strings.Contains(text, "My captures") {
		p.t.Errorf("a guest reads:\n%s", text)
	}
	guest.Until(`document.querySelector('.compare canvas')`)
	guest.Until(`document.querySelectorAll('.pin').length === 1`)
	guest.Click("1")
	guest.Until(`document.querySelector('.note-text').innerText.includes('Second')`)
	guest.look("shared")
	guest.Go(embed)
	guest.Until(`document.querySelector('.embedded .viewer.loaded')`)
	guest.look("embedded")
	p.Eval(`window.confirm = () => true`, nil)
	p.Eval(`[...document.querySelectorAll('.share li')].find(e => e.innerText.includes(', with photographs')).querySelector('button').click()`, nil)
	p.Until(`document.querySelectorAll('.share li').length === 1 && !document.querySelector('.made')`)
	guest.Go(address + "/#" + strings.SplitN(embed, "#", 2)[1])
	guest.Until(`document.querySelector('[role=alert]')?.innerText.includes('was revoked')`)
	guest.look("revoked")
	for _, fault := range guest.Faults() {
		if !strings.Contains(fault, "404") { // of what was revoked
			p.t.Errorf("console of a guest: %s", fault)
		}
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string can be encoded
	return string(b)
}

// watch shows the first stage's progress and warning, and ends it.
func (p *person) watch(w *world, id string) *artifacts.Manifest {
	p.t.Helper()
	lease := w.claim(id, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: artifacts.UploadName(id, "input"), Generation: 1})
	if err := lease.Heartbeat(p.t.Context(), pipeline.Progress{Stage: pipeline.Filter, Step: "looking at frames", Percent: 40, Message: hostile,
		Warning: &pipeline.Warning{Code: "few_images", Stage: pipeline.Filter, Message: "Only 12 images " + hostile, Advice: "Film for longer."}}); err != nil {
		p.t.Fatal(err)
	}
	p.Until(`document.body.innerText.includes('looking at frames') && document.body.innerText.includes('Film for longer.')`)
	p.Until(`document.querySelector('.stages .now progress').value === 40`)
	p.look("watch")
	m, manifest := w.complete(lease, nil)
	for stage, _ := pipeline.First().Next(); stage != pipeline.Last(); stage, _ = stage.Next() {
		m, manifest = w.complete(w.claim(id, stage, manifest), m)
	}
	return m
}

// leave ends the last stage with files that the page can show.
func (w *world) leave(id string, before *artifacts.Manifest) {
	w.t.Helper()
	w.leaveSplat(id, before, leaving{cloud: quarters()})
}

// leaving is what a last stage leaves, beside the files of each result.
type leaving struct {
	cloud  *splat.Cloud
	metres bool                      // the unit is known, and there is a first view
	more   map[artifacts.Kind][]byte // further files
}

func (w *world) leaveSplat(id string, before *artifacts.Manifest, left leaving) {
	w.t.Helper()
	lease := w.claim(id, pipeline.Export, pipeline.Object{Bucket: "inbox-export", Name: artifacts.ManifestName(id, pipeline.Train), Generation: 1})
	cloud := left.cloud
	var sog, ply bytes.Buffer
	if err := cloud.WriteSOG(&sog); err != nil {
		w.t.Fatal(err)
	}
	if err := cloud.WritePLY(&ply); err != nil {
		w.t.Fatal(err)
	}
	unit, view := "view_distance", (*artifacts.View)(nil)
	if left.metres {
		unit, view = "metre", &artifacts.View{Position: [3]float64{0, 0, -1.2}, FOVDeg: 60}
	}
	report, err := json.Marshal(artifacts.ReportDocument{Status: pipeline.Completed, RequestID: id,
		Images: &artifacts.ImagesReport{Input: 600, Used: 50, Registered: 48},
		SfM: &artifacts.SfMReport{Mapper: "global_mapper", Points: 4468, ReprojectionErrorPx: 0.61, MeanTrackLength: 7.2, Reason: "more images than the other model " + hostile,
			World: map[string]string{"unit": unit}},
		Splat: &artifacts.SplatReport{Gaussians: cloud.Len(), SHDegree: 0, Bytes: int64(ply.Len()), View: view},
		Quality: &artifacts.QualityReport{PSNRdB: 28.25, SSIM: 0.912, HeldOut: 6, Width: 640, Height: 360,
			Pairs: []artifacts.Pair{{Name: "a" + hostile + ".jpg", PSNRdB: 24.1, SSIM: 0.87, X: 160, Width: 160, Height: 90},
				{Name: "b.jpg", PSNRdB: 31.3, SSIM: 0.95, X: 160, Y: 96, Width: 160, Height: 84}}},
		Stages: []artifacts.StageRecord{{Stage: pipeline.Filter, WallS: 3.2, CPUS: 5.1, PeakRSSBytes: 1 << 28}, {Stage: pipeline.Preprocess, WallS: 41, CPUS: 80, PeakRSSBytes: 1 << 30},
			{Stage: pipeline.Train, WallS: 75, CPUS: 148, PeakRSSBytes: 1 << 30}},
		Warnings: []pipeline.Warning{{Code: "few_images", Message: "Only 12 images " + hostile, Advice: "Film for longer."}}})
	if err != nil {
		w.t.Fatal(err)
	}
	m := &artifacts.Manifest{Version: artifacts.ManifestVersion, Request: lease.Request(), Stage: pipeline.Export, Fence: lease.Fence(),
		Inputs: before.Known(), History: append(before.History, artifacts.StageRecord{Stage: pipeline.Export, Attempt: 1, StartedAt: w.now(), FinishedAt: w.now()})}
	files := map[artifacts.Kind][]byte{artifacts.Splat: ply.Bytes(), artifacts.SOG: sog.Bytes(), artifacts.Report: report,
		artifacts.Thumbnail: picture(320, 180), artifacts.Comparison: picture(640, 180), artifacts.Pairs: columns(160, 180)}
	maps.Copy(files, left.more)
	for kind, content := range files {
		o, err := w.artifacts.Put(w.t.Context(), "artifacts", artifacts.Path(id, pipeline.Export, lease.Fence(), kind), bytes.NewReader(content), artifacts.PutOptions{ContentType: kind.ContentType()})
		if err != nil {
			w.t.Fatal(err)
		}
		m.Outputs = append(m.Outputs, artifacts.Artifact{Kind: kind, Object: o})
	}
	manifest, err := artifacts.WriteManifest(w.t.Context(), w.artifacts, w.buckets, m)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := lease.Complete(w.t.Context(), manifest); err != nil {
		w.t.Fatal(err)
	}
}

// quarters is a ball around the origin: seen from the first camera it is red on the left above, green on the right above, and blue
// below (docs/conventions.md: x right, y down).
func quarters() *splat.Cloud { return quartersOf(4000) }

func quartersOf(n int) *splat.Cloud {
	rng := rand.New(rand.NewPCG(1, 2))
	c := splat.New(n, 0, splat.Classic)
	for i := range n {
		x, y, z := rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()
		scale := 0.35 / math.Sqrt(x*x+y*y+z*z)
		x, y, z = x*scale, y*scale, z*scale
		c.Means[3*i], c.Means[3*i+1], c.Means[3*i+2] = float32(x), float32(y), float32(z)
		channel := 2
		if y < 0 && x < 0 {
			channel = 0
		} else if y < 0 {
			channel = 1
		}
		for k := range 3 {
			c.LogScales[3*i+k] = float32(math.Log(0.015))
			c.DC[3*i+k] = -1.7
		}
		c.DC[3*i+channel] = 1.7
		c.Quats[4*i] = 1
		c.Opacities[i] = 4
	}
	return c
}

func picture(width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(255 * x / width), uint8(255 * y / height), 120, 255})
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // to memory
	return b.Bytes()
}

// columns is a sheet of pairs: what is on the left is red, what is on the right is blue.
func columns(width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 2*width, height))
	for y := range height {
		for x := range 2 * width {
			img.Set(x, y, map[bool]color.RGBA{true: {200, 30, 30, 255}, false: {30, 30, 200, 255}}[x < width])
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // to memory
	return b.Bytes()
}

// look checks the page at hand on a phone and a desktop, in light and dark.
func (p *person) look(name string) {
	p.t.Helper()
	script, err := axe()
	if err != nil {
		p.t.Logf("accessibility not checked: %v; infra/toolchain/install.sh axe", err)
	}
	p.Look(name, script, *screenshots)
}

// axe is Deque's checker, once it was read.
var axe = sync.OnceValues(func() ([]byte, error) {
	path, err := toolchain.Private("axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})
