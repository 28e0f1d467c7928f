package operators

import (
	"net/http"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
)

// revokeAll revokes the keys of a caller that is deleted, and counts those that it has had. A program that still knows one may take a request
// in for tenant.Freshness, which is less than settledAfter; so the keys stay, for the next call, until they have been revoked for that long.
func (s *Service) revokeAll(r *http.Request, ask purgeAsked, done *purgeAnswer) error {
	if !ask.Keys {
		return nil
	}
	all, err := s.register().All(r.Context())
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	for _, k := range all {
		if k.Name != ask.keyName() {
			continue
		}
		done.Keys++
		if k.RevokedAt.IsZero() && !ask.DryRun {
			if k, _, err = s.register().Revoke(r.Context(), k.ID, now); err != nil {
				return err
			}
			s.auditKey(r, tenant.KeyRevoked, k)
		}
		if !ask.DryRun && k.RevokedAt.After(now.Add(-settledAfter)) {
			done.KeysLeft++
		}
	}
	return nil
}

// deleteKeys deletes the keys of a caller, and when they were used, once nothing else of it is left.
func (s *Service) deleteKeys(r *http.Request, ask purgeAsked, done *purgeAnswer) error {
	if !ask.Keys || !done.whole() || done.KeysLeft > 0 {
		done.Keys, done.KeysLeft = 0, done.Keys
		return nil
	}
	bucket := s.Buckets.Artifacts
	n, b, err := s.remove(r.Context(), []prefix{{bucket, artifacts.KeyUsePrefix + ask.keyName() + "/"}, {bucket, artifacts.KeyPrefix + ask.keyName() + "/"}}, ask.DryRun)
	if err != nil {
		return err
	}
	done.Objects, done.Bytes = done.Objects+n, done.Bytes+b
	if n > 0 && !ask.DryRun {
		s.audit(r, tenant.CallerDeleted, "caller", ask.Caller, "keys", done.Keys)
	}
	return nil
}
