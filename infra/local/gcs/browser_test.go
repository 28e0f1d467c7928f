package gcs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const page1 = "https://app.example"

var uploadCORS = []CORS{{Origin: []string{page1}, Method: []string{"POST", "PUT", "GET", "HEAD"},
	ResponseHeader: []string{"Content-Type", "Content-Range", "Range", "Location", "x-goog-resumable", "x-goog-meta-*"}, MaxAgeSeconds: 600}}

// signing is what a signed URL is for.
type signing struct {
	ContentType string
	Headers     []string // name:value
	Query       url.Values
}

// sign makes a V4 signed URL as the documentation says ("V4 signing process"). That the client library's are accepted
// is tested in artifacts/gcs.
func (r *rig) sign(method, name string, o signing) string {
	r.t.Helper()
	now := time.Now().UTC()
	u := url.URL{Scheme: "http", Host: strings.TrimPrefix(r.http.URL, "http://"), Path: "/bucket/" + name}
	headers := append([]string{"host:" + u.Hostname()}, o.Headers...)
	if o.ContentType != "" {
		headers = append(headers, "content-type:"+o.ContentType)
	}
	slices.Sort(headers)
	var names []string
	for _, h := range headers {
		key, _, _ := strings.Cut(h, ":")
		names = append(names, key)
	}
	scope := now.Format("20060102") + "/auto/storage/goog4_request"
	q := url.Values{"X-Goog-Algorithm": {"GOOG4-RSA-SHA256"}, "X-Goog-Credential": {AccountEmail + "/" + scope},
		"X-Goog-Date": {now.Format("20060102T150405Z")}, "X-Goog-Expires": {"600"}, "X-Goog-SignedHeaders": {strings.Join(names, ";")}}
	maps.Copy(q, o.Query)
	escaped := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	canonical := strings.Join([]string{method, strings.ReplaceAll(escaped(u.Path), "%2F", "/"), strings.ReplaceAll(q.Encode(), "+", "%20"),
		strings.Join(headers, "\n"), "", strings.Join(names, ";"), "UNSIGNED-PAYLOAD"}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	digest := sha256.Sum256([]byte("GOOG4-RSA-SHA256\n" + now.Format("20060102T150405Z") + "\n" + scope + "\n" + hex.EncodeToString(sum[:])))
	signature, err := rsa.SignPKCS1v15(rand.Reader, r.server.key, crypto.SHA256, digest[:])
	if err != nil {
		r.t.Fatal(err)
	}
	q.Set("X-Goog-Signature", hex.EncodeToString(signature))
	u.RawQuery = q.Encode()
	return u.String()
}

func TestSignedURLs(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"n", "a/b c", "../../x", "100%+é?#&=", "double//slash"} {
		put := r.sign("PUT", name, signing{ContentType: "text/plain", Headers: []string{"x-goog-meta-k:v"}})
		a := r.want(200, r.do("PUT", put, "body", "Content-Type", "text/plain", "x-goog-meta-k", "v"))
		if a.Header.Get("X-Goog-Generation") == "" {
			t.Errorf("headers %v", a.Header)
		}
		if o := r.do("GET", objectPath(name), "").object(t); o.Name != name || o.ContentType != "text/plain" || o.Metadata["k"] != "v" {
			t.Errorf("object %+v", o)
		}
		if a := r.want(200, r.do("GET", r.sign("GET", name, signing{}), "")); a.body != "body" {
			t.Errorf("%q reads %q", name, a.body)
		}
	}
	get := r.sign("GET", "n", signing{Query: url.Values{"response-content-disposition": {`attachment; filename="a b.ply"`}}})
	a := r.want(200, r.do("GET", get, ""))
	if a.body != "body" || a.Header.Get("Content-Disposition") != `attachment; filename="a b.ply"` {
		t.Errorf("%q %v", a.body, a.Header)
	}
	a = r.want(206, r.do("GET", get, "", "Range", "bytes=1-2"))
	if a.body != "od" {
		t.Errorf("range %q", a.body)
	}
	a = r.want(200, r.do("HEAD", r.sign("HEAD", "n", signing{}), ""))
	if a.ContentLength != 4 || a.Header.Get("X-Goog-Stored-Content-Length") != "4" {
		t.Errorf("head %v", a.Header)
	}
	r.want(204, r.do("DELETE", r.sign("DELETE", "n", signing{}), ""))
	r.want(404, r.do("GET", get, ""))
}

