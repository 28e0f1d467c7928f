package trigger

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

const maxBodyBytes = 64 << 10

// uploadTypes are the content types an upload may declare; octet-stream is recognised by its first bytes later.
var uploadTypes = []string{"application/octet-stream", "video/mp4", "video/quicktime", "video/webm", "video/x-matroska",
	"application/zip", "image/jpeg", "image/png", "image/webp", "image/heic"}

func invalid(code, detail, advice string) *serve.Problem {
	return &serve.Problem{Status: http.StatusBadRequest, Code: code, Detail: detail, Advice: advice}
}

// readTrigger takes the body of POST /trigger-reconstruction.
func readTrigger(r *http.Request) (t api.Trigger, p *serve.Problem) {
	if p := readJSON(r, &t); p != nil {
		return t, p
	}
	return t, validate(&t)
}

// readJSON takes a body, strictly: what it does not understand, it refuses.
func readJSON(r *http.Request, v any) *serve.Problem { return readLongJSON(r, v, maxBodyBytes) }

func readLongJSON(r *http.Request, v any, maxBytes int64) *serve.Problem {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return &serve.Problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
			Detail: "The body must be JSON.", Advice: "Send Content-Type: application/json."}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBytes+1))
	var tooLarge *http.MaxBytesError
	if int64(len(body)) > maxBytes || errors.As(err, &tooLarge) {
		p := serve.TooLarge(maxBytes)
		return &p
	}
	if err != nil {
		return invalid("invalid_json", "The body did not arrive whole.", "Send it again.")
	}
	if err := serve.CheckJSON(body); err != nil {
		return invalid("invalid_json", "The body is not acceptable JSON: "+err.Error()+".", "Send one JSON object.")
	}
	if err := serve.DecodeJSON(body, v); err != nil {
		return invalid("invalid_field", "The body does not have the form of a request: "+err.Error()+".", "GET /openapi.json describes the fields.")
	}
	return nil
}

func validate(t *api.Trigger) *serve.Problem {
	if !pipeline.ValidName(t.SessionID) {
		return invalid("invalid_session_id", "session_id "+pipeline.NameRule+".", "Choose such a name for this capture.")
	}
	if t.Priority < 0 || t.Priority > pipeline.MaxPriority {
		return invalid("invalid_priority", fmt.Sprintf("priority must be between 0 and %d.", pipeline.MaxPriority), "Leave it out for the normal one, 0.")
	}
	if err := t.Options.Validate(); err != nil {
		return invalid("invalid_options", err.Error()+".", "Correct the option or leave it out.")
	}
	if p := checkUploads(t.Uploads, t.Source, t.ContentType); p != nil {
		return p
	}
	if t.ContentType == "" {
		t.ContentType = uploadTypes[0]
	}
	if !slices.Contains(uploadTypes, t.ContentType) {
		return invalid("invalid_content_type", "content_type must be one of "+strings.Join(uploadTypes, ", ")+".",
			"Convert the capture; several photos come as one zip, or as several uploads.")
	}
	return nil
}
