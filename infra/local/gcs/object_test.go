package gcs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMediaAndMultipartUpload(t *testing.T) {
	r := newRig(t)
	o := r.put("media", "hello")
	if o.ContentType != "text/plain" || o.Size != 5 || o.CRC32C != crcOf("hello") || o.MD5Hash != md5Of("hello") {
		t.Errorf("media: %+v", o)
	}
	multipart := func(resource, media string) answer {
		body := "--xyz\r\nContent-Type: application/json\r\n\r\n" + resource + "\r\n--xyz\r\nContent-Type: image/png\r\n\r\n" + media + "\r\n--xyz--\r\n"
		return r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=multipart", body, "Content-Type", "multipart/related; boundary=xyz")
	}
	o = multipart(`{"name":"multi","metadata":{"a":"b"},"crc32c":"`+crcOf("bin\r\nary")+`"}`, "bin\r\nary").object(t)
	if o.ContentType != "image/png" || o.Metadata["a"] != "b" || o.Name != "multi" {
		t.Errorf("multipart: %+v", o)
	}
	r.wantContent("multi", "bin\r\nary")
	r.want(400, multipart(`{"name":"wrong","md5Hash":"`+md5Of("other")+`"}`, "x"))
	r.want(400, multipart(`{"name":"wrong"`, "x"))
	cut := "--xyz\r\nContent-Type: application/json\r\n\r\n{\"name\":\"wrong\"}\r\n--xyz\r\n\r\nhalf of it"
	r.want(400, r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=multipart", cut, "Content-Type", "multipart/related; boundary=xyz"))
	r.want(400, r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=wrong", "x", "X-Goog-Hash", "crc32c="+crcOf("y")))
	r.want(400, r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=other&name=wrong", "x"))
	r.wantMissing("wrong")
	r.want(404, r.do("POST", "/upload/storage/v1/b/no-such-bucket/o?uploadType=media&name=n", "x"))
	r.wantNoTemporaryFiles()
}

func (r *rig) wantNoTemporaryFiles() {
	r.t.Helper()
	if files, err := filepath.Glob(filepath.Join(r.dir, "tmp", "*")); err != nil || len(files) != 0 {
		r.t.Errorf("temporary files %v, %v", files, err)
	}
}

// TestPreconditionMatrix holds every method to every precondition, met and not.
func TestPreconditionMatrix(t *testing.T) {
	r := newRig(t)
	if err := r.server.Bucket(t.Context(), "other-bucket", nil); err != nil {
		t.Fatal(err)
	}
	type call struct {
		name   string
		do     func(query string) answer
		ok     int
		reads  bool // a failed "not match" is 304
		source bool // conditions are called ifSource...
	}
	const n = "n"
	join := func(path, query string) string {
		if strings.Contains(path, "?") {
			return path + "&" + query
		}
		return path + "?" + query
	}
	calls := []call{
		{"get", func(q string) answer { return r.do("GET", join(objectPath(n), q), "") }, 200, true, false},
		{"media", func(q string) answer { return r.do("GET", join(objectPath(n)+"?alt=media", q), "") }, 200, true, false},
		{"download", func(q string) answer {
			return r.do("GET", join("/download/storage/v1/b/bucket/o/n?alt=media", q), "")
		}, 200, true, false},
		{"patch", func(q string) answer { return r.do("PATCH", join(objectPath(n), q), `{"metadata":{"x":"y"}}`) }, 200, false, false},
		{"insert", func(q string) answer {
			return r.do("POST", join("/upload/storage/v1/b/bucket/o?uploadType=media&name=n", q), "new")
		}, 200, false, false},
		{"resumable", func(q string) answer {
			return r.do("POST", join("/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n", q), "")
		}, 200, false, false},
		{"rewrite onto", func(q string) answer {
			return r.do("POST", join("/storage/v1/b/bucket/o/source/rewriteTo/b/bucket/o/n", q), "{}")
		}, 200, false, false},
		{"rewrite from", func(q string) answer {
			return r.do("POST", join("/storage/v1/b/bucket/o/n/rewriteTo/b/other-bucket/o/copy", q), "{}")
		}, 200, false, true},
		{"copy from", func(q string) answer {
			return r.do("POST", join("/storage/v1/b/bucket/o/n/copyTo/b/other-bucket/o/copy", q), "{}")
		}, 200, false, true},
		{"delete", func(q string) answer { return r.do("DELETE", join(objectPath(n), q), "") }, 204, false, false},
	}
	for _, c := range calls {
		for _, condition := range []string{"GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch"} {
			for _, met := range []bool{true, false} {
				r.put("source", "source")
				o := r.put(n, "old")
				o = r.do("PATCH", objectPath(n), `{"metadata":{"a":"b"}}`).object(t)
				live := o.Generation
				if strings.HasPrefix(condition, "Metageneration") {
					live = o.Metageneration
				}
				value := live
				if met == strings.Contains(condition, "Not") {
					value = live + 1
				}
				want := c.ok
				if !met {
					want = 412
					if c.reads && strings.Contains(condition, "Not") {
						want = 304
					}
				}
				prefix := "if"
				if c.source {
					prefix = "ifSource"
				}
				a := c.do(fmt.Sprintf("%s%s=%d", prefix, condition, value))
				if a.StatusCode != want {
					t.Errorf("%s with %s%s met=%v: %d, want %d: %s", c.name, prefix, condition, met, a.StatusCode, want, a.body)
				}
				if !met { // nothing happened
					if now := r.do("GET", objectPath(n), "").object(t); now.Generation != o.Generation || now.Metageneration != o.Metageneration {
						t.Errorf("%s with %s not met changed the object", c.name, condition)
					}
				}
			}
		}
		if !c.source {
			r.put("source", "source")
			r.put(n, "old")
			want := 412
			if a := c.do("ifGenerationMatch=0"); a.StatusCode != want {
				t.Errorf("%s of an object that exists with ifGenerationMatch=0: %d, want %d", c.name, a.StatusCode, want)
			}
		}
		r.put("source", "source")
		r.put(n, "old")
		r.want(400, c.do("ifGenerationMatch=x&ifSourceGenerationMatch=x"))
	}
}

func TestGenerationsAndPatch(t *testing.T) {
	r := newRig(t)
	first := r.put("n", "first")
	second := r.put("n", "second")
	if second.Generation <= first.Generation {
		t.Errorf("generations %d, %d", first.Generation, second.Generation)
	}
	for _, path := range []string{objectPath("n") + "?generation=%d", objectPath("n") + "?alt=media&generation=%d"} {
		r.want(404, r.do("GET", fmt.Sprintf(path, first.Generation), ""))
		r.want(200, r.do("GET", fmt.Sprintf(path, second.Generation), ""))
	}
	r.want(404, r.do("DELETE", fmt.Sprintf("%s?generation=%d", objectPath("n"), first.Generation), ""))
	o := r.do("PATCH", objectPath("n"), `{"contentType":"a/b","cacheControl":"no-store","metadata":{"x":"1","y":"2"}}`).object(t)
	if o.Generation != second.Generation || o.Metageneration != 2 || o.ContentType != "a/b" || len(o.Metadata) != 2 || o.TimeCreated != second.TimeCreated {
		t.Errorf("patched: %+v", o)
	}
	o = r.do("PATCH", objectPath("n"), `{"contentType":null,"metadata":{"x":null,"z":"3"}}`).object(t)
	if o.Metageneration != 3 || o.ContentType != "" || o.CacheControl != "no-store" || !maps.Equal(o.Metadata, map[string]string{"y": "2", "z": "3"}) {
		t.Errorf("patched again: %+v", o)
	}
	o = r.do("PATCH", objectPath("n"), `{"metadata":null}`).object(t)
	if len(o.Metadata) != 0 {
		t.Errorf("metadata stays: %v", o.Metadata)
	}
	r.want(400, r.do("PATCH", objectPath("n"), `{"metadata":{"big":"`+strings.Repeat("x", maxMetadataBytes)+`"}}`))
	r.restart()
	again := r.do("GET", objectPath("n"), "").object(t)
	want, _ := json.Marshal(o)
	if got, _ := json.Marshal(again); string(got) != string(want) {
		t.Errorf("after a restart %s, before %s", got, want)
	}
	r.wantContent("n", "second")
	r.want(204, r.do("DELETE", objectPath("n"), ""))
	r.restart()
	r.wantMissing("n")
	if files, err := filepath.Glob(filepath.Join(r.dir, "buckets", "bucket", "objects", "*")); err != nil || len(files) != 0 {
		t.Errorf("files left: %v, %v", files, err)
	}
}

func TestRewriteCopiesContentAndAttributes(t *testing.T) {
	r := newRig(t)
	if err := r.server.Bucket(t.Context(), "other-bucket", nil); err != nil {
		t.Fatal(err)
	}
	r.put("from", "content")
	r.do("PATCH", objectPath("from"), `{"metadata":{"a":"b"}}`)
	var answer struct {
		Done     bool
		Resource Object
	}
	a := r.want(200, r.do("POST", "/storage/v1/b/bucket/o/from/rewriteTo/b/other-bucket/o/to%2Fhere", `{}`))
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || !answer.Done {
		t.Fatalf("answer %s, %v", a.body, err)
	}
	if o := answer.Resource; o.Bucket != "other-bucket" || o.Name != "to/here" || o.Metadata["a"] != "b" || o.ContentType != "text/plain" || o.Metageneration != 1 {
		t.Errorf("copy %+v", o)
	}
	r.want(204, r.do("DELETE", objectPath("from"), ""))
	r.restart()
	if a := r.do("GET", "/storage/v1/b/other-bucket/o/to%2Fhere?alt=media", ""); a.body != "content" {
		t.Errorf("the copy reads %q", a.body)
	}
	r.want(404, r.do("POST", "/storage/v1/b/bucket/o/from/rewriteTo/b/other-bucket/o/x", `{}`))
	r.wantNoTemporaryFiles()
}

func TestRangeReads(t *testing.T) {
	r := newRig(t)
	r.put("n", "0123456789")
	r.put("empty", "")
	for _, c := range []struct {
		spec, body, contentRange string
		status                   int
	}{
		{"bytes=0-3", "0123", "bytes 0-3/10", 206}, {"bytes=4-", "456789", "bytes 4-9/10", 206}, {"bytes=-3", "789", "bytes 7-9/10", 206},
		{"bytes=8-100", "89", "bytes 8-9/10", 206}, {"bytes=9-9", "9", "bytes 9-9/10", 206}, {"bytes=-100", "0123456789", "bytes 0-9/10", 206},
		{"bytes=10-", "", "bytes */10", 416},
	} {
		a := r.want(c.status, r.do("GET", objectPath("n")+"?alt=media", "", "Range", c.spec))
		if got := a.Header.Get("Content-Range"); got != c.contentRange || c.status == 206 && a.body != c.body {
			t.Errorf("%s: %q %q, want %q %q", c.spec, got, a.body, c.contentRange, c.body)
		}
	}
	a := r.want(200, r.do("GET", objectPath("empty")+"?alt=media", "", "Range", "bytes=0-"))
	if a.body != "" || a.ContentLength != 0 {
		t.Errorf("empty: %d bytes", a.ContentLength)
	}
	a = r.get("n")
	if h := a.Header.Values("X-Goog-Hash"); !slices.Equal(h, []string{"crc32c=" + crcOf("0123456789"), "md5=" + md5Of("0123456789")}) {
		t.Errorf("X-Goog-Hash %q", h)
	}
	if a.Header.Get("Content-Type") != "text/plain" || a.Header.Get("X-Goog-Generation") == "" || a.Header.Get("X-Goog-Metageneration") != "1" {
		t.Errorf("headers %v", a.Header)
	}
}

// TestListAgainstModel compares pages with what a plain reading of the documentation gives.
func TestListAgainstModel(t *testing.T) {
	r := newRig(t)
	b := r.server.buckets["bucket"]
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab/é")), 0, 5, -1)
		b.names, b.objects = nil, map[string]Object{}
		for _, name := range rapid.SliceOfN(text.Filter(func(s string) bool { return s != "" }), 0, 20).Draw(t, "names") {
			b.set(Object{Name: name})
		}
		prefix, start, end := text.Draw(t, "prefix"), text.Draw(t, "start"), text.Draw(t, "end")
		delimiter := rapid.SampledFrom([]string{"", "/", "a", "é", "ab"}).Draw(t, "delimiter")
		trailing := rapid.Bool().Draw(t, "trailing")
		limit := rapid.IntRange(1, 4).Draw(t, "limit")

		var wantItems, wantPrefixes []string
		for _, name := range slices.Sorted(maps.Keys(b.objects)) {
			if !strings.HasPrefix(name, prefix) || name < start || end != "" && name >= end {
				continue
			}
			rest := name[len(prefix):]
			if at := strings.Index(rest, delimiter); delimiter != "" && at >= 0 {
				common := prefix + rest[:at+len(delimiter)]
				if !slices.Contains(wantPrefixes, common) {
					wantPrefixes = append(wantPrefixes, common)
				}
				if !trailing || common != name {
					continue
				}
			}
			wantItems = append(wantItems, name)
		}
		var items, prefixes []string
		after := ""
		for pages := 0; ; pages++ {
			p, err := r.server.page("bucket", prefix, delimiter, start, end, after, trailing, limit)
			if err != nil || pages > 50 {
				t.Fatal("pages without end", err)
			}
			if n := len(p.Items) + len(p.Prefixes); n > limit+1 || p.Next != "" && n == 0 {
				t.Fatalf("page of %d, limit %d", n, limit)
			}
			for _, o := range p.Items {
				items = append(items, o.Name)
			}
			prefixes = append(prefixes, p.Prefixes...)
			if p.Next == "" {
				break
			}
			after = decodeToken(t, p.Next)
		}
		if !slices.Equal(items, wantItems) || !slices.Equal(prefixes, wantPrefixes) {
			t.Fatalf("items %q, want %q; prefixes %q, want %q", items, wantItems, prefixes, wantPrefixes)
		}
	})
}

func TestListOverHTTP(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a/1", "a/2", "b", "c/x/y"} {
		r.put(name, name)
	}
	var got []string
	token := ""
	for {
		var p page
		a := r.want(200, r.do("GET", "/storage/v1/b/bucket/o?delimiter=/&maxResults=1&pageToken="+url.QueryEscape(token), ""))
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatal(err)
		}
		for _, o := range p.Items {
			got = append(got, o.Name)
		}
		got = append(got, p.Prefixes...)
		if token = p.Next; token == "" {
			break
		}
	}
	if want := []string{"a/", "b", "c/"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	r.want(400, r.do("GET", "/storage/v1/b/bucket/o?pageToken=!", ""))
	r.want(400, r.do("GET", "/storage/v1/b/bucket/o?maxResults=x", ""))
	r.want(404, r.do("GET", "/storage/v1/b/no-such-bucket/o", ""))
}