func TestSignaturesAreVerified(t *testing.T) {
	r := newRig(t)
	r.put("n", "secret")
	r.put("m", "other")
	good := r.sign("GET", "n", signing{})
	r.want(200, r.do("GET", good, ""))
	change := func(edit func(u *url.URL, q url.Values)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		edit(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	set := func(key, value string) string { return change(func(_ *url.URL, q url.Values) { q.Set(key, value) }) }
	for name, c := range map[string]struct {
		method, url string
		status      int
		headers     []string
	}{
		"anonymous":          {"GET", "/bucket/n", 403, nil},
		"anonymous put":      {"PUT", "/bucket/n", 403, nil},
		"anonymous start":    {"POST", "/bucket/n", 403, []string{"x-goog-resumable", "start"}},
		"another object":     {"GET", change(func(u *url.URL, _ url.Values) { u.Path = "/bucket/m" }), 403, nil},
		"another method":     {"DELETE", good, 403, nil},
		"another query":      {"GET", set("response-content-type", "text/html"), 403, nil},
		"longer life":        {"GET", set("X-Goog-Expires", "604800"), 403, nil},
		"beyond a week":      {"GET", set("X-Goog-Expires", "604801"), 400, nil},
		"another date":       {"GET", set("X-Goog-Date", time.Now().UTC().Add(time.Second).Format("20060102T150405Z")), 403, nil},
		"another day":        {"GET", set("X-Goog-Date", "20200101T000000Z"), 400, nil},
		"no signature":       {"GET", set("X-Goog-Signature", ""), 403, nil},
		"wrong signature":    {"GET", set("X-Goog-Signature", strings.Repeat("ab", 256)), 403, nil},
		"no hex":             {"GET", set("X-Goog-Signature", "zz"), 403, nil},
		"another algorithm":  {"GET", set("X-Goog-Algorithm", "GOOG4-HMAC-SHA256"), 400, nil},
		"another account":    {"GET", set("X-Goog-Credential", "eve@example.com/"+time.Now().UTC().Format("20060102")+"/auto/storage/goog4_request"), 403, nil},
		"host unsigned":      {"GET", set("X-Goog-SignedHeaders", "date"), 400, nil},
		"twice":              {"GET", good + "&X-Goog-Expires=5", 400, nil},
		"unsigned x-goog":    {"GET", good, 400, []string{"x-goog-if-generation-match", "1"}},
		"unsigned resumable": {"POST", r.sign("POST", "new", signing{}), 400, []string{"x-goog-resumable", "start"}},
	} {
		a := r.do(c.method, c.url, "", c.headers...)
		if a.StatusCode != c.status || strings.Contains(a.body, "secret") {
			t.Errorf("%s: %d, want %d: %s", name, a.StatusCode, c.status, a.body)
		}
	}
	r.forward(7 * time.Minute)
	r.want(200, r.do("GET", good, ""))
	r.forward(4 * time.Minute)
	if a := r.want(400, r.do("GET", good, "")); !strings.Contains(a.body, "ExpiredToken") {
		t.Errorf("expired: %s", a.body)
	}
	r.forward(-time.Hour)
	r.want(403, r.do("GET", good, "")) // signed in the future
	r.forward(time.Hour - 11*time.Minute)
	r.restart() // the key is kept
	r.want(200, r.do("GET", good, ""))
}

func TestSignedHeadersMustArriveUnchanged(t *testing.T) {
	r := newRig(t)
	u := r.sign("PUT", "n", signing{ContentType: "video/mp4",
		Headers: []string{"x-goog-if-generation-match:0", "x-goog-content-length-range:1,10"}})
	right := []string{"Content-Type", "video/mp4", "x-goog-if-generation-match", "0", "x-goog-content-length-range", "1,10"}
	for i := range 3 {
		missing := slices.Delete(slices.Clone(right), 2*i, 2*i+2)
		r.want(403, r.do("PUT", u, "body", missing...))
		altered := slices.Clone(right)
		altered[2*i+1] += "0"
		r.want(403, r.do("PUT", u, "body", altered...))
	}
	r.wantMissing("n")
	r.want(400, r.do("PUT", u, "eleven bytes", right...))
	r.want(400, r.do("PUT", u, "", right...))
	r.wantMissing("n")
	r.want(200, r.do("PUT", u, "body", right...))
	r.want(412, r.do("PUT", u, "again", right...)) // once
	r.wantContent("n", "body")
}

// TestBrowserUpload is the flow of an app's page: signed start, chunks with a lost connection between, CORS throughout.
func TestBrowserUpload(t *testing.T) {
	r := newRig(t)
	if err := r.server.Bucket(t.Context(), "bucket", uploadCORS); err != nil {
		t.Fatal(err)
	}
	body := randomText(unit+100, 1)
	headers := []string{"x-goog-resumable:start", "x-goog-if-generation-match:0", fmt.Sprintf("x-goog-content-length-range:1,%d", len(body)), "x-goog-meta-session-id:s1"}
	start := r.sign("POST", "req/video.mp4", signing{ContentType: "video/mp4", Headers: headers})
	send := []string{"Content-Type", "video/mp4", "Origin", page1}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ":")
		send = append(send, k, v)
	}
	preflight := r.want(200, r.do("OPTIONS", start, "", "Origin", page1, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "content-type,x-goog-resumable,x-goog-meta-session-id,x-evil"))
	if h := preflight.Header; h.Get("Access-Control-Allow-Origin") != page1 || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") ||
		h.Get("Access-Control-Allow-Headers") != "content-type,x-goog-resumable,x-goog-meta-session-id" || h.Get("Access-Control-Max-Age") != "600" {
		t.Errorf("preflight %v", h)
	}
	a := r.want(201, r.do("POST", start, "", send...))
	u := a.Header.Get("Location")
	if !strings.HasPrefix(u, r.http.URL+"/bucket/req/video.mp4?upload_id=") {
		t.Fatalf("Location %q", u)
	}
	a = r.chunk(u, fmt.Sprintf("bytes 0-%d/%d", unit-1, len(body)), body[:unit], "Origin", page1)
	r.wantStored(a, fmt.Sprintf("bytes=0-%d", unit-1))
	if h := a.Header; h.Get("Access-Control-Allow-Origin") != page1 || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Range") {
		t.Errorf("the page may not read Range: %v", h)
	}
	r.restart()
	a = r.chunk(u, fmt.Sprintf("bytes */%d", len(body)), "", "Origin", page1)
	r.wantStored(a, fmt.Sprintf("bytes=0-%d", unit-1))
	a = r.want(200, r.chunk(u, fmt.Sprintf("bytes %d-%d/%d", unit, len(body)-1, len(body)), body[unit:], "Origin", page1))
	if a.Header.Get("X-Goog-Generation") == "" {
		t.Errorf("headers %v", a.Header)
	}
	o := r.do("GET", objectPath("req/video.mp4"), "").object(t)
	if o.ContentType != "video/mp4" || o.Metadata["session-id"] != "s1" || o.MD5Hash != md5Of(body) {
		t.Errorf("object %+v", o)
	}
	r.want(412, r.do("POST", start, "", send...)) // the permission was for one object
}

