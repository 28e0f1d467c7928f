package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/infra/local/gcs"
)

// receiver answers deliveries without a network, so that time can be virtual (testing/synctest).
type receiver struct {
	mu     sync.Mutex
	got    []delivered
	answer func(n int, r *http.Request) (int, error) // n: the number of the delivery, from 0
}

type delivered struct {
	url, id, subject string
	at               time.Time
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	r.mu.Lock()
	n := len(r.got)
	r.got = append(r.got, delivered{req.URL.String(), req.Header.Get("Ce-Id"), req.Header.Get("Ce-Subject"), time.Now()})
	r.mu.Unlock()
	status := http.StatusNoContent
	if r.answer != nil {
		var err error
		if status, err = r.answer(n, req); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

func (r *receiver) deliveries() []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) subjects() []string {
	var list []string
	for _, d := range r.deliveries() {
		list = append(list, strings.TrimPrefix(d.subject, "objects/"))
	}
	return list
}

func open(t *testing.T, dir string, o events.Options) *events.Relay {
	t.Helper()
	r, err := events.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func register(t *testing.T, r *events.Relay, bucket, url string) {
	t.Helper()
	if err := r.Register(events.OnFinalized(bucket, url)); err != nil {
		t.Fatal(err)
	}
}

func closeRelay(t *testing.T, r *events.Relay) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

var generation int64

func object(name string) gcs.Object {
	generation++
	return gcs.Object{Bucket: "b", Name: name, Generation: generation, Metageneration: 1, Size: 3, CRC32C: "AAAAAA==", MD5Hash: "x", Updated: time.Now()}
}

func idle(t *testing.T, r *events.Relay) {
	t.Helper()
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBackoffAndRetention(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{answer: func(int, *http.Request) (int, error) { return http.StatusInternalServerError, nil }}
		r := open(t, dir, events.Options{Transport: to})
		defer closeRelay(t, r)
		register(t, r, "b", "http://stage/")
		begin := time.Now()
		r.Finalized(object("n"))
		idle(t, r) // given up
		got := to.deliveries()
		var waits []time.Duration
		for i := 1; i < len(got); i++ {
			waits = append(waits, got[i].at.Sub(got[i-1].at))
		}
		want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 600 * time.Second, 600 * time.Second}
		if !got[0].at.Equal(begin) || !slices.Equal(waits[:len(want)], want) {
			t.Errorf("first after %v, then every %v, want %v", got[0].at.Sub(begin), waits[:len(want)], want)
		}
		if last := got[len(got)-1].at.Sub(begin); last > 24*time.Hour || last < 24*time.Hour-600*time.Second {
			t.Errorf("last attempt after %v, want just before 24 h", last)
		}
		if s := r.Stats(); s.Expired != 1 || s.Pending != 0 || s.Delivered != 0 || s.Refused != len(got) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestEveryKindOfRefusalIsRepeated(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		statuses := []int{500, 400, 404, 422, 429, 302, 503}
		to := &receiver{}
		to.answer = func(n int, req *http.Request) (int, error) {
			switch {
			case n < len(statuses):
				return statuses[n], nil
			case n == len(statuses):
				return 0, errors.New("connection refused")
			case n == len(statuses)+1: // silence, until the deadline
				<-req.Context().Done()
				return 0, req.Context().Err()
			}
			return 201, nil
		}
		r := open(t, dir, events.Options{Transport: to, RetryMax: 10 * time.Second})
		defer closeRelay(t, r)
		register(t, r, "b", "http://stage/")
		begin := time.Now()
		r.Finalized(object("n"))
		idle(t, r)
		got := to.deliveries()
		if len(got) != len(statuses)+3 {
			t.Fatalf("%d deliveries, want %d", len(got), len(statuses)+3)
		}
		for _, d := range got {
			if d.id != got[0].id || d.id == "" {
				t.Errorf("id %q, then %q", got[0].id, d.id)
			}
		}
		// One wait of 10 s after each refusal, and the push deadline of 10 s once.
		if took := time.Since(begin); took != time.Duration(len(got))*10*time.Second {
			t.Errorf("took %v for %d deliveries", took, len(got))
		}
	})
}

func TestASlowReceiverDoesNotHoldUpOthers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{}
		to.answer = func(_ int, req *http.Request) (int, error) {
			if req.URL.Host == "slow" {
				<-req.Context().Done()
				return 0, req.Context().Err()
			}
			return 200, nil
		}
		r := open(t, dir, events.Options{Transport: to, InFlight: 2})
		defer closeRelay(t, r)
		register(t, r, "b", "http://slow/")
		register(t, r, "c", "http://fast/")
		for i := range 5 {
			r.Finalized(object(fmt.Sprint("slow", i)))
		}
		o := object("fast")
		o.Bucket = "c"
		r.Finalized(o)
		synctest.Wait()
		if got := to.subjects(); !slices.Contains(got, "fast") || len(got) != 3 {
			t.Errorf("deliveries %q, want two slow ones and the fast one", got)
		}
	})
}

func TestStateSurvivesAnEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		down := &receiver{answer: func(int, *http.Request) (int, error) { return 0, errors.New("nobody there") }}
		r := open(t, dir, events.Options{Transport: down})
		register(t, r, "b", "http://old/")
		r.Finalized(object("one"))
		synctest.Wait()
		closeRelay(t, r)

		// The next run has not yet registered: new events are kept too, nothing goes to the old address.
		up := &receiver{}
		r = open(t, dir, events.Options{Transport: up})
		r.Finalized(object("two"))
		synctest.Wait()
		if s := r.Stats(); s.Pending != 2 || s.Parked != 2 || len(up.deliveries()) != 0 {
			t.Errorf("stats %+v, deliveries %v", s, up.deliveries())
		}
		idle(t, r) // nothing that could be delivered
		last := generation
		if r.Heard() != last {
			t.Errorf("heard %d, want %d", r.Heard(), last)
		}
		register(t, r, "b", "http://new/")
		idle(t, r)
		if got := up.subjects(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"one", "two"}) {
			t.Errorf("delivered %q", got)
		}
		if up.deliveries()[0].url != "http://new/" {
			t.Errorf("to %s", up.deliveries()[0].url)
		}
		closeRelay(t, r)

		r = open(t, dir, events.Options{Transport: up})
		defer closeRelay(t, r)
		register(t, r, "b", "http://new/")
		synctest.Wait()
		if n := len(up.deliveries()); n != 2 {
			t.Errorf("%d deliveries after a restart, want no new ones", n-2)
		}
	})
}

func TestEventsGoToMatchingTriggersOnly(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{}
		r := open(t, dir, events.Options{Transport: to})
		defer closeRelay(t, r)
		register(t, r, "other", "http://other/")
		o := object("unheard")
		r.Finalized(o)
		synctest.Wait()
		if len(to.deliveries()) != 0 || r.Heard() != o.Generation {
			t.Errorf("deliveries %v, heard %d of %d", to.deliveries(), r.Heard(), o.Generation)
		}
		register(t, r, "b", "http://first/")
		second := events.OnFinalized("b", "http://second/")
		second.Name = "second"
		if err := r.Register(second); err != nil {
			t.Fatal(err)
		}
		r.Finalized(object("n"))
		idle(t, r)
		ids := map[string]string{}
		for _, d := range to.deliveries() {
			ids[d.url] = d.id
		}
		if len(ids) != 2 || ids["http://first/"] == ids["http://second/"] {
			t.Errorf("deliveries by URL %v", ids)
		}
		if err := r.Register(events.Trigger{Name: "incomplete"}); err == nil {
			t.Error("registered a trigger without a URL")
		}
	})
}

// held is a receiver that is reached once a channel is closed.
type held struct {
	http.RoundTripper
	until <-chan struct{}
}

func (h held) RoundTrip(r *http.Request) (*http.Response, error) {
	<-h.until
	return h.RoundTripper.RoundTrip(r)
}

