package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// list serves GET /requests?status=&stage=&session_id=&search=&order=&cursor=&limit=, oldest first unless order is newest. A next_cursor
// in the answer means that there may be more: a page also ends, with few requests or none, when it has looked at PageLooks of them.
func (s *Service) list(r *http.Request) (int, any, error) {
	q := r.URL.Query()
	limit, err := limitOf(r)
	if err != nil {
		return 0, nil, err
	}
	if err := checkFilter(q); err != nil {
		return 0, nil, err
	}
	found, looks := []Request{}, 0
	next, err := s.scan(r.Context(), q.Get("cursor"), q.Get("order") == newestFirst, func(state queue.State) (bool, error) {
		if matches(q, state) {
			found = append(found, requestOf(state, 0))
		}
		looks++
		return len(found) < limit && looks < s.PageLooks, nil
	})
	answer := map[string]any{"requests": found}
	if next != "" {
		answer["next_cursor"] = next
	}
	return http.StatusOK, answer, err
}

const newestFirst = "newest"

func checkFilter(q url.Values) error {
	if status := pipeline.Status(q.Get("status")); status != "" && !slices.Contains(everyStatus, status) {
		return refuse(http.StatusBadRequest, "invalid_status", fmt.Sprintf("There is no status %.40q.", status), fmt.Sprintf("Name one of %v.", everyStatus))
	}
	if name := q.Get("stage"); name != "" {
		if _, err := pipeline.ParseStage(name); err != nil {
			return refuse(http.StatusBadRequest, "invalid_stage", err.Error()+".", "Leave it out for every stage.")
		}
	}
	if order := q.Get("order"); order != "" && order != newestFirst {
		return refuse(http.StatusBadRequest, "invalid_order", fmt.Sprintf("There is no order %.40q.", order), "Say newest, or leave it out for the oldest first.")
	}
	if cursor := q.Get("cursor"); cursor != "" && !pipeline.ValidRequestID(cursor) {
		return refuse(http.StatusBadRequest, "invalid_cursor", "cursor is not one that a list answered.", "Start without it.")
	}
	return nil
}

func matches(q url.Values, state queue.State) bool {
	is := func(name, value string) bool { return q.Get(name) == "" || q.Get(name) == value }
	return is("status", string(state.Status)) && is("stage", string(state.Stage)) && is("session_id", state.SessionID) && mentions(state, q.Get("search"))
}

// mentions says whether a part of the request's id, session or caller is what somebody searches for, in either case.
func mentions(state queue.State, search string) bool {
	search = strings.ToLower(search)
	return slices.ContainsFunc([]string{state.ID, state.SessionID, state.Caller}, func(text string) bool { return strings.Contains(strings.ToLower(text), search) })
}

// scan shows the state of every request that has a record and is known to the queue, in the order of their ids or backwards, from
// after the cursor until see says false. next is where to continue; empty at the end.
func (s *Service) scan(ctx context.Context, cursor string, backwards bool, see func(queue.State) (more bool, err error)) (next string, err error) {
	ids, err := s.recorded(ctx)
	if err != nil {
		return "", err
	}
	if backwards {
		slices.Reverse(ids)
	}
	for _, id := range ids {
		if cursor != "" && (backwards && id >= cursor || !backwards && id <= cursor) {
			continue
		}
		state, err := s.Queue.Lookup(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue // forgotten by the queue, not yet purged
		}
		if err != nil {
			return "", err
		}
		if more, err := see(state); err != nil || !more {
			return id, err
		}
	}
	return "", nil
}

// recorded are the ids of all requests that have a record, oldest first.
func (s *Service) recorded(ctx context.Context) (ids []string, err error) {
	for o, err := range s.Store.List(ctx, s.Buckets.Artifacts, artifacts.RequestPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list requests: %w", err)
		}
		if id, ok := artifacts.RecordOf(o.Name); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// objects serves GET /objects/{id}: what a request has in the buckets, also when the queue has forgotten it.
func (s *Service) objects(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if !pipeline.ValidRequestID(id) {
		return 0, nil, queue.ErrNotFound
	}
	_, err := s.Queue.Lookup(r.Context(), id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return 0, nil, err
	}
	known, found := err == nil, []pipeline.Object{}
	for _, p := range s.filesOf(id) {
		for o, err := range s.Store.List(r.Context(), p.bucket, p.name) {
			if err != nil {
				return 0, nil, fmt.Errorf("list %s: %w", p.bucket, err)
			}
			found = append(found, o)
		}
	}
	if len(found) == 0 && !known {
		return 0, nil, queue.ErrNotFound
	}
	return http.StatusOK, map[string]any{"objects": found}, nil
}
