package trigger

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// The token of a share is the whole query of these addresses: paths are logged.
const (
	sharePage    = "/s"
	sharePicture = "/s/picture.jpg"
)

// shared serves GET /shared: what a share shows, with fresh links.
func (s *Service) shared(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	token := callbackToken(r)
	if token == "" {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusUnauthorized, Code: "token_missing",
			Detail: "No token of a share came with the call.", Advice: "Send 'Authorization: Bearer TOKEN'."})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	doc, err := s.openShare(ctx, token)
	switch {
	case errors.Is(err, errShareExpired):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusGone, Code: "share_expired",
			Detail: "This link has expired.", Advice: "Ask the person who sent it for another."})
	case errors.Is(err, errResultsDeleted):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusGone, Code: "results_deleted",
			Detail: "What this link showed was deleted: results are kept for some time only.", Advice: "Ask the person who sent it for another."})
	case errors.Is(err, artifacts.ErrNotFound):
		serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_share",
			Detail: "This link shows nothing, or was revoked.", Advice: "Check that it is complete, or ask the person who sent it for another."})
	case err != nil:
		s.unavailable(w, r, "storage", err)
	default:
		serve.WriteJSON(w, http.StatusOK, doc)
	}
}

var (
	errShareExpired   = errors.New("share expired")
	errResultsDeleted = errors.New("results deleted")
)

// openShare returns artifacts.ErrNotFound for a token that opens nothing.
func (s *Service) openShare(ctx context.Context, token string) (api.Shared, error) {
	requestID, ok := pipeline.SharedRequest(token)
	if !ok {
		return api.Shared{}, artifacts.ErrNotFound
	}
	var record shareRecord
	name := artifacts.ShareName(requestID, shareID(token))
	if err := artifacts.GetJSON(ctx, s.Store, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: name}, &record, maxShareBytes); err != nil {
		return api.Shared{}, err
	}
	now := s.Now().UTC()
	if !record.ExpiresAt.IsZero() && !now.Before(record.ExpiresAt) {
		return api.Shared{}, errShareExpired
	}
	state := queue.State{Status: pipeline.Completed, Manifest: record.Manifest}
	left, err := s.results.of(ctx, s, state, now)
	if errors.Is(err, artifacts.ErrNotFound) {
		return api.Shared{}, errResultsDeleted
	}
	if err != nil {
		return api.Shared{}, err
	}
	doc := api.Shared{Title: record.Title, CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt, Results: []api.Result{}}
	for _, result := range left.results {
		if record.shows(artifacts.Kind(result.Kind)) {
			doc.Results = append(doc.Results, result)
		}
	}
	n, err := s.readNotes(ctx, requestID)
	doc.Notes = n.Notes
	return doc, err
}

// preview is what messengers and search engines see of a share; people are led to the page at once. Nothing runs in it.
var preview = template.Must(template.New("preview").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{.Title}}</title>
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={{.Page}}">
{{if .Picture -}}
<meta property="og:type" content="website">
<meta property="og:title" content="{{.Title}}">
<meta property="og:description" content="A place to look around in, in 3D.">
<meta property="og:image" content="{{.Picture}}">
<meta name="twitter:card" content="summary_large_image">
{{end -}}
<p><a href="{{.Page}}">{{.Title}}</a></p>
</html>
`))

// sharePage serves the address of a share: a few words and a picture for messengers, and the way to the page. A token that opens
// nothing leads there, too, where a person reads why.
func (s *Service) sharePage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	token := r.URL.RawQuery
	show := struct{ Title, Page, Picture string }{"A place in 3D", "/#/s/" + url.PathEscape(token), ""}
	if doc, err := s.openShare(ctx, token); err == nil {
		if doc.Title != "" {
			show.Title = doc.Title
		}
		show.Picture = s.publicURL(r) + sharePicture + "?" + token
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_ = preview.Execute(w, show) // the client has gone
}

// sharePicture leads to the thumbnail of a share.
func (s *Service) sharePicture(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	doc, err := s.openShare(ctx, r.URL.RawQuery)
	i := slices.IndexFunc(doc.Results, func(r api.Result) bool { return r.Kind == string(artifacts.Thumbnail) })
	if err != nil || i < 0 {
		serve.NotFound(w, r)
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, doc.Results[i].URL, http.StatusFound)
}
