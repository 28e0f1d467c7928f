package operators_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

func TestRetryFromAStageWithOtherOptions(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	var m *artifacts.Manifest
	done := 0
	for s := pipeline.First(); s != pipeline.Train; s, _ = s.Next() {
		done++
		w.enqueue(a.ID, s)
		m = w.work(s, m)
	}
	w.enqueue(a.ID, pipeline.Train)
	w.refused("POST", "/retry/"+a.ID, `{"stage":"train"}`, 409, "still_active")
	w.fail(a.ID, pipeline.Train, pipeline.Invalid("bad", "m", "a"))

	w.refused("POST", "/retry/"+a.ID, `{"stage":"export"}`, 409, "no_input")
	w.refused("POST", "/retry/"+a.ID, `{"stage":"cook"}`, 400, "invalid_stage")
	w.refused("POST", "/retry/"+a.ID, `{"stage":"train","options":{"preset":"ultra"}}`, 400, "invalid_options")
	w.refused("POST", "/retry/"+a.ID, `{"stage":"train","priority":-1}`, 400, "invalid_priority")
	w.refused("POST", "/retry/"+a.ID, `{"stage":"train","deadline_s":-1}`, 400, "invalid_deadline")
	w.refused("POST", "/retry/"+a.ID, `{"stage":"train","session_id":"../a"}`, 400, "invalid_session_id")
	w.refused("POST", "/retry/"+a.ID, `{"stage":1}`, 400, "invalid_body")
	w.refused("POST", "/retry/"+a.ID, strings.Repeat(" ", 70_000), 413, "body_too_large")
	w.refused("POST", "/retry/unknown", `{"stage":"train"}`, 404, "unknown_request")
	w.time = w.time.Add(time.Second)
	w.put("artifacts", artifacts.WebhookTargetName(a.ID), `{"url":"https://client.example/hook"}`)
	w.put("artifacts", artifacts.MailTargetName(a.ID), `{"address":"ada@example.org"}`)
	answer := get[map[string]string](w, "POST", "/retry/"+a.ID, `{"stage":"train","options":{"train_budget_s":60}}`, 202)
	id := answer["request_id"]
	// The client's webhook follows, under the secret that its receiver knows.
	hook := map[string]string{}
	err := artifacts.GetJSON(t.Context(), w.store, pipeline.Object{Bucket: "artifacts", Name: artifacts.WebhookTargetName(id)}, &hook, 1000)
	if err != nil || len(hook) != 2 || hook["secret_of"] != a.ID || hook["url"] != "https://client.example/hook" {
		t.Errorf("webhook %v, %v", hook, err)
	}
	var mail struct{ Address string }
	if err := artifacts.GetJSON(t.Context(), w.store, pipeline.Object{Bucket: "artifacts", Name: artifacts.MailTargetName(id)}, &mail, 1000); err != nil || mail.Address != "ada@example.org" {
		t.Errorf("mail %v, %v", mail, err)
	}
	if id == a.ID || answer["callback_token"] != "" {
		t.Fatalf("%v", answer)
	}
	// The client's token follows.
	state, err := w.queue.LookupToken(context.Background(), a.TokenHash)
	if err != nil || state.ID != id || state.Stage != pipeline.Train || state.Options.TrainBudgetS != 60 {
		t.Fatalf("%+v %v", state, err)
	}
	copied, err := artifacts.ReadManifest(context.Background(), w.store, pipeline.Object{Bucket: "inbox-train", Name: artifacts.ManifestName(id, pipeline.Depth)})
	if err != nil || copied.Request.ID != id || len(copied.Known()) != done {
		t.Fatalf("%+v %v", copied, err)
	}
	m = w.work(pipeline.Train, copied)
	for s, more := pipeline.Train.Next(); more; s, more = s.Next() {
		w.enqueue(id, s)
		m = w.work(s, m)
	}

	// A finished one keeps its session: the new one needs its own, and gets its own token.
	w.refused("POST", "/retry/"+id, `{"stage":"filter"}`, 409, "no_input") // it had no upload of its own
	w.refused("POST", "/retry/"+id, `{"stage":"train"}`, 409, "duplicate_session")
	w.time = w.time.Add(time.Second)
	answer = get[map[string]string](w, "POST", "/retry/"+id, `{"stage":"train","session_id":"a-again"}`, 202)
	if state, err := w.queue.LookupToken(context.Background(), pipeline.HashToken(answer["callback_token"])); err != nil || state.SessionID != "a-again" {
		t.Fatalf("%+v %v", state, err)
	}
	w.time = w.time.Add(time.Second)
	if err := w.queue.Cancel(context.Background(), answer["request_id"]); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Second)
	id = get[map[string]string](w, "POST", "/retry/"+a.ID, `{"stage":"filter","session_id":"a-third"}`, 202)["request_id"]
	if leases, err := w.queue.Claim(context.Background(), pipeline.Filter, "w", 1); err != nil || len(leases) != 1 || leases[0].Task().Input.Name != artifacts.CaptureName(id) {
		t.Fatalf("%v %v", leases, err)
	}
}

