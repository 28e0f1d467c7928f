package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// submitTimeout bounds everything one submission does. A request older than abandonedAfter without a record was left by a
// submission that died on the way.
const (
	submitTimeout  = 20 * time.Second
	abandonedAfter = 2 * submitTimeout
	pollEvery      = 5 * time.Second
)

// submit serves POST /trigger-reconstruction.
func (s *Service) submit(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), submitTimeout)
	defer cancel()
	caller, problem := s.identify(ctx, r, tenant.Submit)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	ask, problem := readTrigger(r)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := s.admit(ctx, s.Limiter, caller); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := s.checkLimits(s.limitsOf(caller), ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := s.checkCallback(ctx, ask.CallbackURL); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := s.checkEmail(ctx, ask.Email); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	source, problem := s.findSource(ctx, ask.Source)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	c, problem := s.chance(ctx, r, caller, ask)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	accepted, repeat, problem := s.accept(ctx, caller, ask, source, c, r)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if repeat {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.Header().Set("Location", accepted.StatusURL)
	w.Header().Set("Retry-After", fmt.Sprint(int(pollEvery.Seconds())))
	w.Header().Set("Cache-Control", "no-store")
	serve.WriteJSON(w, http.StatusAccepted, accepted)
}

// admit asks a limiter. All callers are one to a limiter of all together.
func (s *Service) admit(ctx context.Context, l Limiter, who string) *serve.Problem {
	if l == nil {
		return nil
	}
	wait, err := l.Admit(ctx, who)
	if err != nil {
		return s.broken(ctx, "limiter", err)
	}
	if wait > 0 {
		return &serve.Problem{Status: http.StatusTooManyRequests, Code: "rate_limited", Retryable: true,
			Detail: "There were too many such calls.", Advice: "Wait as long as Retry-After says.", RetryAfter: wait}
	}
	return nil
}

// allCallers is who Total is asked about.
const allCallers = "all"

// accept takes a request in, or finds the one that an earlier call with the same Idempotency-Key made. Its last durable
// step is the record in the artifacts bucket or, with a source, the Capture that starts it: a submission that dies before
// it is taken for never made (see takeOver), one that fails before it calls its own request off.
func (s *Service) accept(ctx context.Context, caller string, ask api.Trigger, source *pipeline.Object, c chance, r *http.Request) (_ api.Accepted, repeat bool, _ *serve.Problem) {
	now := createdAt(s.Now())
	request, token, err := s.newRequest(caller, ask, c, now)
	if err != nil {
		return api.Accepted{}, false, s.broken(ctx, "random", err)
	}
	earlier, problem := s.repeated(ctx, c, request.TokenHash, source)
	if problem == nil && earlier == nil {
		problem = s.enter(ctx, request, now, callbackToken(r))
		if problem != nil && c.key != "" && (problem.Code == duplicateSession || problem.Code == keyReused) {
			if earlier, _ = s.repeated(ctx, c, request.TokenHash, source); earlier != nil {
				problem = nil // the same call came twice at once, and the other one was first
			}
		}
	}
	if problem != nil {
		return api.Accepted{}, false, problem
	}
	if earlier != nil {
		request = earlier.Request
	}
	// Signed last, so that a repeated call gets a fresh link; one that cannot be signed leaves a request that only a
	// repetition with the same key, or its deadline, ends. So it is called off.
	publicURL := s.publicURL(r)
	accepted := api.Accepted{
		RequestID: request.ID, SessionID: request.SessionID, Status: pipeline.Queued, CallbackToken: token,
		StatusURL: publicURL + "/status/" + request.ID, EventsURL: publicURL + "/events", CancelURL: publicURL + "/cancel", Deadline: request.Deadline,
	}
	switch {
	case source != nil: // nothing to upload
	case ask.Uploads == api.Several:
		accepted.UploadsURL, accepted.CompleteURL = publicURL+"/uploads", publicURL+"/uploads/complete"
	default:
		room, problem := s.room(ctx, caller)
		if problem == nil {
			upload, err := s.signUpload(ctx, request, artifacts.UploadName(request.ID, uploadFile), ask.ContentType, room, now)
			if accepted.Upload = &upload; err != nil {
				problem = s.broken(ctx, "signer", err)
			}
		}
		if problem != nil {
			if earlier == nil {
				s.callOff(ctx, request)
			}
			return api.Accepted{}, false, problem
		}
	}
	if accepted.WebhookSecret, err = s.register(ctx, request.ID, ask); err != nil {
		if earlier == nil {
			s.callOff(ctx, request)
		}
		return api.Accepted{}, false, s.broken(ctx, "storage", err)
	}
	if earlier == nil {
		if err := s.record(ctx, request, source); err != nil {
			s.callOff(ctx, request)
			return api.Accepted{}, false, s.broken(ctx, "storage", err)
		}
		if err := s.keep(ctx, request); err != nil {
			s.callOff(ctx, request)
			return api.Accepted{}, false, s.broken(ctx, "queue", err)
		}
		serve.About(ctx, slog.String("request_id", request.ID), slog.Any("stage", pipeline.First()))
		s.Log.InfoContext(ctx, "accepted", "request_id", request.ID, "stage", pipeline.First(), "session_id", request.SessionID, "priority", request.Priority)
	}
	return accepted, earlier != nil, nil
}

// register keeps where the end of a request is published.
func (s *Service) register(ctx context.Context, requestID string, ask api.Trigger) (webhookSecret string, err error) {
	if ask.CallbackURL != "" {
		if webhookSecret, err = s.Webhooks.Register(ctx, requestID, ask.CallbackURL); err != nil {
			return "", err
		}
	}
	if ask.Email != "" {
		err = s.Mails.RegisterAddress(ctx, requestID, ask.Email)
	}
	return webhookSecret, err
}

// checkCallback looks at a webhook's address; it resolves names, so it comes after the rate limit.
func (s *Service) checkCallback(ctx context.Context, url string) *serve.Problem {
	if url == "" {
		return nil
	}
	if s.Webhooks == nil {
		return invalid("invalid_callback_url", "This deployment sends no webhooks.", "Leave callback_url out and follow the status.")
	}
	if err := s.Webhooks.Check(ctx, url); err != nil {
		return invalid("invalid_callback_url", "callback_url cannot be used: "+err.Error()+".", "Give a public https address, or leave it out and follow the status.")
	}
	return nil
}

const duplicateSession = "duplicate_session"

// enter puts the request into the queue, in the place of one that was abandoned half way if need be. The limit of all callers
// together counts what comes this far: no bad call, no repetition, and none whose session is taken.
func (s *Service) enter(ctx context.Context, request pipeline.Request, now time.Time, token string) *serve.Problem {
	holder, err := s.Queue.Holder(ctx, request)
	switch {
	case err == nil:
		err = s.takeOver(ctx, holder, now)
	case errors.Is(err, queue.ErrNotFound):
		err = nil
	}
	if err == nil {
		if problem := s.take(ctx, request.Caller); problem != nil {
			return problem
		}
		if problem := s.admit(ctx, s.Total, allCallers); problem != nil {
			s.untake(ctx, request.Caller)
			return problem
		}
		err = s.Queue.Submit(ctx, request) // a call for the same session that came at the same time may be first
		if duplicate := (*queue.DuplicateError)(nil); errors.As(err, &duplicate) || errors.Is(err, queue.ErrTokenTaken) {
			s.untake(ctx, request.Caller) // with any other error the request may be there, for a repetition of the call to find
		}
	}
	if duplicate := (*queue.DuplicateError)(nil); errors.As(err, &duplicate) {
		p := &serve.Problem{Status: http.StatusConflict, Code: duplicateSession, Detail: "This session_id already has a reconstruction that is active or done.",
			Advice: "Follow that one with its callback token, or choose another session_id."}
		if s.owns(ctx, request.Caller, token, duplicate.RequestID) {
			p.RequestID = duplicate.RequestID
		}
		return p
	}
	if errors.Is(err, queue.ErrTokenTaken) { // a call with the same key and another body came at the same time, and was first
		return otherBody()
	}
	if err != nil {
		return s.broken(ctx, "queue", err)
	}
	return nil
}

// owns says whether a caller may hear the id of a request: its API key made it, or it shows the callback token. Callers that
// share an address may not know each other.
func (s *Service) owns(ctx context.Context, caller, token, requestID string) bool {
	state, err := s.Queue.Lookup(ctx, requestID)
	if err != nil {
		return false
	}
	return strings.HasPrefix(caller, pipeline.KeyCaller) && state.Caller == caller || token != "" && pipeline.HashToken(token) == state.TokenHash
}

// callOff ends a request that could not be taken in whole. The client must be able to try again at once, even when it is
// the client's hanging up that brought us here.
func (s *Service) callOff(ctx context.Context, r pipeline.Request) {
	requestID := r.ID
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Queue.Cancel(undo, requestID); err != nil {
		s.Log.WarnContext(ctx, "submission not called off; it can be taken over soon", "request_id", requestID, "stage", pipeline.First(), "error", err.Error())
	} else {
		s.untake(undo, r.Caller)
	}
	if s.Mails != nil { // no purge finds a request without a record, and the address is a person's
		if err := s.Store.Delete(undo, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: artifacts.MailTargetName(requestID)}); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
			s.Log.WarnContext(ctx, "the address of a submission that failed is kept", "request_id", requestID, "stage", pipeline.First(), "error", err.Error())
		}
	}
}

