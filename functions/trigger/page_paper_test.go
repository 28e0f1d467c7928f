package trigger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/web/chromium"
)

// TestPageSaysTimeAndCost before the start, as the API estimates them after four captures that finished here.
func TestPageSaysTimeAndCost(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	for _, session := range []string{"a", "b", "c", "d"} {
		w.took = 300
		w.finish(decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`)).RequestID)
	}
	w.advance(time.Hour)
	photos := make([]string, 40)
	for i := range photos {
		photos[i] = filepath.Join(t.TempDir(), fmt.Sprintf("%d.jpg", i))
		if err := os.WriteFile(photos[i], picture(64, 48), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tab := chromium.Open(t, address, 375, 812, false)
	tab.Choose("input[type=file]", photos...)
	tab.Until(`document.querySelector('.estimate')?.innerText.includes('Learned from 4 captures that finished here.')`)
	var text string
	tab.Eval(`document.querySelector('.estimate').innerText`, &text)
	e := w.estimate(`{"images":40,"options":{"preset":"standard"}}`)
	for _, want := range []string{fmt.Sprintf("About %.0f minutes after the upload, for %.2f USD.", e.Seconds.Likely/60, e.CostUSD.Likely),
		fmt.Sprintf("and cost between %.2f and %.2f USD.", e.CostUSD.Low, e.CostUSD.High)} {
		if !strings.Contains(text, want) {
			t.Errorf("the page says %q, the API %+v for %+v USD", text, e.Seconds, *e.CostUSD)
		}
	}
	(&person{t: t, Tab: tab}).look("cost")
}

// TestReportPrints: on paper there is the report alone, and nothing is cut off.
func TestReportPrints(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	p := &person{t: t, Tab: chromium.Open(t, address, 1440, 900, true)}
	p.open(address, w.result(leaving{cloud: quarters()}), "A place")
	p.Eval(`location.hash += '/report'`, nil)
	p.Until(`document.querySelector('.tiles') && [...document.images].every(i => i.complete)`)
	pdf := p.Paper()
	var shown []string
	p.Eval(`[...document.querySelectorAll('nav, footer, button, .no-print')].filter(e => e.getClientRects().length).map(e => e.outerHTML)`, &shown)
	if len(shown) > 0 {
		t.Errorf("on paper there are %v", shown)
	}
	var cut []string
	p.Eval(`[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth || getComputedStyle(e).overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))`, &cut)
	if len(cut) > 0 {
		t.Errorf("cut off on paper: %v", cut)
	}
	if *screenshots != "" {
		if err := os.WriteFile(filepath.Join(*screenshots, "report.pdf"), pdf, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, "report-paper.png"), p.Screenshot(true), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
