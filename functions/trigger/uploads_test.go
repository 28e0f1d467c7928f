package trigger_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

func TestSourceTakesThePlaceOfAnUpload(t *testing.T) {
	w := newWorld(t)
	source := w.put("sources", "2026/kitchen one.mp4", "a video")
	rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s","source":"gs://sources/2026/kitchen one.mp4"}`)
	a := decode[api.Accepted](t, rec)
	if rec.Code != 202 || a.Upload != nil || a.CallbackToken == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w.put("sources", "2026/kitchen one.mp4", "another video") // pinned anyway
	if got := w.captured(a.RequestID); len(got) != 1 || got[0].Generation != source.Generation || got[0].Bucket != "sources" {
		t.Fatalf("captured %v, want %v", got, source)
	}
	w.put("inbox-filter", "secret", "of another client")
	w.put("sources", "empty", "")
	for _, uri := range []string{"gs://sources/none", "gs://sources/", "gs://sources", "gs:///x", "sources/2026", "https://sources/x", "file:///etc/passwd", "GS://sources/x",
		"gs://inbox-filter/secret", "gs://artifacts/webhooks/keys.json", "gs://other/x", "gs://sources/../inbox-filter/secret", "gs://sources/empty",
		`gs://sources/\u0000`, "gs://sources/" + strings.Repeat("x", 1200)} {
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"other","source":"`+uri+`"}`), 400, "invalid_source")
	}
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"other","source":"gs://sources/2026/kitchen one.mp4","uploads":"several"}`), 400, "invalid_uploads")
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"other","source":"gs://sources/2026/kitchen one.mp4","content_type":"video/mp4"}`), 400, "invalid_content_type")
	if len(w.published) != 1 {
		t.Errorf("published %v", w.published)
	}
	for _, own := range []string{"inbox-filter", "artifacts", ""} {
		config := trigger.Config{}
		newWorld(t, func(c *trigger.Config) { config = *c })
		config.Sources = []string{own}
		if _, err := trigger.New(config); err == nil {
			t.Errorf("bucket %q of the deployment may be a source", own)
		}
	}
}

// TestSourceSurvivesEveryCrash breaks the submission before its last step: with the key it is finished by a repetition,
// without one it is taken over.
func TestSourceSurvivesEveryCrash(t *testing.T) {
	const body = `{"session_id":"s","source":"gs://sources/v"}`
	for _, key := range []string{"", "Idempotency-Key: " + longKey("k")} {
		w := newWorld(t)
		w.put("sources", "v", "a video")
		headers := []string{}
		if key != "" {
			headers = append(headers, key)
		}
		w.fail("capture", true)
		w.fail("cancel", true)
		problem(t, w.call("POST", "/trigger-reconstruction", body, headers...), 503, "storage_unavailable")
		w.fail("capture", false)
		w.fail("cancel", false)
		if key == "" {
			w.advance(41 * time.Second)
		}
		a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", body, headers...))
		if len(w.captured(a.RequestID)) != 1 {
			t.Fatalf("%+v was not begun", a)
		}
		w.advance(time.Hour)
		if problem := problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "Authorization: Bearer "+a.CallbackToken), 409, "duplicate_session"); problem.RequestID != a.RequestID {
			t.Errorf("%+v", problem)
		}
	}
}

func TestSeveralUploadsBeginWhenTheyAreComplete(t *testing.T) {
	w := newWorld(t)
	a := decode[api.Accepted](t, w.call("POST", "https://api.example/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
	if a.Upload != nil || a.UploadsURL != "https://api.example/uploads" || a.CompleteURL != "https://api.example/uploads/complete" {
		t.Fatalf("%+v", a)
	}
	auth := "Authorization: Bearer " + a.CallbackToken
	links := decode[api.Uploads](t, w.call("POST", "/uploads", `{"files":[{"name":"b.jpg","content_type":"image/jpeg"},{"name":"a.mp4"}]}`, auth))
	if len(links.Uploads) != 2 || links.Uploads[0].Name != "b.jpg" || links.Uploads[0].Upload.Object != "gs://inbox-filter/"+a.RequestID+"/uploads/b.jpg" ||
		links.Uploads[0].Upload.Headers["Content-Type"] != "image/jpeg" || links.Uploads[1].Upload.Headers["Content-Type"] != "application/octet-stream" {
		t.Fatalf("%+v", links)
	}
	problem(t, w.call("POST", "/uploads/complete", "", auth), 409, "uploads_missing")
	part := func(name string) pipeline.Object {
		return w.put("inbox-filter", artifacts.PartName(a.RequestID, name), "photo "+name)
	}
	first, second := part("a.mp4"), part("b.jpg")
	twice := problem(t, w.call("POST", "/uploads/complete", `{"names":["a.mp4","c.jpg","c.jpg"]}`, auth), 409, "uploads_missing")
	if twice.Detail != `1 of the files named are not there, "c.jpg" among them.` {
		t.Error(twice.Detail)
	}
	if w.captured(a.RequestID) != nil {
		t.Fatal("begun before it was complete")
	}
	w.fail("put", true)
	problem(t, w.call("POST", "/uploads/complete", "", auth), 503, "storage_unavailable")
	w.fail("put", false)
	for range 2 {
		if s := decode[api.Status](t, w.call("POST", "/uploads/complete", "", auth)); s.RequestID != a.RequestID {
			t.Fatalf("%+v", s)
		}
		want := []pipeline.Object{first, second}
		if got := w.captured(a.RequestID); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("captured %v, want %v", got, want)
		}
		part("later.jpg") // is not looked at
	}
	problem(t, w.call("POST", "/uploads", `{"files":[{"name":"c.jpg"}]}`, auth), 409, "already_begun")
	w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: artifacts.CaptureName(a.RequestID), Generation: 1})
	if s := decode[api.Status](t, w.call("POST", "/uploads/complete", "", auth)); s.Status != pipeline.Processing {
		t.Errorf("said again when it had begun: %+v", s)
	}
}

func TestNamesOfUploadsAreChecked(t *testing.T) {
	w := newWorld(t)
	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
	auth := "Authorization: Bearer " + a.CallbackToken
	for _, files := range []string{``, `{"name":""}`, `{"name":"../input"}`, `{"name":"a/b"}`, `{"name":"a\\b"}`, `{"name":".."}`, `{"name":".hidden"}`, `{"name":"-rf"}`, `{"name":" a"}`,
		`{"name":"a\u0000"}`, `{"name":"a\n"}`, `{"name":"a\u202egpj.exe"}`, "{\"name\":\"a\xff\"}", `{"name":"` + strings.Repeat("ф", 101) + `"}`, `{"name":"a"},{"name":"a"}`,
		`{"name":"\u00e9.jpg"},{"name":"e\u0301.jpg"}`, `{"name":"a","size":-1}`, `{"name":"a","content_type":"application/zip"}`,
		`{"name":"a","content_type":"text/html"}`, strings.Repeat(`{"name":"a"},`, 100) + `{"name":"b"}`} {
		problem(t, w.call("POST", "/uploads", `{"files":[`+files+`]}`, auth), 400, "invalid_files")
	}
}

// TestNamesAreTheirOwners: what a camera, a phone or a person calls a file is taken as it is.
func TestNamesAreTheirOwners(t *testing.T) {
	w := newWorld(t)
	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
	auth := "Authorization: Bearer " + a.CallbackToken
	for given, kept := range map[string]string{"Foto 1 (2).jpg": "", "фото1.jpg": "", "IMG#1.jpg": "", "50% a?b*c.jpg": "", "a..b": "", "写真.heic": "", "Screenshot at 9.41\u202fPM.png": "",
		"e\u0301te\u0301.jpg": "été.jpg"} {
		if kept == "" {
			kept = given
		}
		body, err := json.Marshal(api.UploadsAsked{Files: []api.File{{Name: given, Size: 5}}})
		if err != nil {
			t.Fatal(err)
		}
		links := decode[api.Uploads](t, w.call("POST", "/uploads", string(body), auth))
		if len(links.Uploads) != 1 || links.Uploads[0].Name != given || links.Uploads[0].Upload.Object != "gs://inbox-filter/"+a.RequestID+"/uploads/"+kept {
			t.Errorf("%q: %+v", given, links)
		}
		w.put("inbox-filter", artifacts.PartName(a.RequestID, kept), "photo")
	}
	if rec := w.call("POST", "/uploads/complete", `{"names":["e\u0301te\u0301.jpg","фото1.jpg"]}`, auth); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if got := w.captured(a.RequestID); len(got) != 2 {
		t.Errorf("captured %v", got)
	}
}

// TestLinksNeverPromiseMoreThanACapture: links count when they are given, not when their uploads have come.
func TestLinksNeverPromiseMoreThanACapture(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.MaxUploadBytes = 1000 })
	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
	auth := "Authorization: Bearer " + a.CallbackToken
	links := func(files string) (sizes []int64) {
		for _, u := range decode[api.Uploads](t, w.call("POST", "/uploads", `{"files":[`+files+`]}`, auth)).Uploads {
			sizes = append(sizes, u.Upload.MaxBytes)
		}
		return sizes
	}
	if got := links(`{"name":"a","size":300},{"name":"b"},{"name":"c"}`); !slices.Equal(got, []int64{300, 350, 350}) {
		t.Fatalf("links for %v bytes", got)
	}
	for _, more := range []string{`{"name":"d"}`, `{"name":"d","size":1}`} {
		problem(t, w.call("POST", "/uploads", `{"files":[`+more+`]}`, auth), 409, "too_many_uploads")
	}
	if got := links(`{"name":"a","size":999}`); !slices.Equal(got, []int64{300}) { // a fresh link for the same
		t.Errorf("again: %v", got)
	}
	w.put("inbox-filter", artifacts.PartName(a.RequestID, "b"), "smaller")
	if got := links(`{"name":"d"}`); !slices.Equal(got, []int64{343}) {
		t.Errorf("once b came: %v", got)
	}
	given := 0
	w = newWorld(t)
	a = decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
	for call := range 25 {
		var files []string
		for i := range 100 {
			files = append(files, fmt.Sprintf(`{"name":"%d-%d.jpg","size":1}`, call, i))
		}
		if rec := w.call("POST", "/uploads", `{"files":[`+strings.Join(files, ",")+`]}`, "Authorization: Bearer "+a.CallbackToken); rec.Code == 200 {
			given += len(decode[api.Uploads](t, rec).Uploads)
		} else {
			problem(t, rec, 409, "too_many_uploads")
		}
	}
	if given != artifacts.MaxUploads {
		t.Errorf("%d links", given)
	}
}
