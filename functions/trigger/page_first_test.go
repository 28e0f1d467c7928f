package trigger_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/web/chromium"
)

var firstSplat = flag.String("first-splat", "", "a SOG to share, whose first picture is timed")

// TestFirstPictureOfAShare prints how long a guest waits behind a line of 10 Mbit/s with 40 ms, and what comes over it. It asserts no time.
func TestFirstPictureOfAShare(t *testing.T) {
	if *firstSplat == "" {
		t.Skip("times what only an idle machine shows: -first-splat out/splat.sog")
	}
	sog, err := os.ReadFile(*firstSplat)
	if err != nil {
		t.Fatal(err)
	}
	w, address, _ := newPageWorld(t)
	a := w.result(leaving{cloud: quarters(), more: map[artifacts.Kind][]byte{artifacts.SOG: sog}})
	p := &person{t: t, Tab: chromium.Open(t, address, 375, 812, false)}
	p.open(address, a, "First")
	p.Until(`document.querySelector('.share form')`)
	p.Click("Make a link")
	p.Until(`document.querySelector('.made')`)
	var link string
	p.Eval(`document.querySelectorAll('.made input')[0].value`, &link)
	guest := &person{t: t, Tab: chromium.Open(t, address+"/icon.svg", 375, 812, false)} // of which nothing is kept
	guest.Throttle(10e6/8, 40)
	began := time.Now()
	guest.Go(link)
	guest.Until(`document.querySelector('.viewer.loaded')`)
	took := time.Since(began)
	var loaded []struct {
		Name  string
		Bytes float64
	}
	guest.Eval(`[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(e => ({Name: e.name.split('?')[0], Bytes: e.encodedBodySize}))`, &loaded)
	page := 0.0
	for _, l := range loaded {
		if strings.HasPrefix(l.Name, address) {
			page += l.Bytes
		}
	}
	fmt.Printf("first picture after %.2f s; page and viewer %.0f bytes, splat %d: at least %.2f s on the line\n", took.Seconds(), page, len(sog), (page+float64(len(sog)))*8/10e6)
	for _, fault := range guest.Faults() {
		if !strings.Contains(fault, "net::ERR_") {
			t.Errorf("console: %s", fault)
		}
	}
}