// broken logs a fault and answers 503: nothing was taken in.
func (s *Service) broken(ctx context.Context, what string, err error) *serve.Problem {
	s.Log.ErrorContext(ctx, "submission failed: "+what, "error", err.Error())
	p := serve.Unavailable(what+"_unavailable", "The "+what+" does not answer, so the request was not taken in.")
	return &p
}

func (s *Service) newRequest(caller string, ask api.Trigger, c chance, now time.Time) (r pipeline.Request, token string, err error) {
	id, err := pipeline.NewRequestID(now, c.id)
	if err != nil {
		return r, "", err
	}
	if token, err = pipeline.NewToken(c.token); err != nil {
		return r, "", err
	}
	limits, filled := s.limitsOf(caller), s.Defaults.Fill(id, ask.Options)
	return pipeline.Request{
		ID: id, SessionID: ask.SessionID, Caller: caller, TokenHash: pipeline.HashToken(token), Priority: ask.Priority,
		Options: limits.within(filled), CardLimitPx: limits.card(filled), CreatedAt: now, Deadline: now.Add(s.RequestTTL),
	}, token, nil
}

// uploadFile is the base name of every upload: a client chooses no names in our buckets.
const uploadFile = "input"

// signUpload makes the link for one upload of a request, of at most maxBytes.
func (s *Service) signUpload(ctx context.Context, r pipeline.Request, name, contentType string, maxBytes int64, now time.Time) (api.Upload, error) {
	spec := UploadSpec{
		Bucket: s.Buckets.Uploads(), Name: name, ContentType: contentType,
		MaxBytes: maxBytes, Metadata: map[string]string{"session-id": r.SessionID}, Expires: s.UploadTTL,
	}
	signed, err := s.Signer.SignUpload(ctx, spec)
	if err != nil {
		return api.Upload{}, fmt.Errorf("sign upload: %w", err)
	}
	return api.Upload{
		Method: signed.Method, URL: signed.URL, Headers: signed.Headers, Object: "gs://" + spec.Bucket + "/" + spec.Name,
		MaxBytes: spec.MaxBytes, ExpiresAt: now.Add(s.UploadTTL), ChunkMultiple: api.ChunkMultiple,
		Note: "Send this with an empty body, then PUT the capture to the Location it answers: in one piece, or in chunks of a multiple of " +
			"chunk_multiple_bytes with Content-Range. After an error ask with 'Content-Range: bytes */SIZE' how much arrived.",
	}, nil
}

