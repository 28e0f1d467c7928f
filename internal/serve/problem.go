package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Problem is an error answer in the form of RFC 9457, with our members code, advice, retryable and request_id. Code is
// stable, so programs may switch on it; the prose may change.
type Problem struct {
	Type      string `json:"type"` // "about:blank#code": no page needs to exist
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	Advice    string `json:"advice,omitempty"`
	Retryable bool   `json:"retryable"`            // whether the same call may succeed later
	RequestID string `json:"request_id,omitempty"` // of the request that is in the way

	RetryAfter time.Duration `json:"-"` // header Retry-After, whole seconds rounded up
	Allow      string        `json:"-"` // header Allow, of a 405
}

// ContentType of every error answer.
const ContentType = "application/problem+json"

// WriteProblem answers with p. Title and Type follow from Status and Code when empty.
func WriteProblem(w http.ResponseWriter, p Problem) {
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if p.Type == "" {
		p.Type = "about:blank#" + p.Code
	}
	h := w.Header()
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="splatworks"`)
	}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone: nobody to tell
}

// Unavailable is the answer where something that an API depends on does not answer, or has no room left: the same call may succeed in
// some seconds.
func Unavailable(code, detail string) Problem {
	return Problem{Status: http.StatusServiceUnavailable, Code: code, Retryable: true, RetryAfter: retryAfter,
		Detail: detail, Advice: "Try again in a few seconds."}
}

const retryAfter = 5 * time.Second

// JSON encodes an answer, with signed URLs as they are: no "&" is escaped. It panics on what cannot be encoded, which is a
// programming error.
func JSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("serve: encode answer: %v", err))
	}
	return b.Bytes()
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body := JSON(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: nobody to tell
}

// NotFound answers every path that nothing serves.
func NotFound(w http.ResponseWriter, _ *http.Request) {
	WriteProblem(w, Problem{Status: http.StatusNotFound, Code: "no_such_path", Detail: "Nothing is served at this path.",
		Advice: "Check the path; the API's description lists those there are."})
}
