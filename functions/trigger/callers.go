package trigger

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// KeyHeader is where a caller sends its key: Authorization is Cloud Run's and the callback tokens'. No address holds a key.
const KeyHeader = "X-Api-Key"

// identify names who calls: by its API key, which must allow what it calls for, or where none is asked for by its address.
func (s *Service) identify(ctx context.Context, r *http.Request, need tenant.Scope) (caller string, _ *serve.Problem) {
	var err error
	if s.Keys == nil {
		if caller, err = s.Caller(r); err != nil {
			err = tenant.ErrUnknown
		}
	} else {
		caller, err = s.Keys.Caller(ctx, r.Header.Get(KeyHeader), need)
	}
	refuse := func(status int, code, detail, advice string) (string, *serve.Problem) {
		return "", &serve.Problem{Status: status, Code: code, Detail: detail, Advice: advice}
	}
	switch {
	case err == nil:
		return caller, nil
	case errors.Is(err, tenant.ErrUnknown):
		return refuse(http.StatusUnauthorized, "unauthorized", "The caller is not known here.", "Send a valid API key in the header "+KeyHeader+".")
	case errors.Is(err, tenant.ErrRevoked):
		return refuse(http.StatusUnauthorized, "key_revoked", "This API key was revoked.", "Ask the operator for a new one; requests that were made with it go by their callback tokens.")
	case errors.Is(err, tenant.ErrExpired):
		return refuse(http.StatusUnauthorized, "key_expired", "This API key has expired.", "Ask the operator for a new one; requests that were made with it go by their callback tokens.")
	case errors.Is(err, tenant.ErrScope):
		return refuse(http.StatusForbidden, "key_scope", fmt.Sprintf("This API key lacks the scope %s.", need), "Use a key that has it, or ask the operator for one.")
	}
	s.Log.ErrorContext(ctx, "API keys cannot be read", "error", err.Error())
	p := serve.Unavailable("storage_unavailable", "The storage does not answer, so the API key could not be verified.")
	return "", &p
}

// opener is how a call opens its request: by the callback token or, where the path names a request and an API key came in its place, by
// that key, which opens its own caller's.
func (s *Service) opener(ctx context.Context, r *http.Request) (func() (queue.State, error), *serve.Problem) {
	id, token := r.PathValue("request_id"), callbackToken(r)
	switch {
	case token != "":
		hash := pipeline.HashToken(token)
		return func() (queue.State, error) {
			state, err := s.Queue.LookupToken(ctx, hash)
			if err == nil && id != "" && id != state.ID {
				err = queue.ErrNotFound
			}
			return state, err
		}, nil
	case s.Keys == nil || id == "" || r.Header.Get(KeyHeader) == "":
		return nil, &serve.Problem{Status: http.StatusUnauthorized, Code: "token_missing",
			Detail: "No callback token came with the call.", Advice: "Send 'Authorization: Bearer TOKEN' or ?callback_token=TOKEN."}
	}
	caller, problem := s.identify(ctx, r, tenant.Read)
	return func() (queue.State, error) {
		state, err := s.Queue.Lookup(ctx, id)
		if err == nil && state.Caller != caller {
			err = queue.ErrNotFound
		}
		return state, err
	}, problem
}
