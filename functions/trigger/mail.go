package trigger

import (
	"context"
	"html/template"
	"net/http"
	"strings"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
)

// deployment serves GET /deployment: what a caller has to know before it asks.
func (s *Service) deployment(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	serve.WriteJSON(w, http.StatusOK, api.Deployment{Email: s.Mails != nil, APIKeys: s.Keys != nil})
}

// checkEmail looks at the address that a request is to be mailed to. The address is in no answer and in no log.
func (s *Service) checkEmail(ctx context.Context, address string) *serve.Problem {
	if address == "" {
		return nil
	}
	if s.Mails == nil {
		return invalid("invalid_email", "This deployment sends no mails.", "Leave email out and follow the status.")
	}
	if err := s.Mails.CheckAddress(address); err != nil {
		return invalid("invalid_email", "email cannot be used: "+err.Error()+".", "Correct the address, or leave it out and follow the status.")
	}
	return s.admit(ctx, s.PerAddress, strings.ToLower(address))
}

// unsubscribePath is where links in mails lead. Their token is the whole query: paths are logged.
const unsubscribePath = "/unsubscribe"

// unsubscribePages are for readers of a mail: nothing runs in them, and nothing is fetched for them.
var unsubscribePages = template.Must(template.New("unsubscribe").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Ask}}<form method="post"><button>Stop all mails to this address</button></form>{{end}}
</html>
`))

type unsubscribeText struct {
	Title, Text string
	Ask         bool
}

// unsubscribePage serves what a link in a mail leads to: a button, since programs that look into mails follow every link.
func (s *Service) unsubscribePage(w http.ResponseWriter, _ *http.Request) {
	writeUnsubscribe(w, http.StatusOK, unsubscribeText{"No more mails?",
		"Splatworks sends a mail when a capture is done, to the address that was given with it. It can stop sending any to the address of your mail.", true})
}

// unsubscribe serves the button, and mail programs that unsubscribe without a page (RFC 8058).
func (s *Service) unsubscribe(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	if problem := s.admit(ctx, s.Changes, "unsubscribe from "+serve.ClientAddress(r, s.Proxies)); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	known, err := s.Mails.Unsubscribe(ctx, r.URL.RawQuery)
	switch {
	case err != nil:
		s.unavailable(w, r, "storage", err)
	case !known:
		writeUnsubscribe(w, http.StatusNotFound, unsubscribeText{"This link is not complete", "Open it from the mail again, or copy all of it.", false})
	default:
		s.Log.InfoContext(r.Context(), "address unsubscribed")
		writeUnsubscribe(w, http.StatusOK, unsubscribeText{"No more mails", "This address gets no further mails from here.", false})
	}
}

func writeUnsubscribe(w http.ResponseWriter, status int, text unsubscribeText) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = unsubscribePages.Execute(w, text) // the client has gone
}
