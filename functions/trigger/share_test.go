package trigger_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

func withPage(c *trigger.Config) { c.Page = true }

func bearer(token string) string { return "Authorization: Bearer " + token }

func (w *world) share(token, body string) api.Share {
	w.t.Helper()
	rec := w.call("POST", "/shares", body, bearer(token))
	if rec.Code != http.StatusCreated || rec.Header().Get("Cache-Control") != "no-store" {
		w.t.Fatalf("share: %d %s", rec.Code, rec.Body)
	}
	return decode[api.Share](w.t, rec)
}

// shown ends a request with everything that a page shows.
func (w *world) shown(session string) api.Accepted {
	w.t.Helper()
	a := w.trigger(session)
	input := pipeline.Object{Bucket: "inbox-filter", Name: artifacts.UploadName(a.RequestID, "input"), Generation: 1, Size: 1}
	var m *artifacts.Manifest
	for stage := pipeline.First(); stage != pipeline.Export; stage, _ = stage.Next() {
		m, input = w.complete(w.claim(a.RequestID, stage, input), m)
	}
	w.leave(a.RequestID, m)
	return a
}

func TestShareShowsTheResultAndNothingElse(t *testing.T) {
	w := newWorld(t, withPage)
	owner := w.shown("secret-name")
	share := w.share(owner.CallbackToken, `{"title":"The kitchen"}`)
	if _, ok := pipeline.SharedRequest(share.ShareToken); !ok || share.URL != "http://example.com/s?"+share.ShareToken || !share.ExpiresAt.IsZero() {
		t.Errorf("%+v", share)
	}

	rec := w.call("GET", "/shared", "", bearer(share.ShareToken))
	shown := decode[api.Shared](t, rec)
	if shown.Title != "The kitchen" || len(shown.Results) == 0 || strings.Contains(rec.Body.String(), "secret-name") {
		t.Errorf("%s", rec.Body)
	}
	all := w.status(owner.CallbackToken).Results
	own := map[artifacts.Kind]bool{artifacts.Scene: true, artifacts.SparseModel: true, artifacts.ContactSheet: true, artifacts.Comparison: true, artifacts.CaptureReport: true,
		artifacts.Cameras: true, artifacts.DepthGrid: true, artifacts.Pairs: true}
	if !hasKind(all, string(artifacts.Pairs)) {
		t.Fatal("the result has no pairs")
	}
	for _, r := range all {
		if found := hasKind(shown.Results, r.Kind); found == own[artifacts.Kind(r.Kind)] {
			t.Errorf("%s is shown: %v", r.Kind, found)
		}
	}

	// One that is asked for with photographs shows the pairs, and nothing else of the client's.
	open := w.share(owner.CallbackToken, `{"photos":true}`)
	with := decode[api.Shared](t, w.call("GET", "/shared", "", bearer(open.ShareToken))).Results
	if !open.Photos || !hasKind(with, string(artifacts.Pairs)) || len(with) != len(shown.Results)+1 {
		t.Errorf("with photographs: %+v", with)
	}

	// The token of a share is good for nothing else, and others open nothing.
	for _, call := range [][2]string{{"GET", "/status"}, {"GET", "/events"}, {"POST", "/cancel"}, {"GET", "/result/splat"}, {"GET", "/shares"}, {"POST", "/shares"}, {"DELETE", "/shares/" + share.ShareID}} {
		if rec := w.call(call[0], call[1], "", bearer(share.ShareToken)); rec.Code != http.StatusNotFound {
			t.Errorf("%s %s by the token of a share: %d %s", call[0], call[1], rec.Code, rec.Body)
		}
	}
	last := share.ShareToken[len(share.ShareToken)-1:]
	other := share.ShareToken[:len(share.ShareToken)-1] + map[bool]string{true: "1", false: "0"}[last == "0"]
	for _, token := range []string{owner.CallbackToken, other, share.ShareID, "x", owner.RequestID + strings.Repeat("/", 32), strings.ToUpper(share.ShareToken)} {
		if rec := w.call("GET", "/shared", "", bearer(token)); rec.Code != http.StatusNotFound {
			t.Errorf("%q: %d %s", token, rec.Code, rec.Body)
		}
	}
}

func hasKind(results []api.Result, kind string) bool {
	for _, r := range results {
		if r.Kind == kind {
			return true
		}
	}
	return false
}

