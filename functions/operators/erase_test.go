package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// traceOf lists every object of every bucket that has a request's id in its name, or that or the caller in its content.
func (w *world) traceOf(words ...string) (found []string) {
	w.t.Helper()
	buckets := []string{"artifacts"}
	for _, s := range pipeline.Stages() {
		buckets = append(buckets, "inbox-"+string(s))
	}
	for _, bucket := range buckets {
		for o, err := range w.store.List(w.t.Context(), bucket, "") {
			if err != nil {
				w.t.Fatal(err)
			}
			r, err := w.store.Open(w.t.Context(), o)
			if err != nil {
				w.t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				w.t.Fatal(err)
			}
			for _, word := range words {
				if strings.Contains(o.Name, word) || strings.Contains(string(body), word) {
					found = append(found, o.Bucket+"/"+o.Name)
					break
				}
			}
		}
	}
	return found
}

// ofCaller makes a request of a caller: its record is in the bucket and the queue knows it.
func (w *world) ofCaller(session, caller string) pipeline.Request {
	w.t.Helper()
	r := w.submit(session, 0)
	if err := errors.Join(w.queue.Cancel(w.t.Context(), r.ID), w.queue.Forget(w.t.Context(), r.ID)); err != nil {
		w.t.Fatal(err)
	}
	r.Caller = caller
	if err := w.queue.Submit(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	if _, err := artifacts.PutJSON(w.t.Context(), w.store, "artifacts", artifacts.RequestName(r.ID), r, artifacts.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
	for name, content := range map[string]string{artifacts.WebhookTargetName(r.ID): `{"url":"https://app.example/hook"}`, artifacts.ShareName(r.ID, "s"): `{}`,
		artifacts.NotesName(r.ID): `{"notes":[]}`} {
		if _, err := w.store.Put(w.t.Context(), "artifacts", name, strings.NewReader(content), artifacts.PutOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	return r
}

type purgeAnswer struct{ Requests, Objects, Active, Waiting int }

// TestACallerIsErased: all that a tenant left goes from every bucket and from the queue, what is at work only when it was canceled and its
// worker has stopped writing; nothing of another tenant goes. Listings before and after say so.
func TestACallerIsErased(t *testing.T) {
	w := newWorld(t)
	app, other := "key:app", "key:other"
	done, active, spared := w.ofCaller("done", app), w.ofCaller("active", app), w.ofCaller("spared", other)
	w.finish(done.ID)
	w.finish(spared.ID)
	w.time = w.time.Add(time.Hour)
	before := map[string][]string{}
	for _, r := range []pipeline.Request{done, active, spared} {
		if before[r.ID] = w.traceOf(r.ID, r.TokenHash); len(before[r.ID]) < 3 {
			t.Fatalf("%v", before[r.ID])
		}
	}
	erase := func(body string, want purgeAnswer) {
		t.Helper()
		rec := w.call("POST", "/purge", body)
		var got purgeAnswer
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 {
			t.Fatalf("%s: %d %s", body, rec.Code, rec.Body)
		}
		if got.Objects = 0; got != want {
			t.Errorf("%s: %s, want %+v", body, rec.Body, want)
		}
	}
	erase(`{"caller":"key:app","dry_run":true}`, purgeAnswer{Requests: 1, Active: 1})
	erase(`{"caller":"key:app","cancel":true,"dry_run":true}`, purgeAnswer{Requests: 1, Waiting: 1})
	if state, err := w.queue.Lookup(t.Context(), active.ID); err != nil || state.Status.Terminal() || len(w.traceOf(done.ID)) != len(before[done.ID]) {
		t.Fatalf("a dry run changed something: %+v %v", state, err)
	}
	erase(`{"caller":"key:app","cancel":true}`, purgeAnswer{Requests: 1, Waiting: 1})
	if len(w.ended) != 1 || len(w.traceOf(active.ID)) == 0 {
		t.Errorf("%d announced", len(w.ended))
	}
	w.time = w.time.Add(3 * time.Minute)
	erase(`{"caller":"key:app"}`, purgeAnswer{Requests: 1})
	erase(`{"caller":"key:app"}`, purgeAnswer{})
	for _, r := range []pipeline.Request{done, active} {
		if left := w.traceOf(r.ID, r.TokenHash, r.SessionID+`"`); len(left) != 0 {
			t.Errorf("left of %s: %v, before %v", r.SessionID, left, before[r.ID])
		}
		_, err := w.queue.Lookup(t.Context(), r.ID)
		_, tokenErr := w.queue.LookupToken(t.Context(), r.TokenHash)
		if !errors.Is(err, queue.ErrNotFound) || !errors.Is(tokenErr, queue.ErrNotFound) {
			t.Errorf("the queue knows %s: %v %v", r.SessionID, err, tokenErr)
		}
	}
	if left := w.traceOf(app); len(left) != 0 {
		t.Errorf("the caller is in %v", left)
	}
	if left := w.traceOf(spared.ID, spared.TokenHash); len(left) != len(before[spared.ID]) {
		t.Errorf("of another caller %v are left of %v", left, before[spared.ID])
	}
}

// TestOneRequestIsErased by its id, at once when it ended some minutes ago.
func TestOneRequestIsErased(t *testing.T) {
	w := newWorld(t)
	gone, stays := w.submit("gone", 0), w.submit("stays", 0)
	w.finish(gone.ID)
	w.finish(stays.ID)
	for body, code := range map[string]string{`{"request_id":"../x"}`: "invalid_request_id", `{"cancel":true,"older_than_s":86400}`: "invalid_cancel",
		`{"request_id":"` + gone.ID + `","older_than_s":1}`: "invalid_age", `{"caller":"x","older_than_s":-1}`: "invalid_age"} {
		w.refused("POST", "/purge", body, 400, code)
	}
	ask := `{"request_id":"` + gone.ID + `"}`
	if got := get[purgeAnswer](w, "POST", "/purge", ask, 200); got.Waiting != 1 || got.Requests != 0 {
		t.Errorf("it ended just now: %+v", got)
	}
	w.time = w.time.Add(3 * time.Minute)
	if got := get[purgeAnswer](w, "POST", "/purge", `{"request_id":"`+gone.ID+`","caller":"key:nobody"}`, 200); got != (purgeAnswer{}) {
		t.Errorf("of another caller: %+v", got)
	}
	if got := get[purgeAnswer](w, "POST", "/purge", ask, 200); got.Requests != 1 {
		t.Errorf("%+v", got)
	}
	if left := w.traceOf(gone.ID); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if state, err := w.queue.Lookup(context.Background(), stays.ID); err != nil || state.Status != pipeline.Completed || len(w.traceOf(stays.ID)) == 0 {
		t.Errorf("the other one: %+v %v", state, err)
	}
}