// submission is the record of a request as this API writes it: with what its capture is, when that existed before.
type submission struct {
	pipeline.Request
	Trace  serve.Trace      `json:"trace,omitzero"` // of the call: workers log with it
	Source *pipeline.Object `json:"source,omitempty"`
}

// record announces the request and then keeps its record, from which the queue can be rebuilt. A source starts it then.
func (s *Service) record(ctx context.Context, r pipeline.Request, source *pipeline.Object) error {
	err := s.Publisher.PublishRequested(ctx, Announcement{RequestID: r.ID, SessionID: r.SessionID, Priority: r.Priority, CreatedAt: r.CreatedAt})
	if err != nil {
		return fmt.Errorf("publish reconstruction-requested: %w", err)
	}
	body, err := json.Marshal(submission{r, serve.TraceOf(ctx), source})
	if err != nil {
		return fmt.Errorf("encode request record: %w", err)
	}
	_, err = s.Store.Put(ctx, s.Buckets.Artifacts, artifacts.RequestName(r.ID), bytes.NewReader(body),
		artifacts.PutOptions{ContentType: "application/json", DoesNotExist: true})
	// A write that was retried after its answer got lost finds its own object: the name holds 80 random bits of ours.
	if err != nil && !errors.Is(err, artifacts.ErrExists) {
		return fmt.Errorf("write request record: %w", err)
	}
	return s.begin(ctx, r.ID, source)
}

