package trigger_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/web/chromium"
)

// TestPageShowsTheSplatGrow: the points first, then each version of the splat in the place of the one before, then the result, seen from
// where the person has turned to.
func TestPageShowsTheSplatGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	a := w.trigger("s")
	m, manifest := w.complete(w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1}), nil)
	preprocess := w.claim(a.RequestID, pipeline.Preprocess, manifest)
	points := w.putCloud(artifacts.Path(a.RequestID, pipeline.Preprocess, preprocess.Fence(), artifacts.Points), halfBall(0))
	m.Outputs = append(m.Outputs, artifacts.Artifact{Kind: artifacts.Points, Object: points}) // as if filter had left them
	m, manifest = w.complete(preprocess, m)
	m, manifest = w.complete(w.claim(a.RequestID, pipeline.Depth, manifest), m)
	train := w.claim(a.RequestID, pipeline.Train, manifest)

	tab := chromium.Open(t, address, 375, 812, false)
	p := &person{t: t, Tab: tab}
	tab.Eval(fmt.Sprintf(`localStorage.setItem('splatworks.captures', JSON.stringify([{id: %q, token: %q, title: 'A place', created: new Date().toISOString(), options: {}, parts: [], several: false, uploaded: true}]))`, a.RequestID, a.CallbackToken), nil)
	tab.Go(address + "/#/c/" + a.RequestID)
	tab.Until(`document.querySelector('.viewer.loaded') && document.querySelector('.sofar').innerText.includes('points')`)
	tab.Eval(`document.querySelector('.stage3d').focus()`, nil)
	before := p.canvas().white()
	for range 3 {
		p.Key("ArrowRight", 39)
	}
	p.comesTrue("the arrow keys turn the points", func() bool { return math.Abs(p.canvas().white()-before) > 0.05 })
	p.settled()
	p.look("points")
	turned := p.canvas().white()

	for version := range 4 {
		w.show(train, a.RequestID, version)
		channel := version % 3
		p.comesTrue(fmt.Sprintf("version %d is on the screen", version), func() bool { return p.canvas().mostly(channel) })
		if now := p.canvas().white(); !(math.Abs(now-turned) < 0.03) {
			t.Errorf("version %d shows its white side by %.3f, the view before by %.3f", version, now, turned)
		}
	}
	tab.Until(`document.querySelector('.sofar').innerText.includes('So far')`)
	p.look("growing")
	var scenes int
	tab.Eval(`document.querySelectorAll('.stage3d canvas').length`, &scenes)
	if scenes != 1 {
		t.Errorf("%d canvases", scenes)
	}

	// The stage has ended, and what it showed is gone: the last one stays.
	gone := pipeline.Object{Bucket: "artifacts", Name: artifacts.Path(a.RequestID, pipeline.Train, train.Fence(), artifacts.Preview)}
	if err := w.artifacts.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	m, _ = w.complete(train, m)
	tab.Until(`document.body.innerText.includes('waiting for a worker')`)
	if !p.canvas().mostly(0) {
		t.Error("the last one is not shown any more")
	}

	// The result is another viewer's, of another format, and looked at from the same place. Reset leads to the first view.
	w.leaveSplat(a.RequestID, m, leaving{cloud: halfBall(1)})
	tab.Until(`document.querySelector('.viewer.loaded') && document.querySelector('.facts')`)
	p.comesTrue("the result is on the screen", func() bool { return p.canvas().mostly(1) })
	p.settled()
	if now := p.canvas().white(); !(math.Abs(now-turned) < 0.03) {
		t.Errorf("the result shows its white side by %.3f, the view before by %.3f", now, turned)
	}
	tab.Click("Reset")
	p.comesTrue("the view is reset", func() bool { return math.Abs(p.canvas().white()-before) < 0.03 })
	for _, fault := range tab.Faults() {
		t.Errorf("console: %s", fault)
	}
}

// putCloud stores a compressed PLY.
func (w *world) putCloud(name string, c *splat.Cloud) pipeline.Object {
	w.t.Helper()
	var b bytes.Buffer
	if err := c.WriteCompressedPLY(&b); err != nil {
		w.t.Fatal(err)
	}
	return w.put("artifacts", name, b.String())
}

// show replaces the preview as a worker does.
func (w *world) show(lease queue.Lease, id string, version int) {
	w.t.Helper()
	o := w.putCloud(artifacts.Path(id, pipeline.Train, lease.Fence(), artifacts.Preview), halfBall(version%3))
	if err := lease.Heartbeat(w.t.Context(), pipeline.Progress{Stage: pipeline.Train, Step: "training", Percent: 10 + float64(version), Preview: &o}); err != nil {
		w.t.Fatal(err)
	}
}

// halfBall is a ball around the origin, white on the side to the left of the first camera and of one channel's colour on the other.
func halfBall(channel int) *splat.Cloud {
	c := quarters()
	rng := rand.New(rand.NewPCG(3, uint64(channel)))
	for i := range c.Len() {
		for k := range 3 {
			c.DC[3*i+k] = 1.7
			if c.Means[3*i] > 0 && k != channel {
				c.DC[3*i+k] = -1.7
			}
		}
		c.Opacities[i] = 4 + rng.Float32() // another file each time
	}
	return c
}

// white is the share of white pixels in the left half of what is shown, of all that is not ground.
func (s shot) white() float64 {
	white, coloured := 0, 0
	s.each(func(v [3]float64) {
		if v[0] > 150 && v[1] > 150 && v[2] > 150 {
			white++
		} else if max(v[0], v[1], v[2])-min(v[0], v[1], v[2]) > 60 {
			coloured++
		}
	})
	return float64(white) / float64(max(1, white+coloured))
}

// mostly says whether the coloured pixels are of one channel.
func (s shot) mostly(channel int) bool {
	counts := [3]int{}
	s.each(func(v [3]float64) {
		for k := range v {
			if v[k]-min(v[0], v[1], v[2]) > 60 && v[k] == max(v[0], v[1], v[2]) {
				counts[k]++
			}
		}
	})
	return counts[channel] > 500 && counts[channel] > 10*(counts[0]+counts[1]+counts[2]-counts[channel])
}

// each calls f with every pixel of the middle, which no control covers.
func (s shot) each(f func([3]float64)) {
	b := s.Bounds()
	for y := b.Min.Y + b.Dy()/6; y < b.Max.Y-b.Dy()/4; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := s.At(x, y).RGBA()
			f([3]float64{float64(r >> 8), float64(g >> 8), float64(bl >> 8)})
		}
	}
}

// comesTrue looks at the page until something holds.
func (p *person) comesTrue(what string, holds func() bool) {
	p.t.Helper()
	for range 150 {
		if holds() {
			return
		}
		p.Eval(`new Promise(done => setTimeout(done, 50))`, nil)
	}
	p.t.Fatalf("%s: it does not. The console says:\n%s", what, strings.Join(p.Faults(), "\n"))
}

// settled waits until the view has come to rest.
func (p *person) settled() {
	p.t.Helper()
	last := -1.0
	p.comesTrue("the view comes to rest", func() bool {
		now := p.canvas().white()
		rests := now == last
		last = now
		return rests
	})
}
