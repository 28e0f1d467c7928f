package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/pipeline"
)

// at is a client of a test server that never really sleeps; slept collects its pauses.
func at(server *httptest.Server) (*Client, *[]time.Duration) {
	slept := &[]time.Duration{}
	return &Client{BaseURL: server.URL, HTTP: server.Client(), Jitter: func() float64 { return 0.5 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			*slept = append(*slept, d)
			return ctx.Err()
		}}, slept
}

// storage is a bucket that takes resumable uploads, and troubles that happen once each, in order, one per PUT.
type storage struct {
	*httptest.Server
	mu       sync.Mutex
	got      []byte
	done     bool
	sessions int
	troubles []string
	calls    []string
}

func newStorage(t *testing.T, troubles ...string) *storage {
	s := &storage{troubles: troubles}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *storage) upload() Upload {
	return Upload{Method: "POST", URL: s.URL + "/start", Headers: map[string]string{"x-goog-resumable": "start", "content-type": "video/mp4"}}
}

func (s *storage) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/start" {
		if r.Method != "POST" || r.Header.Get("x-goog-resumable") != "start" || r.Header.Get("Content-Type") != "video/mp4" || r.ContentLength > 0 {
			http.Error(w, "wrong start", http.StatusForbidden)
			return
		}
		s.sessions++
		s.got = nil
		w.Header().Set("Location", s.URL+"/session?upload_id="+strconv.Itoa(s.sessions))
		w.WriteHeader(http.StatusCreated)
		return
	}
	s.calls = append(s.calls, r.Header.Get("Content-Range"))
	trouble := ""
	if len(s.troubles) > 0 {
		trouble, s.troubles = s.troubles[0], s.troubles[1:]
	}
	switch trouble {
	case "503":
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	case "gone":
		http.Error(w, "gone", http.StatusGone)
		return
	case "403":
		http.Error(w, "no", http.StatusForbidden)
		return
	case "cut": // half of the chunk arrives, and no answer
		b := make([]byte, r.ContentLength/2)
		_, _ = io.ReadFull(r.Body, b)
		s.got = append(s.got, b[:len(b)/(256<<10)*(256<<10)]...)
		panic(http.ErrAbortHandler)
	}
	var first, last, total int
	if n, _ := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); n == 3 {
		b, err := io.ReadAll(r.Body)
		if err != nil || first != len(s.got) || len(b) != last-first+1 || (last+1 < total && len(b)%(256<<10) != 0) {
			http.Error(w, fmt.Sprintf("chunk %d-%d does not fit: %d bytes here, %v", first, last, len(s.got), err), http.StatusBadRequest)
			return
		}
		s.got = append(s.got, b...)
		s.done = len(s.got) == total
	}
	switch {
	case trouble == "lost answer":
		panic(http.ErrAbortHandler)
	case s.done:
		w.WriteHeader(http.StatusOK)
	default:
		if len(s.got) > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(s.got)-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect)
	}
}

func capture(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestUploadResumesAfterEveryTrouble(t *testing.T) {
	content := capture(5*256<<10 + 100) // five chunks and a bit
	for name, c := range map[string]struct {
		troubles []string
		sessions int
	}{
		"none":                  {nil, 1},
		"unavailable":           {[]string{"", "503", "503"}, 1},
		"connection cut":        {[]string{"", "cut", "", "cut"}, 1},
		"answer lost":           {[]string{"lost answer", "", "lost answer"}, 1},
		"last answer lost":      {[]string{"", "", "", "", "", "lost answer"}, 1},
		"session gone":          {[]string{"", "", "gone"}, 2},
		"question unanswered":   {[]string{"503", "503", "503"}, 1},
		"trouble all the while": {strings.Split("503,,,503,,,503,,,503,,,503,,,503,,", ","), 1}, // a chunk fails, the question and the next try succeed,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStorage(t, c.troubles...)
			client, _ := at(s.Server)
			client.ChunkBytes = 1 // rounded up to 256 KiB
			var seen []int64
			err := client.Upload(t.Context(), s.upload(), bytes.NewReader(content), int64(len(content)), func(sent, total int64) {
				if total != int64(len(content)) {
					t.Errorf("total %d", total)
				}
				seen = append(seen, sent)
			})
			if err != nil {
				t.Fatal(err)
			}
			if !s.done || !bytes.Equal(s.got, content) || s.sessions != c.sessions {
				t.Fatalf("done %v, %d of %d bytes, %d sessions", s.done, len(s.got), len(content), s.sessions)
			}
			if seen[len(seen)-1] != int64(len(content)) {
				t.Errorf("progress %v", seen)
			}
		})
	}
}