// TestRetryFromTheFirstStageKeepsTheUpload: a retry of a retry has the upload when a purge has deleted the two before it, and a rebuild
// finds where it begins.
func TestRetryFromTheFirstStageKeepsTheUpload(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	first := w.submit("a", 0)
	cancel := func(id string) {
		t.Helper()
		if err := w.queue.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
		w.time = w.time.Add(time.Second)
	}
	cancel(first.ID)
	retry := func(id string) string {
		t.Helper()
		return get[map[string]string](w, "POST", "/retry/"+id, `{"stage":"filter","deadline_s":2592000}`, 202)["request_id"]
	}
	second := retry(first.ID)
	cancel(second)
	third := retry(second)
	w.time = w.time.Add(48 * time.Hour)
	if purged := get[map[string]any](w, "POST", "/purge", `{"older_than_s":86400}`, 200); purged["requests"] != 2.0 {
		t.Fatalf("%v", purged)
	}
	w.start()
	get[map[string]int](w, "POST", "/rebuild", "", 200)
	next := get[list](w, "GET", "/next?stage=filter", "", 200).Requests
	if len(next) == 0 || next[len(next)-1].RequestID != third {
		t.Fatalf("%+v", next)
	}
	o, err := w.store.Stat(ctx, "inbox-filter", artifacts.CaptureName(third))
	if err != nil {
		t.Fatal(err)
	}
	capture, err := artifacts.ReadCapture(ctx, w.store, o)
	if err != nil || len(capture.Objects) != 1 {
		t.Fatal(capture, err)
	}
	upload, err := w.store.Open(ctx, capture.Objects[0])
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(upload); err != nil || string(body) != "capture" {
		t.Fatalf("%q %v", body, err)
	}
}

func TestPurgeDeletesOnlyWhatEndedLongAgo(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	done, active := w.submit("done", 0), w.submit("active", 0)
	w.finish(done.ID)
	parent := w.submit("parent", 0)
	w.enqueue(parent.ID, pipeline.Filter)
	w.work(pipeline.Filter, nil)
	if err := w.queue.Cancel(ctx, parent.ID); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Second)
	child := get[map[string]string](w, "POST", "/retry/"+parent.ID, `{"stage":"preprocess","deadline_s":2592000}`, 202)["request_id"]
	count := func() (n int) {
		buckets := []string{"artifacts"}
		for _, s := range pipeline.Stages() {
			buckets = append(buckets, "inbox-"+string(s))
		}
		for _, bucket := range buckets {
			for _, err := range w.store.List(ctx, bucket, "") {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		return n
	}
	before := count()
	w.refused("POST", "/purge", `{"older_than_s":10}`, 400, "invalid_age")
	w.refused("POST", "/purge", `{}`, 400, "invalid_age")
	w.refused("POST", "/purge", `{"older":1}`, 400, "invalid_body")
	w.refused("POST", "/purge", strings.Repeat(" ", 70_000), 413, "body_too_large")
	if a := get[map[string]any](w, "POST", "/purge", `{"older_than_s":86400}`, 200); a["requests"] != 0.0 {
		t.Fatalf("young ones purged: %v", a)
	}
	w.time = w.time.Add(48 * time.Hour)
	dry := get[map[string]any](w, "POST", "/purge", `{"older_than_s":86400,"dry_run":true}`, 200)
	if dry["requests"] != 2.0 || count() != before {
		t.Fatalf("dry run: %v, %d of %d objects left", dry, count(), before)
	}
	wet := get[map[string]any](w, "POST", "/purge", `{"older_than_s":86400}`, 200)
	objects := 2 + 2*len(pipeline.Stages()) // record and upload; an artifact and a manifest of each stage
	objects += 2 + 2                        // the parent has those of one stage
	if wet["objects"] != dry["objects"] || before-count() != objects || wet["objects"].(float64) != float64(objects) {
		t.Fatalf("%v, %d of %d objects left", wet, count(), before)
	}
	for _, id := range []string{active.ID, child} {
		if _, err := w.store.Stat(ctx, "artifacts", artifacts.RequestName(id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}