func TestShareEnds(t *testing.T) {
	w := newWorld(t)
	owner, other := w.trigger("a"), w.trigger("b")
	w.finish(owner.RequestID)
	w.finish(other.RequestID)
	kept, brief := w.share(owner.CallbackToken, ""), w.share(owner.CallbackToken, `{"expires_in_s":3600}`)
	if kept.URL != "" || brief.ExpiresAt.Sub(brief.CreatedAt) != time.Hour {
		t.Errorf("%+v, %+v", kept, brief)
	}
	opens := func(s api.Share, want int, code string) {
		t.Helper()
		if rec := w.call("GET", "/shared", "", bearer(s.ShareToken)); rec.Code != want || !strings.Contains(rec.Body.String(), code) {
			t.Errorf("%d %s, not %d %s", rec.Code, rec.Body, want, code)
		}
	}
	opens(brief, http.StatusOK, "results")
	first := decode[api.Shared](t, w.call("GET", "/shared", "", bearer(kept.ShareToken)))
	w.advance(time.Hour)
	opens(brief, http.StatusGone, "share_expired")
	if again := decode[api.Shared](t, w.call("GET", "/shared", "", bearer(kept.ShareToken))); again.Results[0].URL == first.Results[0].URL {
		t.Error("the links of a share are not renewed")
	}

	listed := w.call("GET", "/shares", "", bearer(owner.CallbackToken))
	if shares := decode[api.Shares](t, listed).Shares; len(shares) != 2 || strings.Contains(listed.Body.String(), kept.ShareToken) {
		t.Errorf("%s", listed.Body)
	}
	revoke := func(owner api.Accepted, id string, want int) {
		t.Helper()
		if rec := w.call("DELETE", "/shares/"+id, "", bearer(owner.CallbackToken)); rec.Code != want {
			t.Errorf("revoke: %d %s, not %d", rec.Code, rec.Body, want)
		}
	}
	revoke(other, kept.ShareID, http.StatusNotFound)
	revoke(owner, "..x", http.StatusNotFound)
	opens(kept, http.StatusOK, "results")
	revoke(owner, kept.ShareID, http.StatusNoContent)
	revoke(owner, kept.ShareID, http.StatusNotFound)
	opens(kept, http.StatusNotFound, "unknown_share")

	third := w.share(owner.CallbackToken, "")
	w.delete(owner.RequestID)
	w.advance(time.Hour) // what was read is forgotten
	opens(third, http.StatusGone, "results_deleted")
}

func TestSharesAreFew(t *testing.T) {
	w := newWorld(t)
	owner := w.trigger("a")
	w.finish(owner.RequestID)
	for range 20 {
		w.share(owner.CallbackToken, "")
	}
	if rec := w.call("POST", "/shares", "", bearer(owner.CallbackToken)); rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), "too_many_shares") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// What messengers read is text, whatever the title: nothing runs, and the token is in no path, which would be logged.
func TestAddressOfAShare(t *testing.T) {
	w := newWorld(t, withPage)
	owner := w.shown("a")
	const title = `</title><script>alert(1)</script>`
	share := w.share(owner.CallbackToken, `{"title":"`+title+`"}`)
	rec := w.call("GET", "/s?"+share.ShareToken, "")
	page := rec.Body.String()
	if rec.Code != 200 || strings.Contains(page, "<script") || !strings.Contains(page, `url=/#/s/`+share.ShareToken+`"`) ||
		!strings.Contains(page, `property="og:image" content="http://example.com/s/picture.jpg?`+share.ShareToken+`"`) || rec.Header().Get("Content-Security-Policy") != "default-src 'none'" || rec.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v\n%s", rec.Code, rec.Header(), page)
	}
	if rec := w.call("GET", "/s/picture.jpg?"+share.ShareToken, ""); rec.Code != http.StatusFound || !strings.Contains(rec.Header().Get("Location"), "thumbnail.jpg") {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	for _, query := range []string{"", "x", `"><script>alert(1)</script>`, "%22%3E%3Cscript%3E"} {
		r := httptest.NewRequest("GET", "/s", nil)
		r.URL.RawQuery = query
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if page := rec.Body.String(); rec.Code != 200 || strings.Contains(page, "<script") || strings.Contains(page, "og:") || !regexp.MustCompile(`url=/#/s/[^"<>]*"`).MatchString(page) {
			t.Errorf("%q: %d\n%s", query, rec.Code, page)
		}
	}
	if rec := w.call("GET", "/s/picture.jpg?x", ""); rec.Code != http.StatusNotFound {
		t.Errorf("picture of nothing: %d", rec.Code)
	}
	if strings.Contains(w.log.String(), share.ShareToken) {
		t.Error("the token of a share is in the log")
	}
	if rec := newWorld(t).call("GET", "/s?"+share.ShareToken, ""); rec.Code != http.StatusNotFound {
		t.Errorf("without a page: %d", rec.Code)
	}
}

