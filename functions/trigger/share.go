package trigger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const (
	maxShares     = 20 // of a request
	maxShareTitle = 200
	maxShareFor   = 10 * 365 * 24 * time.Hour
	shareIDLen    = 32 // hexadecimal digits of the token's hash
	maxShareBytes = 16 << 10
)

// shareRecord is what is kept of a share. It names the result itself, so that it works when the queue has forgotten the request, and
// keeps no more of the token than its hash, which is in the record's name.
type shareRecord struct {
	Title     string          `json:"title,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	ExpiresAt time.Time       `json:"expires_at,omitzero"`
	Photos    bool            `json:"photos,omitempty"`
	Manifest  pipeline.Object `json:"manifest"`
}

func shareID(token string) string { return pipeline.HashToken(token)[:shareIDLen] }

// shareOwner finds the request of a call about its shares or notes, and admits the call. If not, it has answered.
func (s *Service) shareOwner(ctx context.Context, w http.ResponseWriter, r *http.Request) (queue.State, bool) {
	w.Header().Set("Cache-Control", "no-store")
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return state, false
	}
	if problem := s.admit(ctx, s.Changes, state.ID); problem != nil {
		serve.WriteProblem(w, *problem)
		return state, false
	}
	return state, true
}

// share serves POST /shares: a link that shows the result to everyone who has it, and can do nothing else.
func (s *Service) share(w http.ResponseWriter, r *http.Request) {
	var ask api.ShareAsked
	if r.ContentLength != 0 {
		if problem := readJSON(r, &ask); problem != nil {
			serve.WriteProblem(w, *problem)
			return
		}
	}
	if problem := checkShare(ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.shareOwner(ctx, w, r)
	if !ok {
		return
	}
	if state.Status != pipeline.Completed {
		serve.WriteProblem(w, notCompleted(state))
		return
	}
	made, err := s.sharesOf(ctx, state.ID)
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	if len(made) >= maxShares {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "too_many_shares", RequestID: state.ID,
			Detail: fmt.Sprintf("The result has %d shares, and may not have more.", len(made)), Advice: "Revoke one that is no longer needed."})
		return
	}
	answer, err := s.putShare(ctx, state, ask)
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	if s.Page {
		answer.URL = s.publicURL(r) + sharePage + "?" + answer.ShareToken
	}
	serve.WriteJSON(w, http.StatusCreated, answer)
}

func checkShare(ask api.ShareAsked) *serve.Problem {
	switch {
	case len(ask.Title) > maxShareTitle:
		return invalid("invalid_share", fmt.Sprintf("title has at most %d bytes.", maxShareTitle), "Shorten it.")
	case ask.ExpiresInS < 0 || ask.ExpiresInS > int64(maxShareFor.Seconds()):
		return invalid("invalid_share", fmt.Sprintf("expires_in_s must be between 1 and %d.", int64(maxShareFor.Seconds())), "Leave it out for a share that does not expire.")
	}
	return nil
}

func (s *Service) putShare(ctx context.Context, state queue.State, ask api.ShareAsked) (api.Share, error) {
	token, err := pipeline.NewShareToken(state.ID, s.Random)
	if err != nil {
		return api.Share{}, err
	}
	record := shareRecord{Title: ask.Title, CreatedAt: createdAt(s.Now()), Photos: ask.Photos, Manifest: state.Manifest}
	if ask.ExpiresInS > 0 {
		record.ExpiresAt = record.CreatedAt.Add(time.Duration(ask.ExpiresInS) * time.Second)
	}
	id := shareID(token)
	if _, err := artifacts.PutJSON(ctx, s.Store, s.Buckets.Artifacts, artifacts.ShareName(state.ID, id), record, artifacts.PutOptions{DoesNotExist: true}); err != nil {
		return api.Share{}, err
	}
	s.Log.InfoContext(ctx, "result shared", "request_id", state.ID, "stage", state.Stage, "share_id", id)
	answer := record.document(id)
	answer.ShareToken = token
	return answer, nil
}

func (record shareRecord) document(id string) api.Share {
	return api.Share{ShareID: id, Title: record.Title, CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt, Photos: record.Photos}
}

// shows says whether a share shows artifacts of a kind.
func (record shareRecord) shows(kind artifacts.Kind) bool {
	return slices.Contains(artifacts.ForShares(), kind) || record.Photos && kind == artifacts.Pairs
}

// sharesOf are the records of a request's shares.
func (s *Service) sharesOf(ctx context.Context, requestID string) ([]pipeline.Object, error) {
	var records []pipeline.Object
	for o, err := range s.Store.List(ctx, s.Buckets.Artifacts, artifacts.SharePrefix(requestID)) {
		if err != nil {
			return nil, err
		}
		records = append(records, o)
	}
	return records, nil
}

// shares serves GET /shares, without the tokens: they were shown once.
func (s *Service) shares(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.shareOwner(ctx, w, r)
	if !ok {
		return
	}
	records, err := s.sharesOf(ctx, state.ID)
	answer := api.Shares{Shares: []api.Share{}}
	for _, o := range records {
		var record shareRecord
		switch readErr := artifacts.GetJSON(ctx, s.Store, o, &record, maxShareBytes); {
		case errors.Is(readErr, artifacts.ErrNotFound): // revoked meanwhile
		case readErr != nil:
			err = readErr
		default:
			answer.Shares = append(answer.Shares, record.document(strings.TrimSuffix(path.Base(o.Name), ".json")))
		}
	}
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	slices.SortFunc(answer.Shares, func(a, b api.Share) int { return a.CreatedAt.Compare(b.CreatedAt) })
	serve.WriteJSON(w, http.StatusOK, answer)
}

// unshare serves DELETE /shares/{share_id}. Links to files that a share has handed out work until they expire.
func (s *Service) unshare(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.shareOwner(ctx, w, r)
	if !ok {
		return
	}
	id := r.PathValue("share_id")
	var o pipeline.Object
	err := artifacts.ErrNotFound
	if pipeline.ValidName(id) {
		o, err = s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.ShareName(state.ID, id))
	}
	if err == nil {
		err = s.Store.Delete(ctx, o)
	}
	switch {
	case errors.Is(err, artifacts.ErrNotFound):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_share", RequestID: state.ID,
			Detail: "The request has no such share.", Advice: "GET /shares lists those that it has."})
	case err != nil:
		s.unavailable(w, r, "storage", err)
	default:
		s.Log.InfoContext(ctx, "share revoked", "request_id", state.ID, "stage", state.Stage, "share_id", id)
		w.WriteHeader(http.StatusNoContent)
	}
}

func notCompleted(state queue.State) serve.Problem {
	return serve.Problem{Status: http.StatusConflict, Code: "not_completed", RequestID: state.ID, Retryable: !state.Status.Terminal(),
		Detail: "The request is " + string(state.Status) + ", so there is no result.", Advice: "Follow its status."}
}
