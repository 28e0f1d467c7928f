package e2e

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
)

// hostile is a row of the table: what is sent, and the answer it must get. With an upload the call itself is good, and the
// request must end as invalid input in the filter stage, with the code.
type hostile struct {
	name        string
	body        string
	contentType string // default application/json
	status      int    // of the answer; 0 for a row with an upload
	code        string
	upload      func(t *testing.T) []byte
}

func nested(open, closed string, n int) string {
	return `{"session_id":` + strings.Repeat(open, n) + "1" + strings.Repeat(closed, n) + `}`
}

func session(id string) string {
	b, _ := json.Marshal(map[string]string{"session_id": id})
	return string(b)
}

func callback(url string) string {
	b, _ := json.Marshal(map[string]string{"session_id": "a", "callback_url": url})
	return string(b)
}

// A redirect to a forbidden address cannot be seen when the address is given: that webhooks follow none is
// functions/notify's TestRedirectIsNotFollowed.
var hostileTable = []hostile{
	{name: "oversized JSON", body: session(strings.Repeat("a", 70_000)), status: 413, code: "body_too_large"},
	{name: "far oversized JSON", body: session(strings.Repeat("a", 3<<20)), status: 413, code: "body_too_large"},
	{name: "deeply nested arrays", body: nested("[", "]", 20_000), status: 400, code: "invalid_json"},
	{name: "deeply nested objects", body: nested(`{"a":`, "}", 9_000), status: 400, code: "invalid_json"},
	{name: "cut off JSON", body: `{"session_id":"a"`, status: 400, code: "invalid_json"},
	{name: "a name twice", body: `{"session_id":"a","session_id":"b"}`, status: 400, code: "invalid_json"},
	{name: "wrong content type", body: "session_id=a", contentType: "application/x-www-form-urlencoded", status: 415, code: "unsupported_media_type"},
	{name: "unknown field", body: `{"session_id":"a","admin":true}`, status: 400, code: "invalid_field"},
	{name: "control character in session_id", body: session("a\x00b"), status: 400, code: "invalid_session_id"},
	{name: "line break in session_id", body: session("a\nb"), status: 400, code: "invalid_session_id"},
	{name: "path in session_id", body: session("../../etc/passwd"), status: 400, code: "invalid_session_id"},
	{name: "path piece in session_id", body: session("a/../b"), status: 400, code: "invalid_session_id"},
	{name: "two dots in session_id", body: session("a..b"), status: 400, code: "invalid_session_id"},
	{name: "backslash in session_id", body: session(`a\b`), status: 400, code: "invalid_session_id"},
	{name: "negative priority", body: `{"session_id":"a","priority":-1}`, status: 400, code: "invalid_priority"},
	{name: "huge priority", body: `{"session_id":"a","priority":4096}`, status: 400, code: "invalid_priority"},
	{name: "priority beyond any integer", body: `{"session_id":"a","priority":1e300}`, status: 400, code: "invalid_field"},
	{name: "callback to 127.0.0.1", body: callback("https://127.0.0.1/"), status: 400, code: "invalid_callback_url"},
	{name: "callback to 169.254.169.254", body: callback("https://169.254.169.254/computeMetadata/v1/"), status: 400, code: "invalid_callback_url"},
	{name: "callback to [::1]", body: callback("https://[::1]/"), status: 400, code: "invalid_callback_url"},
	{name: "callback to a name that resolves there", body: callback("https://localhost/"), status: 400, code: "invalid_callback_url"},
	{name: "callback to a number that is 127.0.0.1", body: callback("https://2130706433/"), status: 400, code: "invalid_callback_url"},
	{name: "callback with user:pass@", body: callback("https://user:pass@93.184.216.34/"), status: 400, code: "invalid_callback_url"},
	{name: "callback without https", body: callback("http://93.184.216.34/"), status: 400, code: "invalid_callback_url"},
	{name: "source in the deployment's own bucket", body: `{"session_id":"a","source":"gs://artifacts/webhooks/keys.json"}`, status: 400, code: "invalid_source"},
	{name: "source on disk", body: `{"session_id":"a","source":"file:///etc/passwd"}`, status: 400, code: "invalid_source"},
	{name: "zip with ../", upload: zipOf(entry{name: "../../escaped.jpg"}), code: "bad_archive"},
	{name: "zip with absolute names", upload: zipOf(entry{name: "/tmp/escaped.jpg"}), code: "bad_archive"},
	{name: "zip with backslashes upward", upload: zipOf(entry{name: `..\..\escaped.jpg`}), code: "bad_archive"},
	{name: "zip of symlinks", upload: zipOf(entry{name: "a.jpg", mode: fs.ModeSymlink | 0o777, content: "/etc/passwd"}), code: "too_few_photos"},
	{name: "zip with 100,000 entries", upload: manyEntries, code: "archive_too_large"},
	{name: "zip bomb of 1:1000", upload: bomb(bombBytes), code: "archive_too_large"},
	{name: "zip bomb of 1:1000 that claims to be small", upload: bomb(1000), code: "not_a_photo"}, // its one member is damaged: it holds more than it says
	{name: "images of 50,000 x 50,000 px by their headers", upload: hugeImages, code: "not_a_photo"},
}

