package operators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// retryAsk is the body of POST /retry/{id}. What is left out stays as it was.
type retryAsk struct {
	Stage     pipeline.Stage    `json:"stage"`
	Options   *pipeline.Options `json:"options"`
	Priority  *int              `json:"priority"`
	SessionID string            `json:"session_id"`
	DeadlineS float64           `json:"deadline_s"`
}

// retry serves POST /retry/{id}: a new request that begins at a stage with what the old one's earlier stages left, under
// other options if wanted. In the same session it answers to the client's old token; in another one it gets a new token.
func (s *Service) retry(r *http.Request) (int, any, error) {
	var ask retryAsk
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	ctx := r.Context()
	old, _, err := s.find(ctx, r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	if !old.Status.Terminal() {
		return 0, nil, refuse(http.StatusConflict, "still_active", "The request is still "+string(old.Status)+".", "Call it off first.")
	}
	request, token, err := s.again(old.Request, ask)
	if err != nil {
		return 0, nil, err
	}
	input, err := s.inputOf(ctx, old.ID, ask.Stage)
	if err != nil {
		return 0, nil, err
	}
	webhookOf := old.ID
	if token != "" {
		webhookOf = "" // the client of the new session gave none
	}
	if err := s.begin(ctx, request, ask.Stage, input, webhookOf); err != nil {
		return 0, nil, err
	}
	s.audit(r, tenant.RequestRetried, "request_id", request.ID, "of", old.ID, "stage", ask.Stage, "caller", tenant.Named(request.Caller))
	answer := map[string]string{"request_id": request.ID, "session_id": request.SessionID}
	if token != "" {
		answer["callback_token"] = token
	}
	return http.StatusAccepted, answer, nil
}

// again is an old request asked for once more, now, with what ask changes. token is empty when the old one still serves.
func (s *Service) again(old pipeline.Request, ask retryAsk) (request pipeline.Request, token string, err error) {
	request = old
	if ask.Options != nil {
		request.Options = *ask.Options
	}
	if ask.Priority != nil {
		request.Priority = *ask.Priority
	}
	if err := request.Options.Validate(); err != nil {
		return request, "", refuse(http.StatusBadRequest, "invalid_options", err.Error()+".", "Correct the option.")
	}
	if request.Priority < 0 || request.Priority > pipeline.MaxPriority {
		return request, "", refuse(http.StatusBadRequest, "invalid_priority", fmt.Sprintf("priority must be between 0 and %d.", pipeline.MaxPriority), "Correct it.")
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	if request.ID, err = pipeline.NewRequestID(now, s.Random); err != nil {
		return request, "", err
	}
	request.CreatedAt = now
	if !(ask.DeadlineS >= 0 && ask.DeadlineS <= 30*24*3600) {
		return request, "", refuse(http.StatusBadRequest, "invalid_deadline", "deadline_s must be between 0 and 30 days.", "Leave it out for a day.")
	}
	request.Deadline = now.Add(24 * time.Hour)
	if ask.DeadlineS > 0 {
		request.Deadline = now.Add(time.Duration(ask.DeadlineS * float64(time.Second)))
	}
	if err := request.Options.Fits(request.Deadline.Sub(now)); err != nil {
		return request, "", refuse(http.StatusBadRequest, "invalid_options", err.Error()+".", "Lower it, or give a later deadline_s.")
	}
	if ask.SessionID == "" || ask.SessionID == old.SessionID {
		return request, "", nil
	}
	if !pipeline.ValidName(ask.SessionID) {
		return request, "", refuse(http.StatusBadRequest, "invalid_session_id", "session_id "+pipeline.NameRule+".", "Choose such a name.")
	}
	if token, err = pipeline.NewToken(s.Random); err != nil {
		return request, "", err
	}
	request.SessionID, request.TokenHash = ask.SessionID, pipeline.HashToken(token)
	return request, token, nil
}

// inheritWebhook lets the client's webhook follow, too, signed with the secret that its receiver knows.
func (s *Service) inheritWebhook(ctx context.Context, oldID, newID string) error {
	target := map[string]any{}
	err := artifacts.GetJSON(ctx, s.Store, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: artifacts.WebhookTargetName(oldID)}, &target, maxBodyBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read webhook: %w", err)
	}
	if target["secret_of"] == nil {
		target["secret_of"] = oldID
	}
	_, err = artifacts.PutJSON(ctx, s.Store, s.Buckets.Artifacts, artifacts.WebhookTargetName(newID), target, artifacts.PutOptions{})
	if err != nil {
		return fmt.Errorf("keep webhook: %w", err)
	}
	return nil
}

// inheritMail lets the address that is mailed follow, too.
func (s *Service) inheritMail(ctx context.Context, oldID, newID string) error {
	o, err := s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.MailTargetName(oldID))
	if err == nil {
		_, err = s.Store.Copy(ctx, o, s.Buckets.Artifacts, artifacts.MailTargetName(newID))
	}
	if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		return fmt.Errorf("keep address: %w", err)
	}
	return nil
}