func TestResumableLengthRange(t *testing.T) {
	r := newRig(t)
	begin := func(name, limit string, more ...string) answer {
		u := r.sign("POST", name, signing{ContentType: "a/b", Headers: []string{"x-goog-resumable:start", "x-goog-content-length-range:" + limit}})
		return r.do("POST", u, "", append(more, "Content-Type", "a/b", "x-goog-resumable", "start", "x-goog-content-length-range", limit)...)
	}
	r.want(400, begin("n", "1,10", "X-Upload-Content-Length", "11"))
	r.want(400, begin("n", "ten"))
	r.want(400, begin("n", "10,1"))
	big := randomText(unit, 1)
	for _, contentRange := range []string{"bytes 0-10/11", fmt.Sprintf("bytes 0-%d/*", unit-1), ""} {
		u := r.want(201, begin("n", "2,10")).Header.Get("Location")
		body := big
		if contentRange == "bytes 0-10/11" {
			body = big[:11]
		}
		a := r.want(400, r.do("PUT", u, body, "Content-Range", contentRange))
		if !strings.Contains(a.body, "EntityTooLarge") {
			t.Errorf("%q: %s", contentRange, a.body)
		}
		r.want(404, r.chunk(u, "bytes */*", ""))
	}
	u := r.want(201, begin("n", "2,10")).Header.Get("Location")
	if a := r.want(400, r.chunk(u, "bytes 0-0/1", "x")); !strings.Contains(a.body, "EntityTooSmall") {
		t.Errorf("too small: %s", a.body)
	}
	r.wantMissing("n")
	u = r.want(201, begin("n", "2,10")).Header.Get("Location")
	r.want(200, r.chunk(u, "bytes 0-9/10", big[:10]))
}