// TestHostileInput sends every row to a running backend whose callers are untrusted. Refused calls leave nothing
// behind; accepted ones with hostile content FAIL with advice, and the backend works on.
func TestHostileInput(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server")
	b := start(t, t.TempDir(), "--untrusted", "--rate-limit", "100000")
	asked := map[string]accepted{}
	for i, row := range hostileTable {
		if row.upload != nil { // all at once, then looked at: workers take them one after another
			a := b.trigger(fmt.Sprintf("hostile-%d", i), `{"preset":"preview"}`)
			b.upload(a, row.upload(t))
			asked[row.name] = a
		}
	}
	for _, row := range hostileTable {
		t.Run(row.name, func(t *testing.T) {
			if row.upload != nil {
				d := b.until(asked[row.name], "it failed", func(d document) bool { return d.Status == "FAILED" })
				f := d.Failure
				if f == nil || f.Kind != "invalid_input" || f.Code != row.code || f.Stage != "filter" || f.Message == "" || f.Advice == "" || f.Retryable || d.Attempts != 1 {
					t.Fatalf("attempt %d, failure %+v, want %s", d.Attempts, f, row.code)
				}
				return
			}
			contentType := row.contentType
			if contentType == "" {
				contentType = "application/json"
			}
			resp, err := http.Post(b.url+"/trigger-reconstruction", contentType, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			var p struct{ Code, Detail, Advice string }
			if err := json.Unmarshal(body, &p); err != nil || resp.StatusCode != row.status || p.Code != row.code || p.Detail == "" || p.Advice == "" {
				t.Fatalf("%s %s, want %d %s", resp.Status, body, row.status, row.code)
			}
		})
	}
	// Every request that reached the queue has a record: there are exactly those with a hostile upload.
	if n := len(b.objects(b.storageURL(), "artifacts", "requests/")); n != len(asked) {
		t.Errorf("%d requests were taken in, want %d", n, len(asked))
	}
}

type entry struct {
	name, content string
	mode          fs.FileMode
}

// zipOf is a zip with the entries, stored.
func zipOf(entries ...entry) func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for _, e := range entries {
			h := &zip.FileHeader{Name: e.name, Method: zip.Store}
			h.SetMode(e.mode | 0o600)
			w, err := z.CreateHeader(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, e.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
}

func manyEntries(t *testing.T) []byte {
	entries := make([]entry, 100_000)
	for i := range entries {
		entries[i].name = fmt.Sprintf("%d.jpg", i)
	}
	return zipOf(entries...)(t)
}

const bombBytes = 300 << 20

// bomb is a zip of one member, 300 MB of zeros in 300 kB, that claims to have a size.
func bomb(claimed uint64) func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		var packed bytes.Buffer
		f, err := flate.NewWriter(&packed, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		zeros, sum := make([]byte, 1<<20), crc32.NewIEEE()
		for range bombBytes >> 20 {
			if _, err := f.Write(zeros); err != nil {
				t.Fatal(err)
			}
			sum.Write(zeros)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if ratio := bombBytes / packed.Len(); ratio < 1000 {
			t.Fatalf("the bomb is only 1:%d", ratio)
		}
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		w, err := z.CreateRaw(&zip.FileHeader{Name: "a.jpg", Method: zip.Deflate, CRC32: sum.Sum32(), CompressedSize64: uint64(packed.Len()), UncompressedSize64: claimed})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(packed.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
}

// hugeImages are PNG headers of 50,000 x 50,000 px: ten gigabytes each if anybody believed them.
func hugeImages(t *testing.T) []byte {
	chunk := func(kind string, data []byte) []byte {
		body := append([]byte(kind), data...)
		b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		return binary.BigEndian.AppendUint32(append(b, body...), crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 50_000), 50_000)
	png := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(header, 8, 6, 0, 0, 0))...)
	png = append(png, chunk("IDAT", nil)...)
	png = append(png, chunk("IEND", nil)...)
	var entries []entry
	for i := range 5 {
		entries = append(entries, entry{name: fmt.Sprintf("%d.png", i), content: string(png)})
	}
	return zipOf(entries...)(t)
}
