package trigger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// maxSourceBytes bounds a source's URI: a bucket's name and an object's name (at most 1024 bytes of UTF-8).
const maxSourceBytes = 1200

// parseSource reads gs://BUCKET/OBJECT.
func parseSource(uri string) (bucket, name string, ok bool) {
	rest, found := strings.CutPrefix(uri, "gs://")
	bucket, name, slash := strings.Cut(rest, "/")
	if !found || !slash || bucket == "" || name == "" || len(uri) > maxSourceBytes || strings.ContainsFunc(uri, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return "", "", false
	}
	return bucket, name, true
}

// findSource pins the object that a client names in place of an upload. Only the buckets of the configuration are read:
// every caller of this API may have anything in them reconstructed.
func (s *Service) findSource(ctx context.Context, uri string) (*pipeline.Object, *serve.Problem) {
	if uri == "" {
		return nil, nil
	}
	refuse := func(detail, advice string) (*pipeline.Object, *serve.Problem) {
		return nil, invalid("invalid_source", detail, advice)
	}
	bucket, name, ok := parseSource(uri)
	if !ok {
		return refuse("source must have the form gs://BUCKET/OBJECT.", "Name one object of Cloud Storage.")
	}
	if !slices.Contains(s.Sources, bucket) {
		return refuse("This deployment reads no sources from that bucket.", "Ask its operator to allow the bucket, or upload the capture.")
	}
	o, err := s.Store.Stat(ctx, bucket, name)
	switch {
	case errors.Is(err, artifacts.ErrNotFound):
		return refuse("There is no such object.", "Check the name: it is spelled with all its folders.")
	case err != nil:
		return nil, s.broken(ctx, "storage", err)
	case o.Size < 1 || o.Size > s.MaxUploadBytes:
		return refuse(fmt.Sprintf("The object has %d bytes; 1 to %d are taken.", o.Size, s.MaxUploadBytes), "Shorten the capture or lower its resolution.")
	}
	return &o, nil
}

// checkSources keeps the deployment's own buckets from being named as sources: one client could read another's capture.
func checkSources(allowed []string, b artifacts.Buckets) error {
	for _, bucket := range allowed {
		own := bucket == b.Artifacts
		for _, inbox := range b.Inbox {
			own = own || bucket == inbox
		}
		if own || bucket == "" {
			return fmt.Errorf("trigger: bucket %q cannot be a source", bucket)
		}
	}
	return nil
}

// checkUploads says whether the ways of bringing the capture contradict each other.
func checkUploads(uploads, source, contentType string) *serve.Problem {
	switch {
	case uploads != "" && uploads != api.Several:
		return &serve.Problem{Status: http.StatusBadRequest, Code: "invalid_uploads", Detail: `uploads must be "several".`, Advice: "Leave it out for one upload."}
	case uploads != "" && source != "":
		return &serve.Problem{Status: http.StatusBadRequest, Code: "invalid_uploads", Detail: "With a source there is nothing to upload.", Advice: "Send source or uploads, not both."}
	case contentType != "" && (uploads != "" || source != ""):
		return invalid("invalid_content_type", "content_type is that of the one upload, which this request does not have.", "Leave it out.")
	}
	return nil
}