// inputOf is what the stage of a request starts from: the newest upload, or the manifest of the stage before.
func (s *Service) inputOf(ctx context.Context, id string, name pipeline.Stage) (pipeline.Object, error) {
	if _, err := pipeline.ParseStage(string(name)); err != nil {
		return pipeline.Object{}, refuse(http.StatusBadRequest, "invalid_stage", err.Error()+".", "Say from which stage to try again.")
	}
	missing := refuse(http.StatusConflict, "no_input", "Nothing is there for this stage to start from.", "Choose an earlier stage.")
	if previous, ok := name.Previous(); ok {
		o, err := s.Store.Stat(ctx, s.Buckets.ManifestBucket(previous), artifacts.ManifestName(id, previous))
		if errors.Is(err, artifacts.ErrNotFound) {
			return o, missing
		}
		return o, err
	}
	var newest pipeline.Object
	for o, err := range s.Store.List(ctx, s.Buckets.Inbox[name], id+"/") {
		if err != nil {
			return newest, fmt.Errorf("list uploads: %w", err)
		}
		if artifacts.Starts(o.Name) && o.Generation > newest.Generation {
			newest = o
		}
	}
	if newest.Name == "" {
		return newest, missing
	}
	return newest, nil
}

// begin enters a request that starts at a stage, with the webhook and the mail of another one if that is named. What fails after the queue knows
// the request calls it off. A crash on the way leaves a request without a record, which the next trigger of its session takes over.
func (s *Service) begin(ctx context.Context, request pipeline.Request, name pipeline.Stage, input pipeline.Object, webhookOf string) error {
	left, err := s.leftFor(ctx, name, input)
	if errors.Is(err, artifacts.ErrNotFound) {
		return purged
	}
	if err != nil {
		return err
	}
	if err := s.Queue.Submit(ctx, request); err != nil {
		return err
	}
	input, err = s.writeDown(ctx, request, left, webhookOf)
	if err == nil {
		// The event of what was written says the same.
		_, err = s.Queue.Enqueue(ctx, queue.Task{RequestID: request.ID, Stage: name, Input: input})
	}
	if err != nil {
		s.callOff(ctx, request, name)
		return err
	}
	s.want(ctx, name)
	return nil
}

// writeDown does the durable steps of begin: webhook, record, copies, and what the stage starts from. The record comes before the
// copies, so that a purge finds those of a retry that died.
func (s *Service) writeDown(ctx context.Context, request pipeline.Request, left leftovers, webhookOf string) (pipeline.Object, error) {
	if webhookOf != "" {
		if err := cmp.Or(s.inheritWebhook(ctx, webhookOf, request.ID), s.inheritMail(ctx, webhookOf, request.ID)); err != nil {
			return pipeline.Object{}, err
		}
	}
	record := struct {
		pipeline.Request
		Trace serve.Trace `json:"trace,omitzero"` // of the operator's call
	}{request, serve.TraceOf(ctx)}
	if _, err := artifacts.PutJSON(ctx, s.Store, s.Buckets.Artifacts, artifacts.RequestName(request.ID), record,
		artifacts.PutOptions{DoesNotExist: true}); err != nil {
		return pipeline.Object{}, fmt.Errorf("write request record: %w", err)
	}
	err := s.copyTo(ctx, request.ID, left.objects())
	if errors.Is(err, artifacts.ErrNotFound) {
		return pipeline.Object{}, purged
	}
	if err != nil {
		return pipeline.Object{}, err
	}
	if m := left.manifest; m != nil {
		m.Request = request
		return artifacts.WriteManifest(ctx, s.Store, s.Buckets, m)
	}
	if err := artifacts.WriteCapture(ctx, s.Store, s.Buckets, request.ID, left.uploads); err != nil {
		return pipeline.Object{}, err
	}
	return s.Store.Stat(ctx, s.Buckets.Uploads(), artifacts.CaptureName(request.ID))
}

