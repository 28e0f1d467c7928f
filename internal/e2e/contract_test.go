package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/internal/serve/servetest"
)

// notHere are the documented answers that a sound backend without keys does not give. functions/trigger's
// TestEveryDocumentedAnswerIsGiven gives them with the same handlers, by breaking what stands behind.
func notHere(answer string) bool {
	return strings.Contains(answer, " 503 ") || strings.HasSuffix(answer, " 401 unauthorized") || strings.HasSuffix(answer, " too_many_uploads")
}

// checkContract drives a running backend from the document that it serves: every operation, every documented error. done is a
// request that is COMPLETED. It uses up the minute's calls.
func (b *backend) checkContract(done accepted) {
	t := b.t
	t.Helper()
	contract, err := servetest.New(b.get("/openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	call := func(operation, query, token, body string, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		method, path, _ := strings.Cut(operation, " ")
		path = strings.NewReplacer("{request_id}", done.RequestID, "{kind}", "splat").Replace(path)
		if strings.HasPrefix(query, "/") {
			path, query = query, ""
		}
		r, err := http.NewRequest(method, b.url+path+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		rec := httptest.NewRecorder()
		for name, values := range resp.Header {
			rec.Header()[name] = values
		}
		rec.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(rec, resp.Body); err != nil {
			t.Fatal(err)
		}
		contract.Check(t, operation, rec, map[string]string{"POST /trigger-reconstruction": "Idempotency-Replayed", "GET /status": "Retry-After"}[operation])
		return rec
	}

	good := map[string]string{"POST /trigger-reconstruction": `{"session_id":"contract"}`, "POST /uploads": `{"files":[{"name":"1.jpg"}]}`, "POST /uploads/complete": `{"names":["1.jpg"]}`}
	for path, methods := range contract.Doc()["paths"].(map[string]any) {
		for method, described := range methods.(map[string]any) {
			operation := strings.ToUpper(method) + " " + path
			codes := func(status string) []any {
				list, _ := servetest.At(described, "responses", status, "content", "application/problem+json", "schema", "properties", "code", "enum").([]any)
				return list
			}
			if slices.Contains(codes("401"), any("token_missing")) {
				call(operation, "", "", good[operation])
				call(operation, "", "unknown", good[operation])
			}
			if servetest.At(described, "requestBody") != nil {
				for _, bad := range []string{`{`, `{"x":1}`, `{"session_id":"` + strings.Repeat("x", 600<<10) + `"}`} {
					call(operation, "", done.CallbackToken, bad)
				}
				call(operation, "", done.CallbackToken, good[operation], "Content-Type: text/plain")
			}
			if servetest.At(described, "responses", "304") != nil {
				tag := call(operation, "", done.CallbackToken, "").Header().Get("ETag")
				call(operation, "", done.CallbackToken, "", "If-None-Match: "+tag)
			}
			if slices.Contains(codes("400"), any("invalid_wait")) {
				call(operation, "?wait=x", done.CallbackToken, "")
			}
		}
	}

	const post = "POST /trigger-reconstruction"
	for _, bad := range []string{`{"session_id":"/"}`, `{"session_id":"a","priority":-1}`, `{"session_id":"a","options":{"preset":"x"}}`, `{"session_id":"a","content_type":"x"}`,
		`{"session_id":"a","uploads":"x"}`, `{"session_id":"a","source":"gs://none/x"}`, `{"session_id":"a","callback_url":"ftp://x"}`} {
		call(post, "", "", bad)
	}
	call(post, "", "", `{"session_id":"a"}`, "Idempotency-Key: \u00e9")
	triggered := func(body string, headers ...string) accepted {
		t.Helper()
		var a accepted
		rec := call(post, "", "", body, headers...)
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != http.StatusAccepted {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		b.secrets = append(b.secrets, a.CallbackToken)
		return a
	}
	fresh := triggered(good[post], "Idempotency-Key: contract")
	call(post, "", "", good[post], "Idempotency-Key: contract")
	call(post, "", "", `{"session_id":"other"}`, "Idempotency-Key: contract")
	call(post, "", "", good[post])
	several := triggered(`{"session_id":"several","uploads":"several"}`).CallbackToken

	call("POST /uploads", "", several, `{"files":[]}`)
	call("POST /uploads/complete", "", several, good["POST /uploads/complete"])
	var links struct{ Uploads []accepted }
	if err := json.Unmarshal(call("POST /uploads", "", several, good["POST /uploads"]).Body.Bytes(), &links); err != nil || len(links.Uploads) != 1 {
		t.Fatal(links, err)
	}
	b.upload(links.Uploads[0], []byte("no photo"))
	call("POST /uploads/complete", "", several, good["POST /uploads/complete"])
	call("POST /uploads", "", done.CallbackToken, good["POST /uploads"])
	call("POST /uploads/complete", "", done.CallbackToken, "")
	call("GET /events", "", done.CallbackToken, "")
	call("GET /events", "", done.CallbackToken, "", "Last-Event-ID: ended-x")
	call("GET /result/{kind}", "", done.CallbackToken, "")
	call("GET /result/{kind}", "/result/none", done.CallbackToken, "")
	call("GET /result/{kind}", "", fresh.CallbackToken, "")
	call("POST /cancel", "", fresh.CallbackToken, "")
	call("POST /cancel", "", done.CallbackToken, "")
	for range 11 {
		if call(post, "", "", good[post]).Code == http.StatusTooManyRequests {
			break
		}
	}
	for _, answer := range contract.Missing() {
		if !notHere(answer) {
			t.Errorf("documented but not given by a running backend: %s", answer)
		}
	}
}

// get reads a page that needs no token.
func (b *backend) get(path string) []byte {
	b.t.Helper()
	resp, err := http.Get(b.url + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s %v", path, resp.Status, err)
	}
	return body
}
