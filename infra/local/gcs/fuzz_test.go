package gcs

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"", "bytes 0-4/5", "bytes 0-262143/*", "bytes */*", "bytes */7", "bytes 5-4/3", "bytes -1-2/3", "bytes 0-9223372036854775807/*"} {
		f.Add(seed, int64(5))
	}
	f.Fuzz(func(t *testing.T, header string, length int64) {
		if length < 0 {
			length = -1
		}
		c, err := parseContentRange(header, length)
		if err != nil {
			return
		}
		if c.total < -1 || c.total > maxObjectBytes && header != "" || c.first < 0 || c.last < -1 {
			t.Errorf("%q: %+v is out of bounds", header, c)
		}
		if c.last >= 0 && (c.last < c.first || c.total >= 0 && c.last >= c.total || length >= 0 && c.last-c.first+1 != length) {
			t.Errorf("%q with %d bytes: %+v contradicts itself", header, length, c)
		}
		if c.query && c.last != -1 {
			t.Errorf("%q: a query with bytes: %+v", header, c)
		}
	})
}

func FuzzObjectNames(f *testing.F) {
	for _, seed := range []string{"n", "../../x", "a//b", "%2F", "a?b#c", "é\x00", ".", "dir/", "\xff", strings.Repeat("x", 1024)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r := newRig(t)
		valid := checkName(name) == nil
		resource, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		u := r.do("POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable", string(resource))
		var decoded struct{ Name string }
		if err := json.Unmarshal(resource, &decoded); err != nil {
			t.Fatal(err)
		}
		if decoded.Name != name { // JSON has no invalid UTF-8
			return
		}
		if !valid {
			r.want(400, u)
			return
		}
		r.want(200, r.do("PUT", u.Header.Get("Location"), name))
		r.wantContent(name, name)
		r.restart()
		r.wantContent(name, name)
		files, err := filepath.Glob(filepath.Join(filepath.Dir(r.dir), "*"))
		if err != nil || len(files) != 1 {
			t.Errorf("%q left the folder: %v, %v", name, files, err)
		}
		r.want(204, r.do("DELETE", objectPath(name), ""))
	})
}
