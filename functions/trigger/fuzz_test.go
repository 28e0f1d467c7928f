package trigger_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/client/api"
)

// FuzzTriggerBody: whatever comes is taken in or refused with a 4xx; what is taken in is what was sent.
func FuzzTriggerBody(f *testing.F) {
	for _, seed := range []string{`{"session_id":"a"}`, `{"session_id":"a","priority":4095,"options":{"preset":"high","seed":18446744073709551615}}`,
		`{"session_id":"a","session_id":"b"}`, `{"session_id":"a\u0000"}`, `[[[[`, `{"options":{"train_budget_s":1e308}}`, `{"session_id":"a","callback_url":"https://client.example/hook"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		r := httptest.NewRequest("POST", "/trigger-reconstruction", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		switch {
		case rec.Code == http.StatusAccepted:
			var sent api.Trigger
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Fatalf("took in what is no JSON: %v", err)
			}
			if a := decode[api.Accepted](t, rec); a.SessionID != sent.SessionID || w.status(a.CallbackToken).Priority != sent.Priority {
				t.Fatalf("%+v of %s", a, body)
			}
		case rec.Code < 400 || rec.Code > 499:
			t.Fatalf("%d %s", rec.Code, rec.Body)
		case len(w.published) != 0:
			t.Fatal("refused, but published")
		}
	})
}

// FuzzReading: no token, header or path leads to a fault, and none but the right token to a document.
func FuzzReading(f *testing.F) {
	f.Add("/status", "Bearer x", "callback_token=x&wait=1s", `W/"x", *`)
	f.Add("/result/../status", "bearer  ", "callback_token=%zz;a=b", "")
	f.Add("/status/%2e%2e", "Basic eDp5", "wait=-9223372036854775808", "\x00")
	f.Fuzz(func(t *testing.T, path, authorization, query, tag string) {
		w := newWorld(t)
		a := w.trigger("s")
		if strings.Contains(authorization+query, a.CallbackToken) {
			t.Skip("found the token")
		}
		for _, prefix := range []string{"", "/status", "/events", "/result/"} {
			r, err := http.NewRequest("GET", "http://h"+prefix+path+"?"+query, nil)
			if err != nil {
				t.Skip("no request of HTTP")
			}
			r.Header["Authorization"], r.Header["If-None-Match"], r.Header["Last-Event-Id"] = []string{authorization}, []string{tag}, []string{tag}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code >= 500 || strings.Contains(rec.Body.String(), a.RequestID) {
				t.Fatalf("%s: %d %s", r.URL, rec.Code, rec.Body)
			}
		}
	})
}

// FuzzUploads: whatever asks for uploads or completes them is answered or refused with a 4xx, and no link leads outside of the
// request's own folder.
func FuzzUploads(f *testing.F) {
	for _, seed := range []string{`{"files":[{"name":"a.jpg"}]}`, `{"files":[{"name":"../a"}]}`, `{"names":["a"]}`, `{"names":null}`, `{"files":[{"name":"a","content_type":"video/mp4"},{"name":"a"}]}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s","uploads":"several"}`))
		w.put("inbox-filter", a.RequestID+"/uploads/a", "x")
		for _, path := range []string{"/uploads", "/uploads/complete"} {
			rec := w.call("POST", path, string(body), "Authorization: Bearer "+a.CallbackToken)
			if rec.Code != http.StatusOK && (rec.Code < 400 || rec.Code > 499) {
				t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
			}
			if path == "/uploads" && rec.Code == http.StatusOK {
				for _, u := range decode[api.Uploads](t, rec).Uploads {
					if u.Upload.Object != "gs://inbox-filter/"+a.RequestID+"/uploads/"+u.Name || strings.ContainsAny(u.Name, "/\\") || strings.Contains(u.Name, "..") {
						t.Fatalf("%+v", u)
					}
				}
			}
		}
	})
}

// FuzzSource: only objects of the allowed bucket can be named, by their exact names.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{"gs://sources/v", "gs://sources/../artifacts/x", "gs://sources//v", "gs://SOURCES/v", "gs://sources@artifacts/x", "gs://sources/v#1", "s3://sources/v", "gs://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		w := newWorld(t)
		w.put("sources", "v", "a video")
		w.put("inbox-filter", "secret", "another's video")
		body, err := json.Marshal(api.Trigger{SessionID: "s", Source: uri})
		if err != nil {
			t.Fatal(err)
		}
		rec := w.call("POST", "/trigger-reconstruction", string(body))
		if rec.Code == http.StatusAccepted && uri != "" {
			if got := w.captured(decode[api.Accepted](t, rec).RequestID); uri != "gs://sources/v" || len(got) != 1 || got[0].Bucket != "sources" {
				t.Fatalf("%q captured %v", uri, got)
			}
		} else if rec.Code != http.StatusAccepted && (rec.Code < 400 || rec.Code > 499) {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	})
}
