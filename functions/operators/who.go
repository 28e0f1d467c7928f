package operators

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/splatworks/splatworks/internal/tenant"
)

// audit writes a row about what the caller of r did.
func (s *Service) audit(r *http.Request, action tenant.Action, attributes ...any) {
	tenant.Audit(r.Context(), s.Log, action, operator(r.Header), attributes...)
}

// verified is what Cloud Run puts in place of the signature of an identity token that IAM has accepted.
const verified = "SIGNATURE_REMOVED_BY_GOOGLE"

var subject = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// operator names who calls: the account by its number, where IAM verified an identity token, and otherwise the owner of the socket. The
// number is that of the token that IAM looked at: with two, X-Serverless-Authorization
// (https://cloud.google.com/run/docs/authenticating/service-to-service). Nothing here decides by it.
func operator(h http.Header) string {
	token := h.Get("X-Serverless-Authorization")
	if token == "" {
		token = h.Get("Authorization")
	}
	_, token, _ = strings.Cut(token, " ")
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 || parts[2] != verified {
		return "operator"
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Subject string `json:"sub"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || !subject.MatchString(claims.Subject) {
		return "operator"
	}
	return "operator:" + claims.Subject
}