func TestCORSGrantsNoMoreThanTheRules(t *testing.T) {
	r := newRig(t)
	get := r.sign("GET", "n", signing{})
	r.put("n", "x")
	none := func(a answer) {
		t.Helper()
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("granted to %q", got)
		}
	}
	none(r.want(200, r.do("GET", get, "", "Origin", page1))) // no rules
	if err := r.server.Bucket(t.Context(), "bucket", uploadCORS); err != nil {
		t.Fatal(err)
	}
	none(r.do("GET", get, "", "Origin", "https://evil.example"))
	none(r.do("OPTIONS", get, "", "Origin", page1, "Access-Control-Request-Method", "DELETE"))
	none(r.do("GET", get, ""))
	if a := r.do("GET", get, "", "Origin", page1); a.Header.Get("Access-Control-Allow-Origin") != page1 || a.Header.Get("Vary") != "Origin" {
		t.Errorf("headers %v", a.Header)
	}
	if err := r.server.Bucket(t.Context(), "bucket", []CORS{{Origin: []string{"*"}, Method: []string{"GET"}}}); err != nil {
		t.Fatal(err)
	}
	if a := r.do("GET", get, "", "Origin", "https://any.example"); a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", a.Header)
	}
}

func TestWebPagesCannotUseTheJSONAPI(t *testing.T) {
	r := newRig(t)
	r.put("n", "secret")
	insert := "/upload/storage/v1/b/bucket/o?uploadType=media&name=evil"
	r.want(403, r.do("POST", insert, "x", "Origin", "https://evil.example", "Content-Type", "text/plain"))
	r.want(403, r.do("GET", objectPath("n")+"?alt=media", "", "Sec-Fetch-Site", "cross-site"))
	r.want(403, r.do("OPTIONS", objectPath("n"), "", "Origin", page1, "Access-Control-Request-Method", "GET"))
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example:80"} { // a name that evil.example points at 127.0.0.1
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.http.URL+objectPath("n")+"?alt=media", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != 403 {
			t.Errorf("host %s: %d, %v", host, resp.StatusCode, err)
		}
	}
	r.wantMissing("evil")
}
