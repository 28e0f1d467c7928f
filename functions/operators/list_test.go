package operators_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/functions/operators"
	"github.com/splatworks/splatworks/pipeline"
)

type page struct {
	Requests []operators.Request `json:"requests"`
	Next     string              `json:"next_cursor"`
}

// TestListSearchesAndTurnsAround: page by page, in either order, no request is listed twice or left out.
func TestListSearchesAndTurnsAround(t *testing.T) {
	w := newWorld(t)
	var sessions []string
	for _, name := range []string{"garden-1", "Garden-2", "kitchen", "garden-3"} {
		w.submit(name, 0)
		w.time = w.time.Add(time.Second)
		sessions = append(sessions, name)
	}
	listed := func(query string) (found []string) {
		t.Helper()
		cursor := ""
		for range 10 {
			p := get[page](w, "GET", "/requests?limit=1"+query+cursor, "", http.StatusOK)
			for _, r := range p.Requests {
				found = append(found, r.SessionID)
			}
			if p.Next == "" {
				return found
			}
			cursor = "&cursor=" + p.Next
		}
		t.Fatalf("%s never ends: %v", query, found)
		return nil
	}
	backwards := slices.Clone(sessions)
	slices.Reverse(backwards)
	for query, want := range map[string][]string{
		"": sessions, "&order=newest": backwards, "&search=garden": {"garden-1", "Garden-2", "garden-3"},
		"&search=GARDEN&order=newest": {"garden-3", "Garden-2", "garden-1"}, "&search=nothing": nil,
	} {
		if got := listed(query); !slices.Equal(got, want) {
			t.Errorf("%q lists %v, want %v", query, got, want)
		}
	}
	w.refused("GET", "/requests?order=oldest", "", http.StatusBadRequest, "invalid_order")
}

// TestObjectsOfARequest: all that are its own, and no others.
func TestObjectsOfARequest(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.submit("b", 0)
	names := []string{artifacts.UploadName(a.ID, "more"), artifacts.Path(a.ID, pipeline.Train, 3, artifacts.Checkpoint)}
	for i, bucket := range []string{"inbox-filter", "artifacts"} {
		if _, err := w.store.Put(t.Context(), bucket, names[i], strings.NewReader("x"), artifacts.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	got := get[struct{ Objects []pipeline.Object }](w, "GET", "/objects/"+a.ID, "", http.StatusOK)
	var found []string
	for _, o := range got.Objects {
		found = append(found, o.Name)
	}
	if slices.Sort(found); !slices.Contains(found, names[0]) || !slices.Contains(found, names[1]) || len(found) != 3 { // with its upload
		t.Errorf("objects %v, want %v", found, names)
	}
	if err := errors.Join(w.queue.Cancel(t.Context(), a.ID), w.queue.Forget(t.Context(), a.ID)); err != nil {
		t.Fatal(err)
	}
	if forgotten := get[struct{ Objects []pipeline.Object }](w, "GET", "/objects/"+a.ID, "", http.StatusOK); len(forgotten.Objects) != 3 {
		t.Errorf("the queue has forgotten it, and %d objects are left", len(forgotten.Objects))
	}
	w.refused("GET", "/objects/00000000000000000000000000", "", http.StatusNotFound, "unknown_request")
	w.refused("GET", "/objects/none", "", http.StatusNotFound, "unknown_request")
	w.service.Store = awayStore{w.store}
	w.refused("GET", "/objects/"+a.ID, "", http.StatusServiceUnavailable, "unavailable")
}

// awayStore is a storage that does not answer.
type awayStore struct{ artifacts.Store }

func (awayStore) List(context.Context, string, string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) { yield(pipeline.Object{}, errAway) }
}
