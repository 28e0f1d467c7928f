package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// enqueue serves POST /enqueue: what the event of an object would have done.
func (s *Service) enqueue(r *http.Request) (int, any, error) {
	var ask struct {
		RequestID string          `json:"request_id"`
		Stage     pipeline.Stage  `json:"stage"`
		Input     pipeline.Object `json:"input"` // bucket and name; the newest generation when 0
	}
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	if _, err := pipeline.ParseStage(string(ask.Stage)); err != nil {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_stage", err.Error()+".", "Name the stage that should run.")
	}
	if owner, ok := artifacts.RequestOf(ask.Input.Name); !ok || owner != ask.RequestID || ask.Input.Bucket != s.Buckets.Inbox[ask.Stage] || !artifacts.Starts(ask.Input.Name) {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_input", "input must be an object of this request in the stage's inbox.",
			"Name the upload, or the manifest of the stage before.")
	}
	newest, err := s.Store.Stat(r.Context(), ask.Input.Bucket, ask.Input.Name)
	if errors.Is(err, artifacts.ErrNotFound) || (err == nil && ask.Input.Generation != 0 && ask.Input.Generation != newest.Generation) {
		return 0, nil, refuse(http.StatusBadRequest, "no_such_object", "There is no such object, or not in this generation.", "List the inbox.")
	}
	if err != nil {
		return 0, nil, err
	}
	added, err := s.Queue.Enqueue(r.Context(), queue.Task{RequestID: ask.RequestID, Stage: ask.Stage, Input: newest})
	if err != nil {
		return 0, nil, err
	}
	s.want(r.Context(), ask.Stage)
	return http.StatusAccepted, map[string]bool{"added": added}, nil
}

// want launches a worker; a launch that fails is the reaper's next.
func (s *Service) want(ctx context.Context, name pipeline.Stage) {
	if err := s.Staffing.Want(ctx, name); err != nil {
		s.Log.WarnContext(ctx, "no worker launched", "stage", name, "error", err.Error())
	}
}

// set serves PUT /status/{id}. The one transition that is anybody's to make is calling off; every other follows from
// work done under a lease.
func (s *Service) set(r *http.Request) (int, any, error) {
	var ask struct {
		Status pipeline.Status `json:"status"`
	}
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	ctx, id := r.Context(), r.PathValue("id")
	state, _, err := s.find(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	if ask.Status != pipeline.Canceled {
		return 0, nil, refuse(http.StatusConflict, "illegal_transition", fmt.Sprintf("Nobody may set a request from %s to %q.", state.Status, ask.Status),
			"Only CANCELED can be set; use retry to start again.")
	}
	err = s.cancel(r, state.Request)
	if err != nil && (state.Status != pipeline.Canceled || !errors.Is(err, queue.ErrTerminal)) {
		return 0, nil, err
	}
	return s.look(r)
}

// cancel calls a request off and announces that: who ended it does, nobody else.
func (s *Service) cancel(r *http.Request, request pipeline.Request) error {
	ctx := r.Context()
	if err := s.Queue.Cancel(ctx, request.ID); err != nil {
		return err
	}
	s.audit(r, tenant.RequestCanceled, "request_id", request.ID, "caller", tenant.Named(request.Caller))
	if s.Ended != nil {
		if err := s.Ended(ctx, request, pipeline.Canceled); err != nil {
			s.Log.WarnContext(ctx, "end of request not announced", "request_id", request.ID, "stage", "", "error", err.Error())
		}
	}
	return nil
}

// redeliver serves POST /redeliver/{id}: the webhook of an ended request is sent once more.
func (s *Service) redeliver(r *http.Request) (int, any, error) {
	ctx := r.Context()
	state, _, err := s.find(ctx, r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	if !state.Status.Terminal() || s.Ended == nil {
		return 0, nil, refuse(http.StatusConflict, "still_active", "The request has not ended, so no webhook is called.", "Wait for its end.")
	}
	if _, err := s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.WebhookTargetName(state.ID)); errors.Is(err, artifacts.ErrNotFound) {
		return 0, nil, refuse(http.StatusConflict, "no_webhook", "The request has no webhook.", "A client gives callback_url when it triggers.")
	} else if err != nil {
		return 0, nil, err
	}
	err = s.Store.Delete(ctx, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: artifacts.WebhookLogName(state.ID)})
	if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		return 0, nil, err
	}
	if err := s.Ended(ctx, state.Request, state.Status); err != nil {
		return 0, nil, err
	}
	s.audit(r, tenant.WebhookRedelivered, "request_id", state.ID, "caller", tenant.Named(state.Caller))
	return http.StatusAccepted, map[string]string{"request_id": state.ID}, nil
}
