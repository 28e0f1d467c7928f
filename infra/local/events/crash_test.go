package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/infra/local/child/childtest"
	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/infra/local/gcs"
)

// TestMain serves a folder when asked to: the process that the test below kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_SERVE_CLOUD"); dir != "" {
		serveForever(dir, os.Getenv("TEST_RECEIVER"))
	}
	os.Exit(m.Run())
}

func serveForever(dir, receiver string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	relay, err := events.Open(filepath.Join(dir, "events"), events.Options{RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond})
	must(err)
	s, err := gcs.Open(filepath.Join(dir, "storage"), gcs.Options{Listener: relay, NoSync: true})
	must(err)
	must(s.Bucket(context.Background(), "inbox", nil))
	must(relay.Register(events.OnFinalized("inbox", receiver)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println("http://" + l.Addr().String())
	go func() { // the parent's end is ours
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	must(http.Serve(l, s))
}

// TestEveryObjectHasItsEvent kills the process again and again while objects are written and a receiver refuses a third
// of what it gets. In the end every object that exists was delivered.
func TestEveryObjectHasItsEvent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var (
		mu     sync.Mutex
		asked  int
		heard  = map[string]int{}
		change = make(chan struct{}, 1)
	)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o gcs.Object
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Errorf("event without an object: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		heard[fmt.Sprintf("%s#%d", o.Name, o.Generation)]++
		select {
		case change <- struct{}{}:
		default:
		}
	}))
	defer receiver.Close()
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	const rounds, perRound = 5, 20
	for round := range rounds {
		p := childtest.Start(t, "TEST_SERVE_CLOUD="+dir, "TEST_RECEIVER="+receiver.URL)
		acked := make(chan string)
		var writers sync.WaitGroup
		for w := range 3 {
			writers.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("%d/%d/%d", round, w, i)
					if !put(ctx, p.Said, name) {
						return // the process is gone
					}
					acked <- name
				}
			})
		}
		for range perRound {
			acknowledged[<-acked] = true
		}
		go p.Kill()
		go func() {
			writers.Wait()
			close(acked)
		}()
		for name := range acked {
			acknowledged[name] = true
		}
	}
	p := childtest.Start(t, "TEST_SERVE_CLOUD="+dir, "TEST_RECEIVER="+receiver.URL)
	exists := list(t, ctx, p.Said)
	t.Logf("%d objects acknowledged, %d exist", len(acknowledged), len(exists))
	for name := range acknowledged {
		if exists[name] == "" {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	missing := func() (name string) {
		mu.Lock()
		defer mu.Unlock()
		for name, id := range exists {
			if heard[id] == 0 {
				return name
			}
		}
		return ""
	}
	for missing() != "" {
		select {
		case <-ctx.Done():
			t.Fatalf("%s exists, but its event never came", missing())
		case <-change:
		}
	}
}

func put(ctx context.Context, base, name string) bool {
	req, err := http.NewRequestWithContext(ctx, "POST", base+"/upload/storage/v1/b/inbox/o?uploadType=media&ifGenerationMatch=0&name="+url.QueryEscape(name), strings.NewReader(name))
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

// list returns name#generation by name.
func list(t *testing.T, ctx context.Context, base string) map[string]string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/storage/v1/b/inbox/o", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Items         []gcs.Object
		NextPageToken string
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || page.NextPageToken != "" {
		t.Fatalf("list: %v, next page %q", err, page.NextPageToken)
	}
	ids := map[string]string{}
	for _, o := range page.Items {
		ids[o.Name] = fmt.Sprintf("%s#%d", o.Name, o.Generation)
	}
	return ids
}