var purged = refuse(http.StatusConflict, "no_input", "What this stage would start from was deleted.", "Submit the capture again.")

// callOff ends a request that could not begin. Nobody was promised it, so its webhook is not called.
func (s *Service) callOff(ctx context.Context, request pipeline.Request, name pipeline.Stage) {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.Queue.Cancel(undo, request.ID)
	if _, _, gone := s.remove(undo, s.filesOf(request.ID), false); gone != nil { // the record stays: a later purge takes what is left
		err = errors.Join(err, gone)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "retry not called off", "request_id", request.ID, "stage", name, "error", err.Error())
	}
}

// leftovers are what a stage of a request starts from.
type leftovers struct {
	manifest *artifacts.Manifest // of the stage before; nil for the first stage
	uploads  []pipeline.Object   // for the first stage
}

// objects lists them in their places.
func (l *leftovers) objects() (objects []*pipeline.Object) {
	for i := range l.uploads {
		objects = append(objects, &l.uploads[i])
	}
	if l.manifest != nil {
		for _, list := range [][]artifacts.Artifact{l.manifest.Inputs, l.manifest.Outputs} {
			for i := range list {
				objects = append(objects, &list[i].Object)
			}
		}
	}
	return objects
}

// leftFor reads what a stage would start from: without uploads after the last stage that reads them, since those may be deleted
// earlier than the rest (retention_days).
func (s *Service) leftFor(ctx context.Context, name pipeline.Stage, input pipeline.Object) (l leftovers, err error) {
	if _, ok := name.Previous(); ok {
		l.manifest, err = artifacts.ReadManifest(ctx, s.Store, input)
		if err == nil && name != pipeline.Preprocess {
			l.manifest.Inputs = slices.DeleteFunc(l.manifest.Inputs, func(a artifacts.Artifact) bool { return a.Kind == artifacts.Upload })
		}
		return l, err
	}
	if !artifacts.IsCapture(input.Name) {
		return leftovers{uploads: []pipeline.Object{input}}, nil
	}
	capture, err := artifacts.ReadCapture(ctx, s.Store, input)
	if err != nil {
		return l, err
	}
	return leftovers{uploads: capture.Objects}, nil
}

// copiesAtOnce bounds how many objects of a retry are copied at the same time: two thousand photos take seconds then.
const copiesAtOnce = 32

// copyTo copies objects of earlier requests to a request's own prefix and puts the copies in their places. A source in a bucket
// of somebody else remains where it is.
func (s *Service) copyTo(ctx context.Context, id string, objects []*pipeline.Object) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for _, o := range objects {
		name, ours := s.nameOfCopy(*o, id)
		if !ours {
			continue
		}
		group.Go(func() (err error) {
			*o, err = s.Store.Copy(ctx, *o, o.Bucket, name)
			return err
		})
	}
	return group.Wait()
}

// nameOfCopy is the name that a copy of an object has in the same bucket: the same for another request. An upload becomes one of
// several, which starts nothing.
func (s *Service) nameOfCopy(o pipeline.Object, id string) (name string, ours bool) {
	_, ok := artifacts.RequestOf(o.Name)
	_, rest, _ := strings.Cut(o.Name, "/")
	switch {
	case !ok:
		return "", false
	case o.Bucket == s.Buckets.Uploads() && artifacts.Starts(o.Name):
		return artifacts.PartName(id, rest), true
	}
	return id + "/" + rest, o.Bucket == s.Buckets.Uploads() || o.Bucket == s.Buckets.Artifacts
}