func TestChaos(t *testing.T) {
	run := func(dir string, chaos events.Chaos) (subjects []string, longest time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			to := &receiver{}
			all := make(chan struct{}) // the first delivery waits until all are due: what is delivered while others are emitted is in order
			r := open(t, dir, events.Options{Transport: held{to, all}, Chaos: chaos, InFlight: 1})
			defer closeRelay(t, r)
			for i := range 10 {
				r.Finalized(object(fmt.Sprint(i))) // no trigger yet: nothing
			}
			register(t, r, "b", "http://stage/")
			begin := time.Now()
			for i := range 10 {
				r.Finalized(object(fmt.Sprint(i)))
			}
			close(all)
			idle(t, r)
			for _, d := range to.deliveries() {
				subjects = append(subjects, strings.TrimPrefix(d.subject, "objects/"))
				longest = max(longest, d.at.Sub(begin))
			}
		})
		return subjects, longest
	}
	inOrder := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	if got, _ := run(t.TempDir(), events.Chaos{}); !slices.Equal(got, inOrder) {
		t.Errorf("without chaos %q", got)
	}
	got, _ := run(t.TempDir(), events.Chaos{Duplicates: 2})
	counts := map[string]int{}
	for _, s := range got {
		counts[s]++
	}
	if len(got) != 30 || len(counts) != 10 || slices.Max(slices.Collect(maps.Values(counts))) != 3 {
		t.Errorf("duplicates: %v", counts)
	}
	first, longest := run(t.TempDir(), events.Chaos{Seed: 1, MaxDelay: time.Minute})
	if slices.Equal(first, inOrder) || longest == 0 || longest > time.Minute {
		t.Errorf("delay: %q within %v", first, longest)
	}
	if again, _ := run(t.TempDir(), events.Chaos{Seed: 1, MaxDelay: time.Minute}); !slices.Equal(again, first) {
		t.Errorf("the same seed gives %q, then %q", first, again)
	}
	if other, _ := run(t.TempDir(), events.Chaos{Seed: 2, MaxDelay: time.Minute}); slices.Equal(other, first) {
		t.Errorf("another seed gives the same order %q", other)
	}
	if got, _ := run(t.TempDir(), events.Chaos{Seed: 1, Reorder: true}); slices.Equal(got, inOrder) || len(got) != 10 {
		t.Errorf("reorder: %q", got)
	}
}

// TestTheFormOfAnEvent reads a delivery with the CloudEvents library, as a receiver does.
func TestTheFormOfAnEvent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{}
		var written gcs.Object
		to.answer = func(_ int, req *http.Request) (int, error) {
			if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %v", req.Method, req.Header)
			}
			body, err := req.GetBody()
			if err != nil {
				return 0, err
			}
			e, err := binding.ToEvent(context.Background(), cehttp.NewMessage(req.Header, body))
			if err != nil {
				return 0, err
			}
			if e.SpecVersion() != "1.0" || e.Type() != "google.cloud.storage.object.v1.finalized" || e.ID() == "" || e.Time().IsZero() ||
				e.Source() != "//storage.googleapis.com/projects/_/buckets/bbb" || e.Subject() != "objects/req/video.mp4" || e.Extensions()["bucket"] != "bbb" {
				t.Errorf("event %v", e)
			}
			var data map[string]any
			if err := json.Unmarshal(e.Data(), &data); err != nil {
				return 0, err
			}
			for key, want := range map[string]any{"kind": "storage#object", "bucket": "bbb", "name": "req/video.mp4", "size": "3", "metageneration": "1",
				"contentType": "video/mp4", "crc32c": "Nks/tw==", "md5Hash": "kAFQmDzST7DWlj99KOF/cg==", "storageClass": "STANDARD"} {
				if data[key] != want {
					t.Errorf("%s is %v, want %v", key, data[key], want)
				}
			}
			for _, key := range []string{"id", "generation", "selfLink", "mediaLink", "etag", "timeCreated", "updated", "timeStorageClassUpdated"} {
				if data[key] == nil || data[key] == "" {
					t.Errorf("%s is missing", key)
				}
			}
			return 200, nil
		}
		r := open(t, dir, events.Options{Transport: to})
		defer closeRelay(t, r)
		register(t, r, "bbb", "http://stage/")
		s, err := gcs.Open(t.TempDir(), gcs.Options{NoSync: true, Listener: r})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Bucket(t.Context(), "bbb", nil); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		req := httptest.NewRequest("POST", "http://127.0.0.1/upload/storage/v1/b/bbb/o?uploadType=media&name=req/video.mp4", strings.NewReader("abc"))
		req.Header.Set("Content-Type", "video/mp4")
		s.ServeHTTP(w, req)
		if err := json.Unmarshal(w.Body.Bytes(), &written); err != nil {
			t.Fatal(err, w.Body)
		}
		idle(t, r)
		if len(to.deliveries()) != 1 || r.Stats().Delivered != 1 || r.Heard() != written.Generation {
			t.Errorf("stats %+v, heard %d of %d", r.Stats(), r.Heard(), written.Generation)
		}
	})
}

func TestOddNamesInHeaders(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{}
		r := open(t, dir, events.Options{Transport: to})
		defer closeRelay(t, r)
		register(t, r, "b", "http://stage/")
		r.Finalized(object("a b\r\nX-Evil: 1\"%é"))
		idle(t, r)
		if got := to.deliveries()[0].subject; got != "objects/a%20b%0D%0AX-Evil:%201%22%25%C3%A9" {
			t.Errorf("ce-subject %q", got)
		}
	})
}