// checkShares gets every answer about shares.
func checkShares(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, withPage, func(c *trigger.Config) {
		c.Changes = brokenChanges{ratelimittest.NewMemory(ratelimit.Limit{Calls: 30, Window: time.Minute}, c.Now), c.Limiter.(brokenLimiter).w}
	})
	owner, waiting := w.trigger("a"), w.trigger("b")
	w.finish(owner.RequestID)
	call := func(method, path, token, body string, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		if token != "" {
			headers = append(headers, bearer(token))
		}
		rec := w.call(method, path, body, headers...)
		operation := method + " " + path
		if strings.HasPrefix(path, "/shares/") {
			operation = method + " /shares/{share_id}"
		}
		check(operation, rec)
		return rec
	}
	for _, body := range []string{`{`, `{"x":1}`, `{"expires_in_s":-1}`, `{"title":"` + strings.Repeat("x", 201) + `"}`, `{"title":"` + strings.Repeat("x", 70_000) + `"}`} {
		call("POST", "/shares", owner.CallbackToken, body)
	}
	call("POST", "/shares", owner.CallbackToken, `{}`, "Content-Type: text/plain")
	call("POST", "/shares", waiting.CallbackToken, "")
	share := decode[api.Share](t, call("POST", "/shares", owner.CallbackToken, `{"title":"t","expires_in_s":60}`))
	for method, path := range map[string]string{"POST": "/shares", "GET": "/shares", "DELETE": "/shares/" + share.ShareID} {
		call(method, path, "", "")
		call(method, path, "x", "")
		for broken, part := range map[string]string{"lookup": "", "changes": "", "list": "POST GET", "put": "POST", "open": "GET", "stat": "DELETE"} {
			if part == "" || strings.Contains(part, method) {
				w.fail(broken, true)
				if rec := call(method, path, owner.CallbackToken, ""); rec.Code != http.StatusServiceUnavailable {
					t.Errorf("%s without %s: %d", method, broken, rec.Code)
				}
				w.fail(broken, false)
			}
		}
	}
	call("GET", "/shares", owner.CallbackToken, "")
	call("GET", "/shared", "", "")
	call("GET", "/shared", "x", "")
	call("GET", "/shared", share.ShareToken, "")
	w.fail("open", true)
	call("GET", "/shared", share.ShareToken, "")
	w.fail("open", false)
	w.advance(2 * time.Minute)
	call("GET", "/shared", share.ShareToken, "")
	call("DELETE", "/shares/"+share.ShareID, owner.CallbackToken, "")
	call("DELETE", "/shares/"+share.ShareID, owner.CallbackToken, "")
	for range 19 {
		w.share(owner.CallbackToken, "")
	}
	deleted := w.share(owner.CallbackToken, "")
	call("POST", "/shares", owner.CallbackToken, "")
	w.delete(owner.RequestID)
	w.advance(time.Hour)
	call("GET", "/shared", deleted.ShareToken, "")
	for range 31 {
		w.call("GET", "/shares", "", bearer(owner.CallbackToken))
	}
	for method, path := range map[string]string{"POST": "/shares", "GET": "/shares", "DELETE": "/shares/" + share.ShareID} {
		call(method, path, owner.CallbackToken, "")
	}
}

// A person at this machine and one who was sent the link reach the storage by different addresses.
func TestLinksFollowTheirCaller(t *testing.T) {
	w := newWorld(t)
	owner := w.shown("a")
	share := w.share(owner.CallbackToken, "")
	signedBy := func(headers ...string) int {
		before := w.signed
		if rec := w.call("GET", "/shared", "", append(headers, bearer(share.ShareToken))...); rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return w.signed - before
	}
	if first, again, elsewhere := signedBy(), signedBy(), signedBy("X-Forwarded-Proto: https"); first == 0 || again != 0 || elsewhere != first {
		t.Errorf("links signed: %d, %d, from elsewhere %d", first, again, elsewhere)
	}
}