// keep puts a recorded request back into a queue that has lost it since: a rebuild that had listed the records before does not know it.
// Where the queue does not answer, the record is there for the next rebuild.
func (s *Service) keep(ctx context.Context, r pipeline.Request) error {
	if _, err := s.Queue.Lookup(ctx, r.ID); !errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	err := s.Queue.Submit(ctx, r)
	if duplicate := (*queue.DuplicateError)(nil); errors.As(err, &duplicate) && duplicate.RequestID == r.ID { // a rebuild was first
		return nil
	}
	return err
}

// begin starts a request whose capture existed before. It may be repeated.
func (s *Service) begin(ctx context.Context, requestID string, source *pipeline.Object) error {
	if source == nil {
		return nil
	}
	return artifacts.WriteCapture(ctx, s.Store, s.Buckets, requestID, []pipeline.Object{*source})
}

// whole says whether the submission of a request did all of its durable steps.
func (s *Service) whole(ctx context.Context, requestID string) (bool, error) {
	var kept submission
	err := artifacts.GetJSON(ctx, s.Store, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: artifacts.RequestName(requestID)}, &kept, maxBodyBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read request record: %w", err)
	}
	if kept.Source == nil {
		return true, nil
	}
	_, err = s.Store.Stat(ctx, s.Buckets.Uploads(), artifacts.CaptureName(requestID))
	if errors.Is(err, artifacts.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// takeOver calls off the request that is in the way of a new one if the submission that made it died half way: then
// nobody ever saw its token, and the session would be blocked. It returns the DuplicateError when the request is sound.
func (s *Service) takeOver(ctx context.Context, existingID string, now time.Time) error {
	sound := &queue.DuplicateError{RequestID: existingID}
	existing, err := s.Queue.Lookup(ctx, existingID)
	if errors.Is(err, queue.ErrNotFound) {
		return nil // purged meanwhile
	}
	if err != nil {
		return err
	}
	if existing.Status != pipeline.Queued || existing.Stage != "" || now.Sub(existing.CreatedAt) < abandonedAfter {
		return sound
	}
	whole, err := s.whole(ctx, existingID)
	if err != nil {
		return fmt.Errorf("look for the record of %s: %w", existingID, err)
	}
	if whole {
		return sound
	}
	if err := s.Queue.Cancel(ctx, existingID); err != nil && !errors.Is(err, queue.ErrTerminal) && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	s.Log.WarnContext(ctx, "abandoned submission called off", "request_id", existingID, "stage", pipeline.First())
	return nil
}

// publicURL is where the client of r reaches this API.
func (s *Service) publicURL(r *http.Request) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
