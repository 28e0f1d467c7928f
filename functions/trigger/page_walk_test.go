package trigger_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"math"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/engines/mesh"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/web/chromium"
)

// smaller is a cloud around the origin at a share of its size.
func smaller(c *splat.Cloud, share float64) *splat.Cloud {
	for i := range c.Means {
		c.Means[i] *= float32(share)
		c.LogScales[i] += float32(math.Log(share))
	}
	return c
}

// result is a request that has ended.
func (w *world) result(left leaving) api.Accepted {
	w.t.Helper()
	a := w.trigger("s")
	m, manifest := w.complete(w.claim(a.RequestID, pipeline.First(), pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1}), nil)
	for stage, _ := pipeline.First().Next(); stage != pipeline.Last(); stage, _ = stage.Next() {
		m, manifest = w.complete(w.claim(a.RequestID, stage, manifest), m)
	}
	w.leaveSplat(a.RequestID, m, left)
	return a
}

// open looks at the result of a request.
func (p *person) open(address string, a api.Accepted, title string) {
	p.t.Helper()
	p.Eval(fmt.Sprintf(`localStorage.setItem('splatworks.captures', JSON.stringify([{id: %q, token: %q, title: %s, created: new Date().toISOString(), options: {}, parts: [], several: false, uploaded: true}]))`, a.RequestID, a.CallbackToken, quoted(title)), nil)
	p.Go(address + "/#/c/" + a.RequestID)
	p.Until(`document.querySelector('.viewer.loaded') && document.querySelector('.facts')`)
}

// room is a floor one unit below the origin with a wall across it, 0.55 before the ball of the splat, seen from the first camera.
func room() *mesh.Mesh {
	const floor, wall = 1, -0.55
	return &mesh.Mesh{
		Vertices: [][3]float64{{-3, floor, -2}, {3, floor, -2}, {3, floor, 4}, {-3, floor, 4}, {-3, floor, wall}, {3, floor, wall}, {3, -2, wall}, {-3, -2, wall}},
		Faces:    [][3]int32{{0, 1, 2}, {0, 2, 3}, {4, 5, 6}, {4, 6, 7}},
	}
}

// TestPageWalksAndFilms: on the mesh for collisions ahead until the wall, back until the floor ends, and on from there by another way to
// move; then a picture and a film of it.
func TestPageWalksAndFilms(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	var ground bytes.Buffer
	if err := room().WriteGLB(&ground, "view_distance"); err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, Tab: chromium.Open(t, address, 375, 812, false)}
	p.open(address, w.result(leaving{cloud: smaller(quarters(), 0.35), more: map[artifacts.Kind][]byte{artifacts.MeshCollision: ground.Bytes()}}), "A room")
	// size is how many times as wide as at first the ball is: the first camera is 1.05 from its middle.
	first := float64(p.canvas().ball().Dx())
	size := func() float64 { return float64(p.canvas().ball().Dx()) / first }
	holds := func(key string, code int, what string, holds func() bool) {
		p.Hold(key, code, true)
		p.comesTrue(what, holds)
		p.Eval(`new Promise(done => setTimeout(done, 1000))`, nil) // the way is not free
		if !holds() {
			t.Errorf("%s, and walks on: the ball is %.2f times as wide as at first", what, size())
		}
		p.Hold(key, code, false)
	}
	p.Click("Walk")
	p.Until(`document.querySelector('.controls [aria-pressed=true]').innerText === 'Walk' && document.querySelector('.pad') && document.activeElement.className === 'stage3d'`)
	if s := size(); !(s > 0.9 && s < 1.1) {
		t.Errorf("standing up, the ball is %.2f times as wide", s)
	}
	holds("ArrowUp", 38, "the wall is reached", func() bool { s := size(); return s > 1.3 && s < 1.7 })
	p.look("walk")
	holds("s", 83, "the end of the floor is reached", func() bool { s := size(); return s > 0.4 && s < 0.6 })
	centre := func() float64 { b := p.canvas().ball(); return float64(b.Min.X+b.Max.X) / 2 }
	before := centre()
	box := p.box(".stage3d canvas")
	p.Drag(box.X+100, box.Y+100, box.X+150, box.Y+100)
	p.comesTrue("dragging turns the head", func() bool { return math.Abs(centre()-before) > 20 })
	there, width := centre(), size()
	p.Click("Orbit")
	p.Until(`!document.querySelector('.pad')`)
	p.comesTrue("the view stays", func() bool { return math.Abs(centre()-there) < 12 && math.Abs(size()-width) < 0.1 })
	p.picture()
	p.Click("Reset")
	p.comesTrue("the first view is back", func() bool { s := size(); return s > 0.95 && s < 1.05 })
	p.film()
	for _, fault := range p.Faults() {
		t.Errorf("console: %s", fault)
	}
}

