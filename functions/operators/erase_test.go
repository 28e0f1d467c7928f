package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
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
	for name, content := range map[string]string{artifacts.WebhookTargetName(r.ID): `{"url":"https://app.example/hook"}`,
		artifacts.MailTargetName(r.ID): `{"address":"ada@` + session + `.example"}`, artifacts.ShareName(r.ID, "s"): `{}`,
		artifacts.NotesName(r.ID): `{"notes":[]}`} {
		if _, err := w.store.Put(w.t.Context(), "artifacts", name, strings.NewReader(content), artifacts.PutOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	return r
}

type purgeAnswer struct {
	Requests, Objects, Active, Waiting, Keys int
	KeysLeft                                 int `json:"keys_left"`
}

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

// TestATenantIsDeleted: listings before and after show that every object, key and address of a tenant goes, those of a submission that died
// without a record, too; that a key opens nothing before the last request is deleted; and that nothing of a tenant with a name that begins
// alike goes.
func TestATenantIsDeleted(t *testing.T) {
	w := newWorld(t)
	done, active, died := w.ofCaller("done", "key:app"), w.ofCaller("active", "key:app"), w.ofCaller("died", "key:app")
	spared := w.ofCaller("spared", "key:app2")
	w.finish(done.ID)
	w.finish(spared.ID)
	if err := w.store.Delete(t.Context(), pipeline.Object{Bucket: "artifacts", Name: artifacts.RequestName(died.ID)}); err != nil {
		t.Fatal(err)
	}
	ring := tenant.NewRing(nil, tenant.Register{Store: w.store, Bucket: "artifacts"}, w.now, w.service.Log)
	var secret string
	for _, name := range []string{"app", "app", "app2"} {
		secret = get[addedKey](w, "POST", "/keys", `{"name":"`+name+`"}`, 201).Secret
		if _, err := ring.Caller(t.Context(), secret, tenant.Submit); err != nil {
			t.Fatal(err)
		}
		w.time = w.time.Add(time.Minute)
	}
	words := []string{done.ID, active.ID, died.ID, "key:app\"", "keys/app/", "key-use/app/", "ada@done", "ada@active", "ada@died", `"name": "app"`}
	for _, word := range words {
		if len(w.traceOf(word)) == 0 {
			t.Fatalf("nothing has %s, so its end would prove nothing", word)
		}
	}
	before := w.traceOf("app2", spared.ID, "ada@spared")
	ask := `{"caller":"key:app","cancel":true,"keys":true}`
	erase := func(body string, want purgeAnswer) {
		t.Helper()
		got := get[purgeAnswer](w, "POST", "/purge", body, 200)
		if got.Objects = 0; got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
	for _, bad := range []string{`{"keys":true}`, `{"keys":true,"caller":"192.0.2.1"}`, `{"keys":true,"caller":"key:a/b"}`, `{"keys":true,"caller":"key:app","older_than_s":86400}`,
		`{"keys":true,"caller":"key:app","request_id":"` + done.ID + `"}`} {
		w.refused("POST", "/purge", bad, 400, "invalid_keys")
	}
	erase(`{"caller":"key:app","keys":true,"dry_run":true}`, purgeAnswer{Requests: 2, Active: 1, KeysLeft: 2})
	erase(ask, purgeAnswer{Requests: 2, Waiting: 1, KeysLeft: 2})
	w.time = w.time.Add(3 * time.Minute)
	if got := w.traceOf("keys/app/"); len(got) != 2 {
		t.Errorf("keys that may have been used meanwhile are gone: %v", got)
	}
	erase(ask, purgeAnswer{Requests: 1, Keys: 2})
	erase(ask, purgeAnswer{})
	if left := w.traceOf(words...); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if after := w.traceOf("app2", spared.ID, "ada@spared"); !slices.Equal(after, before) {
		t.Errorf("of another tenant %v are left of %v", after, before)
	}
	if _, err := ring.Caller(t.Context(), secret, tenant.Submit); err != nil {
		t.Errorf("the other tenant's key: %v", err)
	}
}

// TestAPurgeSparesWhatComesMeanwhile: a purge that takes long to list takes no request that came after it began for one without a record.
func TestAPurgeSparesWhatComesMeanwhile(t *testing.T) {
	w := newWorld(t)
	old := w.ofCaller("old", "key:app")
	w.finish(old.ID)
	w.time = w.time.Add(time.Hour)
	var late pipeline.Request
	w.service.Store = listing{w.service.Store, func(prefix string) {
		if prefix == artifacts.WebhooksPrefix && late.ID == "" { // the records are listed
			late = w.ofCaller("late", "key:app")
			w.time = w.time.Add(10 * time.Minute)
		}
	}}
	if got := get[purgeAnswer](w, "POST", "/purge", `{"caller":"key:app"}`, 200); got.Requests != 1 {
		t.Errorf("%+v", got)
	}
	if state, err := w.queue.Lookup(t.Context(), late.ID); err != nil || state.Status.Terminal() || len(w.traceOf(late.ID)) == 0 {
		t.Errorf("%+v %v", state, err)
	}
}

// listing calls before with the prefix of every list.
type listing struct {
	artifacts.Store
	before func(prefix string)
}

func (l listing) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	l.before(prefix)
	return l.Store.List(ctx, bucket, prefix)
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
