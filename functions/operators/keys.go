package operators

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// keyRow is a key as operators see it: without its hash, which nobody needs.
type keyRow struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	State     string         `json:"state"` // active, expired or revoked
	Scopes    []tenant.Scope `json:"scopes"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"`
	RevokedAt time.Time      `json:"revoked_at,omitzero"`
	UsedAt    time.Time      `json:"used_at,omitzero"` // to the hour
}

func (s *Service) keyRow(k tenant.Key, used time.Time) keyRow {
	return keyRow{ID: k.ID, Name: k.Name, State: k.State(s.Now()), Scopes: k.Scopes, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt, UsedAt: used}
}

func (s *Service) register() tenant.Register {
	return tenant.Register{Store: s.Store, Bucket: s.Buckets.Artifacts}
}

// keys serves GET /keys.
func (s *Service) keys(r *http.Request) (int, any, error) {
	all, err := s.register().All(r.Context())
	if err != nil {
		return 0, nil, err
	}
	used, err := s.register().LastUses(r.Context())
	if err != nil {
		return 0, nil, err
	}
	rows := []keyRow{}
	for _, k := range all {
		rows = append(rows, s.keyRow(k, used[k.ID]))
	}
	return http.StatusOK, map[string]any{"asked": s.AskKeys, "keys": rows}, nil
}

// maxKeyLife is the longest that a key may be valid that expires: ten years.
const maxKeyLife = 10 * 366 * 24 * time.Hour

// addKey serves POST /keys. The answer is the only place where the secret ever is.
func (s *Service) addKey(r *http.Request) (int, any, error) {
	var ask struct {
		Name       string         `json:"name"`
		Scopes     []tenant.Scope `json:"scopes"`       // none: all
		ExpiresInS float64        `json:"expires_in_s"` // 0: never
	}
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	if err := tenant.CheckName(ask.Name); err != nil {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_name", err.Error()+".", "Name the caller that gets the key; keys of one name are one caller.")
	}
	for _, scope := range ask.Scopes {
		if !slices.Contains(tenant.Scopes(), scope) {
			return 0, nil, refuse(http.StatusBadRequest, "invalid_scopes", fmt.Sprintf("There is no scope %.40q.", scope), "Name submit, read or both; without any the key has both.")
		}
	}
	if !(ask.ExpiresInS == 0 || ask.ExpiresInS >= 1 && ask.ExpiresInS <= maxKeyLife.Seconds()) {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_expiry", fmt.Sprintf("expires_in_s must be 0 or between 1 and %.0f.", maxKeyLife.Seconds()), "Think of a year: 31536000. 0 is a key that does not expire.")
	}
	if _, err := s.register().All(r.Context()); err != nil { // what cannot be listed could not be revoked
		return 0, nil, err
	}
	secret, k, err := tenant.New(ask.Name, s.Random)
	if err != nil {
		return 0, nil, err
	}
	k.CreatedAt = s.Now().UTC()
	if len(ask.Scopes) > 0 {
		k.Scopes = slices.Compact(slices.Sorted(slices.Values(ask.Scopes)))
	}
	if ask.ExpiresInS > 0 {
		k.ExpiresAt = k.CreatedAt.Add(time.Duration(ask.ExpiresInS * float64(time.Second)))
	}
	if err := s.register().Add(r.Context(), k); err != nil {
		return 0, nil, err
	}
	s.auditKey(r, tenant.KeyAdded, k)
	return http.StatusCreated, map[string]any{"asked": s.AskKeys, "secret": secret, "key": s.keyRow(k, time.Time{})}, nil
}

// revokeKey serves DELETE /keys/{id}. The key stays listed, so that its holder is answered why it opens nothing.
func (s *Service) revokeKey(r *http.Request) (int, any, error) {
	k, first, err := s.register().Revoke(r.Context(), r.PathValue("id"), s.Now().UTC())
	if errors.Is(err, tenant.ErrNoKey) {
		return 0, nil, refuse(http.StatusNotFound, "unknown_key", "No stored key has this id.", "GET /keys lists them; a key of the configuration is removed there.")
	}
	if err != nil {
		return 0, nil, err
	}
	if first {
		s.auditKey(r, tenant.KeyRevoked, k)
	}
	return http.StatusOK, s.keyRow(k, time.Time{}), nil
}

func (s *Service) auditKey(r *http.Request, action tenant.Action, k tenant.Key) {
	s.audit(r, action, "key", k.ID, "caller", pipeline.KeyCaller+k.Name, "scopes", k.Scopes)
}