func TestNamesNeverLeaveTheFolder(t *testing.T) {
	r := newRig(t)
	names := []string{"../../x", "../../../../../../../../tmp/x", "/etc/passwd", "dir", "dir/child", "dir/", strings.Repeat("é", 512), "a\x00b", "con.json"}
	for _, name := range names {
		r.put(name, name)
	}
	for _, name := range names {
		r.wantContent(name, name)
	}
	allowed := map[string]bool{}
	err := filepath.WalkDir(filepath.Dir(r.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(r.dir, path)
		if err != nil {
			return err
		}
		parts := strings.Split(rel, string(filepath.Separator))
		allowed[parts[0]] = true
		if parts[0] == "buckets" && len(parts) == 4 && parts[2] == "objects" {
			return nil
		}
		if rel == "service-account.pem" || rel == filepath.Join("buckets", "bucket", "bucket.json") {
			return nil
		}
		return fmt.Errorf("unexpected file %s", rel)
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{".", "..", "a\nb", "a\rb", "", strings.Repeat("x", 1025), ".well-known/acme-challenge/x", "bad\xff"} {
		r.want(400, r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name="+url.QueryEscape(name), "x"))
	}
	for _, bucket := range []string{"..", "a", "UPPER", "has/slash", "-dash", "dot..dot", strings.Repeat("b", 300), "storage"} {
		r.want(400, r.do("POST", "/storage/v1/b?project=p", `{"name":"`+bucket+`"}`))
	}
}

func TestBuckets(t *testing.T) {
	r := newRig(t)
	r.want(200, r.do("POST", "/storage/v1/b?project=p", `{"name":"second","cors":[{"origin":["*"]}]}`))
	r.want(409, r.do("POST", "/storage/v1/b?project=p", `{"name":"second"}`))
	r.want(200, r.do("PATCH", "/storage/v1/b/second", `{"cors":[{"origin":["https://a.example"],"method":["GET"]}]}`))
	r.want(412, r.do("PATCH", "/storage/v1/b/second?ifMetagenerationMatch=1", `{"cors":[]}`))
	r.restart()
	a := r.want(200, r.do("GET", "/storage/v1/b/second", ""))
	if !strings.Contains(a.body, "https://a.example") || !strings.Contains(a.body, `"metageneration":"2"`) {
		t.Errorf("bucket %s", a.body)
	}
	if a := r.want(200, r.do("GET", "/storage/v1/b?project=p", "")); !strings.Contains(a.body, `"second"`) {
		t.Errorf("buckets %s", a.body)
	}
	r.put("n", "x")
	r.want(409, r.do("DELETE", "/storage/v1/b/bucket", ""))
	r.want(204, r.do("DELETE", "/storage/v1/b/second", ""))
	r.want(404, r.do("GET", "/storage/v1/b/second", ""))
	r.restart()
	r.want(404, r.do("DELETE", "/storage/v1/b/second", ""))
	r.wantContent("n", "x")
	r.want(404, r.do("GET", "/storage/v1/projects/p/serviceAccount", ""))
	r.want(http.StatusMethodNotAllowed, r.do("PUT", objectPath("n"), ""))
}
