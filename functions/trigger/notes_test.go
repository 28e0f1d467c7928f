package trigger_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
)

func noted(text string, position ...float64) api.Note {
	return api.Note{Position: position, Text: text}
}

// putNotes replaces the notes of a version.
func (w *world) putNotes(token string, want int, version string, notes ...api.Note) api.Notes {
	w.t.Helper()
	body, err := json.Marshal(api.Notes{Notes: append([]api.Note{}, notes...), Version: version})
	if err != nil {
		w.t.Fatal(err)
	}
	rec := w.call("PUT", "/notes", string(body), bearer(token), "Content-Type: application/json")
	if rec.Code != want {
		w.t.Fatalf("put notes: %d %s, not %d", rec.Code, rec.Body, want)
	}
	if want != http.StatusOK {
		return api.Notes{}
	}
	return decode[api.Notes](w.t, rec)
}

func TestNotesAreTheHoldersToChangeAndTheGuestsToRead(t *testing.T) {
	w := newWorld(t)
	owner, other := w.trigger("a"), w.trigger("b")
	w.putNotes(owner.CallbackToken, http.StatusConflict, "", noted("too early", 0, 0, 0))
	w.finish(owner.RequestID)
	w.finish(other.RequestID)
	read := func(token string) api.Notes {
		t.Helper()
		return decode[api.Notes](t, w.call("GET", "/notes", "", bearer(token)))
	}
	if n := read(owner.CallbackToken); n.Notes == nil || len(n.Notes) != 0 || n.Version != "" {
		t.Errorf("before any: %+v", n)
	}
	oven, window := noted("The oven "+hostile, 0.1, -0.2, 0.5), noted("A window\nto the yard", 1, 2, 3)
	first := w.putNotes(owner.CallbackToken, http.StatusOK, "", oven)
	w.putNotes(owner.CallbackToken, http.StatusConflict, "", window) // it has not read the first
	second := w.putNotes(owner.CallbackToken, http.StatusOK, first.Version, oven, window)
	w.putNotes(owner.CallbackToken, http.StatusConflict, first.Version)

	same := func(got []api.Note, want ...api.Note) bool {
		return slices.EqualFunc(got, want, func(a, b api.Note) bool { return a.Text == b.Text && slices.Equal(a.Position, b.Position) })
	}
	if n := read(owner.CallbackToken); !same(n.Notes, oven, window) || n.Version != second.Version || n.Version == first.Version {
		t.Errorf("%+v after %+v", n, second)
	}
	share := w.share(owner.CallbackToken, "")
	if shown := decode[api.Shared](t, w.call("GET", "/shared", "", bearer(share.ShareToken))); !same(shown.Notes, oven, window) {
		t.Errorf("a guest reads %+v", shown.Notes)
	}
	for _, method := range []string{"GET", "PUT"} {
		if rec := w.call(method, "/notes", `{"notes":[]}`, bearer(share.ShareToken), "Content-Type: application/json"); rec.Code != http.StatusNotFound {
			t.Errorf("%s by a guest: %d %s", method, rec.Code, rec.Body)
		}
	}
	if n := read(other.CallbackToken); len(n.Notes) != 0 {
		t.Errorf("another request has %+v", n)
	}
	w.putNotes(owner.CallbackToken, http.StatusOK, second.Version)
	if shown := decode[api.Shared](t, w.call("GET", "/shared", "", bearer(share.ShareToken))); len(shown.Notes) != 0 {
		t.Errorf("deleted notes are shared: %+v", shown.Notes)
	}
}

func TestNotesAreBounded(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("a")
	w.finish(a.RequestID)
	full := make([]api.Note, 50)
	for i := range full {
		full[i] = noted(strings.Repeat("\u2713", 166), 1e6, 0, -1e6)
	}
	w.putNotes(a.CallbackToken, http.StatusBadRequest, "", append(full, full[0])...)
	for _, bad := range []api.Note{noted(" \n", 0, 0, 0), noted(strings.Repeat("x", 501), 0, 0, 0), noted("a\x00b", 0, 0, 0), noted("a\u200bb\u009b", 0, 0, 0),
		noted("x", 0, 0), noted("x", 0, 0, 0, 0), noted("x", 0, 0, 1.1e6)} {
		w.putNotes(a.CallbackToken, http.StatusBadRequest, "", bad)
	}
	w.putNotes(a.CallbackToken, http.StatusOK, "", full...)
}

// checkNotes gets every answer of the two operations for notes.
func checkNotes(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, func(c *trigger.Config) {
		c.Changes = brokenChanges{ratelimittest.NewMemory(ratelimit.Limit{Calls: 20, Window: time.Minute}, c.Now), c.Limiter.(brokenLimiter).w}
	})
	owner, waiting := w.trigger("a"), w.trigger("b")
	w.finish(owner.RequestID)
	call := func(method, token, body string, headers ...string) int {
		t.Helper()
		headers = append([]string{"Content-Type: application/json"}, headers...)
		if token != "" {
			headers = append(headers, bearer(token))
		}
		rec := w.call(method, "/notes", body, headers...)
		check(method+" /notes", rec)
		return rec.Code
	}
	note := `{"notes":[{"position":[0,0,1],"text":"a"}]}`
	for _, body := range []string{`{`, `{"x":1}`, `{"notes":[{"position":[],"text":"a"}]}`, `{"notes":[{"position":[0,0,1],"text":"` + strings.Repeat("x", 70_000) + `"}]}`} {
		call("PUT", owner.CallbackToken, body)
	}
	call("PUT", owner.CallbackToken, note, "Content-Type: text/plain")
	call("PUT", waiting.CallbackToken, note)
	call("PUT", owner.CallbackToken, note)
	call("PUT", owner.CallbackToken, note)
	for _, method := range []string{"GET", "PUT"} {
		call(method, "", note)
		call(method, "x", note)
		for _, broken := range []string{"lookup", "changes", "stat", "open"} {
			w.fail(broken, true)
			if code := call(method, owner.CallbackToken, note); code != http.StatusServiceUnavailable {
				t.Errorf("%s without %s: %d", method, broken, code)
			}
			w.fail(broken, false)
		}
		call(method, owner.CallbackToken, note)
	}
	for range 20 {
		w.call("GET", "/notes", "", bearer(owner.CallbackToken))
	}
	call("GET", owner.CallbackToken, "")
	call("PUT", owner.CallbackToken, note)
}
