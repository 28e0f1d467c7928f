package trigger_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/pipeline"
)

// TestPreviewIsWhatThereIsToLookAt: nothing at first, the points once the poses are found, the splat while it is trained, the points
// again while nobody works on it, and nothing at the end.
func TestPreviewIsWhatThereIsToLookAt(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	m, manifest := w.complete(w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1}), nil)
	preprocess := w.claim(a.RequestID, pipeline.Preprocess, manifest)
	if p := w.status(a.CallbackToken).Preview; p != nil {
		t.Fatalf("before the poses: %+v", p)
	}
	points := w.put("artifacts", artifacts.Path(a.RequestID, pipeline.Preprocess, preprocess.Fence(), artifacts.Points), "the points")
	m.Outputs = append(m.Outputs, artifacts.Artifact{Kind: artifacts.Points, Object: points}) // as if filter had left them
	m, manifest = w.complete(preprocess, m)
	m, manifest = w.complete(w.claim(a.RequestID, pipeline.Depth, manifest), m)
	train := w.claim(a.RequestID, pipeline.Train, manifest)
	p := w.status(a.CallbackToken).Preview
	if p == nil || p.Kind != "points" || p.Size != points.Size || p.FileName != "points.compressed.ply" || p.Version == "" ||
		!strings.HasPrefix(p.URL, "https://storage.test/artifacts/"+points.Name+"?") || !p.ExpiresAt.Equal(w.now().Add(15*time.Minute)) {
		t.Fatalf("after the poses: %+v", p)
	}

	shown := func(content string) pipeline.Object {
		o := w.put("artifacts", artifacts.Path(a.RequestID, pipeline.Train, train.Fence(), artifacts.Preview), content)
		if err := train.Heartbeat(t.Context(), pipeline.Progress{Stage: pipeline.Train, Step: "training", Percent: 10, Preview: &o}); err != nil {
			t.Fatal(err)
		}
		return o
	}
	first := shown("the splat")
	p = w.status(a.CallbackToken).Preview
	if p == nil || p.Kind != "splat" || p.Size != first.Size || p.FileName != "preview.compressed.ply" || !strings.Contains(p.URL, first.Name) {
		t.Fatalf("while it is trained: %+v", p)
	}
	signed := w.signed
	shown("the splat, grown")
	if grown := w.status(a.CallbackToken).Preview; grown.Version == p.Version || grown.URL != p.URL {
		t.Errorf("a new preview is %+v after %+v", grown, p)
	}
	if w.signed != signed {
		t.Error("a link was signed anew, which the old one serves for")
	}

	if _, err := train.Fail(t.Context(), &pipeline.Failure{Kind: pipeline.Transient, Code: "machine_busy", Message: "No."}); err != nil {
		t.Fatal(err)
	}
	if p := w.status(a.CallbackToken).Preview; p == nil || p.Kind != "points" {
		t.Errorf("between two attempts: %+v", p)
	}
	w.advance(time.Hour)
	leases, err := w.queue.Claim(t.Context(), pipeline.Train, "w", 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	m, manifest = w.complete(leases[0], m)
	w.complete(w.claim(a.RequestID, pipeline.Export, manifest), m)
	if s := w.status(a.CallbackToken); s.Preview != nil || s.Status != pipeline.Completed {
		t.Errorf("at the end: %s, %+v", s.Status, s.Preview)
	}
}

// TestPreviewIsNews for a client that polls: a version and a link that expires soon, and not a link that differs from call to call.
func TestPreviewIsNews(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	lease := w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1})
	show := func(content string) {
		o := w.put("artifacts", artifacts.Path(a.RequestID, pipeline.Filter, lease.Fence(), artifacts.Preview), content)
		if err := lease.Heartbeat(t.Context(), pipeline.Progress{Stage: pipeline.Filter, Preview: &o}); err != nil {
			t.Fatal(err)
		}
	}
	poll := func(tag string) (api.Status, string) {
		t.Helper()
		rec := w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken, "If-None-Match: "+tag)
		if rec.Code == http.StatusNotModified {
			return api.Status{}, tag
		}
		return decode[api.Status](t, rec), rec.Header().Get("ETag")
	}
	show("one")
	_, first := poll("")
	if _, tag := poll(first); tag != first {
		t.Error("nothing is news")
	}
	show("two")
	_, second := poll(first)
	if second == first {
		t.Error("a new version is no news")
	}
	w.advance(14 * time.Minute)
	s, third := poll(second)
	if third == second || !s.Preview.ExpiresAt.After(w.now().Add(7*time.Minute)) {
		t.Errorf("a link that expires is no news: %+v at %v", s.Preview, w.now())
	}
}

// TestPreviewIsNotNeeded: the status is answered where no link can be made.
func TestPreviewIsNotNeeded(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	lease := w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1})
	if err := lease.Heartbeat(t.Context(), pipeline.Progress{Stage: pipeline.Filter, Step: "looking", Preview: &pipeline.Object{Bucket: "artifacts", Name: "x", Generation: 1}}); err != nil {
		t.Fatal(err)
	}
	w.fail("sign", true)
	if s := w.status(a.CallbackToken); s.Preview != nil || s.Progress.Step != "looking" {
		t.Errorf("%+v", s)
	}
}
