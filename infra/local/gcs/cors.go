package gcs

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// serveCORS sets the headers that a bucket's rules grant a page, and answers preflight requests itself (true). Without a
// rule that fits it sets none, and the browser keeps the answer from the page, as with the real one.
func (s *Server) serveCORS(w http.ResponseWriter, r *http.Request, bucketName string) (answered bool) {
	origin := r.Header.Get("Origin")
	method, preflight := r.Method, r.Method == http.MethodOptions
	if preflight {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if b, err := s.findBucket(bucketName); err == nil && origin != "" {
		if rule, ok := b.rule(origin, method); ok {
			allowed := origin
			if slices.Contains(rule.Origin, "*") {
				allowed = "*"
			}
			h.Set("Access-Control-Allow-Origin", allowed)
			if preflight {
				h.Set("Access-Control-Allow-Methods", strings.Join(rule.Method, ","))
				setIf(h, "Access-Control-Allow-Headers", strings.Join(rule.granted(r.Header.Get("Access-Control-Request-Headers")), ","))
				h.Set("Access-Control-Max-Age", strconv.Itoa(rule.MaxAgeSeconds))
			} else {
				setIf(h, "Access-Control-Expose-Headers", strings.Join(rule.ResponseHeader, ","))
			}
		}
	}
	if preflight {
		w.WriteHeader(http.StatusOK)
	}
	return preflight
}

func (b Bucket) rule(origin, method string) (CORS, bool) {
	for _, c := range b.CORS {
		if slices.ContainsFunc(c.Origin, func(o string) bool { return o == "*" || strings.EqualFold(o, origin) }) &&
			slices.ContainsFunc(c.Method, func(m string) bool { return m == "*" || strings.EqualFold(m, method) }) {
			return c, true
		}
	}
	return CORS{}, false
}

// granted is those of the requested headers that the rule lists; a "*" at the end of a listed one stands for any rest.
func (c CORS) granted(requested string) []string {
	var granted []string
	for name := range strings.SplitSeq(requested, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && slices.ContainsFunc(c.ResponseHeader, func(listed string) bool {
			stem, wild := strings.CutSuffix(strings.ToLower(listed), "*")
			return name == stem || wild && strings.HasPrefix(name, stem)
		}) {
			granted = append(granted, name)
		}
	}
	return granted
}