// film adds the first view and one that is further away, plays the way between them, and records it.
func (p *person) film() {
	p.t.Helper()
	width := func() int { return p.canvas().ball().Dx() }
	near := width()
	p.Click("Make a film")
	p.Click("Add this view")
	p.Eval(`document.querySelector('.stage3d').focus()`, nil)
	for range 4 {
		p.Key("-", 189)
	}
	p.comesTrue("minus moves away", func() bool { return width() < near*3/4 })
	p.Click("Add this view")
	p.Until(`document.querySelectorAll('.own-film li').length === 2`)
	p.Eval(`document.querySelector('[aria-label="Show view 1"]').click()`, nil)
	p.comesTrue("the first view is shown", func() bool { return width() > near*9/10 })
	p.lasting("8") // a browser without a graphics card shows few pictures a second
	p.Click("Play")
	between := false
	p.comesTrue("the camera arrives at the second view", func() bool {
		now := width()
		between = between || now < near*97/100 && now > near*3/4
		return now < near*3/4
	})
	if !between {
		p.t.Error("the camera was nowhere between the views")
	}
	p.Until(`!document.querySelector('.own-film').innerText.includes('Playing')`)
	p.lasting("2")
	p.Click("Record")
	p.Until(`document.querySelector('.own-film video')?.readyState >= 2`)
	var seconds float64
	p.Until(`document.querySelector('.own-film video').duration > 0`)
	p.Eval(`(v => v.duration === Infinity ? new Promise(done => { v.onseeked = () => done(v.currentTime); v.currentTime = 1e6; }) : v.duration)(document.querySelector('.own-film video'))`, &seconds)
	if !(seconds > 1 && seconds < 10) {
		p.t.Errorf("the film of two seconds has %g", seconds)
	}
	p.Eval(`document.querySelector('.own-film video').currentTime = 1`, nil)
	p.comesTrue("the film shows the ball", func() bool { return p.part(".own-film video").ball().Dx() > 60 })
	p.Eval(`window.saved = undefined`, nil)
	p.Click("Save the film")
	p.Until(`window.saved?.name === 'A room.webm'`)
	p.look("film")
}

// picture saves the view, which is the one on the screen, under the capture's name.
func (p *person) picture() {
	p.t.Helper()
	p.Eval(`window.saved = undefined; HTMLAnchorElement.prototype.click = function () { window.saved = {name: this.download, url: this.href}; }`, nil)
	shown := p.canvas()
	p.Eval(`[...document.querySelectorAll('.controls button')].find(e => e.innerText === 'Picture').click()`, nil)
	p.Until(`window.saved`)
	var name, data string
	p.Eval(`window.saved.name`, &name)
	p.Eval(`fetch(window.saved.url).then(a => a.arrayBuffer()).then(b => btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join('')))`, &data)
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		p.t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		p.t.Fatal(err)
	}
	made := shot{img}
	if a, b := shown.ball(), made.ball(); name != "A room.png" || shown.differs(made) || math.Abs(float64(a.Min.X-b.Min.X)) > 3 || math.Abs(float64(a.Max.X-b.Max.X)) > 3 {
		p.t.Errorf("%s shows the ball at %v of %v, the screen at %v of %v", name, b, img.Bounds(), a, shown.Bounds().Sub(shown.Bounds().Min))
	}
}

// box is where an element is in the window.
func (p *person) box(selector string) (b struct{ X, Y, Width, Height float64 }) {
	p.t.Helper()
	p.Eval(fmt.Sprintf(`(e => { e.scrollIntoView({block: 'start'}); const {x, y, width, height} = e.getBoundingClientRect(); return {x, y, width, height} })(document.querySelector(%q))`, selector), &b)
	return b
}

// lasting chooses how many seconds the film takes from one view to the next.
func (p *person) lasting(seconds string) {
	p.Eval(`(s => { s.value = '`+seconds+`'; s.dispatchEvent(new Event('change', {bubbles: true})); })(document.querySelector('.own-film select'))`, nil)
}