func TestUploadGivesUp(t *testing.T) {
	content := capture(1000)
	t.Run("refused", func(t *testing.T) {
		s := newStorage(t, "403")
		client, slept := at(s.Server)
		var p *Problem
		if err := client.Upload(t.Context(), s.upload(), bytes.NewReader(content), 1000, nil); !errors.As(err, &p) || p.Status != 403 {
			t.Fatal(err)
		}
		if len(*slept) != 0 {
			t.Errorf("slept %v before giving up for good", *slept)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>QuotaExceeded</Code><Message>There is no room in /data.</Message></Error>`)
		}))
		defer full.Close()
		client, slept := at(full)
		var p *Problem
		err := client.Upload(t.Context(), Upload{Method: "POST", URL: full.URL}, bytes.NewReader(content), 1000, nil)
		if !errors.As(err, &p) || p.Code != "disk_full" || p.Detail != "There is no room in /data." || p.Advice == "" || len(*slept) != 0 {
			t.Errorf("slept %v: %v", *slept, err)
		}
	})
	t.Run("trouble without end", func(t *testing.T) {
		s := newStorage(t, strings.Split(strings.Repeat("503 ", 100), " ")...)
		client, slept := at(s.Server)
		if err := client.Upload(t.Context(), s.upload(), bytes.NewReader(content), 1000, nil); err == nil {
			t.Fatal("no error")
		}
		if want := []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9}; fmt.Sprint(*slept) != fmt.Sprint(want) {
			t.Errorf("slept %v, want %v", *slept, want)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		s := newStorage(t, "503", "503")
		client, _ := at(s.Server)
		ctx, cancel := context.WithCancel(t.Context())
		client.Sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
		if err := client.Upload(ctx, s.upload(), bytes.NewReader(content), 1000, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		u := newStorage(t).upload()
		u.MaxBytes = 999
		if err := new(Client).Upload(t.Context(), u, bytes.NewReader(content), 1000, nil); err == nil {
			t.Fatal("no error")
		}
	})
	t.Run("empty", func(t *testing.T) {
		if err := new(Client).Upload(t.Context(), Upload{}, bytes.NewReader(nil), 0, nil); err == nil {
			t.Fatal("no error")
		}
	})
}

func TestUploadErrorsHoldNoCredentials(t *testing.T) {
	s := newStorage(t)
	u := s.upload()
	u.URL += "?X-Goog-Signature=feed"
	s.Close()
	client, _ := at(s.Server)
	err := client.Upload(t.Context(), u, bytes.NewReader(capture(10)), 10, nil)
	if err == nil || strings.Contains(err.Error(), "feed") {
		t.Fatal(err)
	}
}

func TestRangeOfAnUpload(t *testing.T) {
	for header, want := range map[string]int64{"": 0, "bytes=0-0": 1, "bytes=0-262143": 262144} {
		if got, err := nextByte(header); err != nil || got != want {
			t.Errorf("%q: %d %v", header, got, err)
		}
	}
	for _, header := range []string{"bytes=1-2", "0-2", "bytes=0--1", "bytes=0-x", "bytes=0-99999999999999999999"} {
		if got, err := nextByte(header); err == nil {
			t.Errorf("%q: %d", header, got)
		}
	}
}

// answers is a server that gives one prepared answer after the other.
type answer struct {
	status  int
	headers map[string]string
	body    any
}

func serveAnswers(t *testing.T, answers ...answer) (*httptest.Server, *[]*http.Request) {
	seen := &[]*http.Request{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Clone(context.Background()))
		if len(answers) == 0 {
			t.Error("called once too often")
			return
		}
		a := answers[0]
		answers = answers[1:]
		for k, v := range a.headers {
			w.Header().Set(k, v)
		}
		w.WriteHeader(a.status)
		if a.body != nil {
			_ = json.NewEncoder(w).Encode(a.body)
		}
	}))
	t.Cleanup(s.Close)
	return s, seen
}

func TestWaitTellsChangesAndRidesOutTrouble(t *testing.T) {
	tag := func(n string) map[string]string { return map[string]string{"ETag": n} }
	s, seen := serveAnswers(t,
		answer{200, tag("a"), Status{Status: pipeline.Queued}},
		answer{304, nil, nil},
		answer{304, nil, nil},
		answer{503, map[string]string{"Content-Type": "application/problem+json"}, Problem{Code: "queue_unavailable"}},
		answer{502, nil, nil},
		answer{200, tag("b"), Status{Status: pipeline.Processing}},
		answer{200, tag("c"), Status{Status: pipeline.Completed}},
	)
	client, slept := at(s)
	var statuses []pipeline.Status
	last, err := client.Wait(t.Context(), "secret", func(s *Status) { statuses = append(statuses, s.Status) })
	if err != nil {
		t.Fatal(err)
	}
	if last.Status != pipeline.Completed || fmt.Sprint(statuses) != "[QUEUED PROCESSING COMPLETED]" {
		t.Errorf("last %s, seen %v", last.Status, statuses)
	}
	if want := []time.Duration{5e8, 5e8, 5e8, 1e9, 2e9, 5e8}; fmt.Sprint(*slept) != fmt.Sprint(want) {
		t.Errorf("slept %v, want %v", *slept, want)
	}
	for i, want := range []string{"", "a", "a", "a", "a", "a", "b"} {
		if got := (*seen)[i].Header.Get("If-None-Match"); got != want || (*seen)[i].Header.Get("Authorization") != "Bearer secret" || ((*seen)[i].URL.RawQuery != "") != (want != "") {
			t.Errorf("poll %d: tag %q, query %q", i, got, (*seen)[i].URL.RawQuery)
		}
	}
}

func TestWaitEndsWhenNothingCanChange(t *testing.T) {
	s, _ := serveAnswers(t, answer{404, map[string]string{"Content-Type": "application/problem+json"}, Problem{Code: "unknown_request", Detail: "d"}})
	client, _ := at(s)
	var p *Problem
	if _, err := client.Wait(t.Context(), "x", nil); !errors.As(err, &p) || p.Code != "unknown_request" || p.Status != 404 {
		t.Fatal(err)
	}
	s.Close()
	if _, err := client.Wait(t.Context(), "x", nil); err == nil {
		t.Fatal("waits for a server that is gone")
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	s, seen := serveAnswers(t,
		answer{429, map[string]string{"Content-Type": "application/problem+json", "Retry-After": "42"}, Problem{Code: "rate_limited", Retryable: true}},
		answer{500, map[string]string{"Content-Type": "text/html"}, "<html>"},
		answer{202, nil, Accepted{RequestID: "r", CallbackToken: "t"}},
	)
	client, _ := at(s)
	client.APIKey = "key"
	var p *Problem
	if _, err := client.Trigger(t.Context(), Trigger{SessionID: "s"}); !errors.As(err, &p) || p.RetryAfter != 42*time.Second || !p.Retryable {
		t.Fatal(err)
	}
	if _, err := client.Trigger(t.Context(), Trigger{SessionID: "s"}); !errors.As(err, &p) || p.Status != 500 || p.Code != "unexpected_answer" {
		t.Fatal(err)
	}
	if a, err := client.Trigger(t.Context(), Trigger{SessionID: "s"}); err != nil || a.CallbackToken != "t" {
		t.Fatal(a, err)
	}
	if r := (*seen)[2]; r.Method != "POST" || r.URL.Path != "/trigger-reconstruction" || r.Header.Get("X-Api-Key") != "key" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	for _, base := range []string{"", "example.com", "ftp://example.com"} {
		if _, err := (&Client{BaseURL: base}).Status(t.Context(), "x"); err == nil {
			t.Errorf("base %q accepted", base)
		}
	}
}

func TestDownloadChecksWhatItGot(t *testing.T) {
	content := capture(10_000)
	sum := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	text := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	for name, c := range map[string]struct {
		send []byte
		size int64
		ok   bool
	}{
		"whole":   {content, 10_000, true},
		"short":   {content[:9_999], 10_000, false},
		"long":    {append(bytes.Clone(content), 1), 10_000, false},
		"changed": {append([]byte{content[0] + 1}, content[1:]...), 10_000, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.send) }))
			defer s.Close()
			client, _ := at(s)
			var got bytes.Buffer
			err := client.Download(t.Context(), Result{URL: s.URL, Size: c.size, CRC32C: text}, &got)
			if c.ok != (err == nil) || (c.ok && !bytes.Equal(got.Bytes(), content)) || (!c.ok && !errors.Is(err, ErrCorrupt)) {
				t.Fatalf("%d bytes, %v", got.Len(), err)
			}
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	client, _ := at(gone)
	var p *Problem
	if err := client.Download(t.Context(), Result{URL: gone.URL}, io.Discard); !errors.As(err, &p) || p.Status != 404 {
		t.Fatal(err)
	}
}

func TestEnded(t *testing.T) {
	failure := pipeline.Failure{Code: "no_video", Message: "No video."}
	s := &Status{Status: pipeline.Failed}
	if err := Ended(s); err == nil {
		t.Error("FAILED is no error")
	}
	var f *pipeline.Failure
	s.Failure = &api.Failure{Failure: failure}
	if err := Ended(s); !errors.As(err, &f) || f.Code != "no_video" {
		t.Error(err)
	}
	if err := Ended(&Status{Status: pipeline.Completed}); err != nil {
		t.Error(err)
	}
}
