package gcs

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"syscall"
)

// failure is an answer other than success, in the words of both APIs.
type failure struct {
	status  int
	reason  string // JSON API, e.g. conditionNotMet
	code    string // XML API, e.g. PreconditionFailed
	message string
}

func (f *failure) Error() string { return fmt.Sprintf("%d %s: %s", f.status, f.reason, f.message) }

func invalid(format string, args ...any) *failure {
	return &failure{http.StatusBadRequest, "invalid", "InvalidArgument", fmt.Sprintf(format, args...)}
}

func forbidden(message string) *failure {
	return &failure{http.StatusForbidden, "forbidden", "AccessDenied", message}
}

func noObject(bucket, name string) *failure {
	return &failure{http.StatusNotFound, "notFound", "NoSuchKey", fmt.Sprintf("No such object: %s/%s", bucket, name)}
}

func noBucket(name string) *failure {
	return &failure{http.StatusNotFound, "notFound", "NoSuchBucket", "The specified bucket does not exist: " + name}
}

func unmet(condition string) *failure {
	return &failure{http.StatusPreconditionFailed, "conditionNotMet", "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold: " + condition}
}

var (
	errNotModified = &failure{http.StatusNotModified, "notModified", "NotModified", ""}
	errNoSession   = &failure{http.StatusNotFound, "notFound", "NoSuchUpload", "The upload session is unknown, canceled or older than a week."}
	// Not 308: the Go client takes that for "the whole chunk is stored", whatever Range says.
	errCutShort = &failure{http.StatusServiceUnavailable, "backendError", "ServiceUnavailable", "The request was cut short; what arrived is stored."}
	errMethod   = &failure{http.StatusMethodNotAllowed, "methodNotAllowed", "MethodNotAllowed", "This method is not served here."}
	errTooLarge = &failure{http.StatusBadRequest, "invalid", "EntityTooLarge", "The upload is larger than was declared or x-goog-content-length-range allows."}
	errTooSmall = &failure{http.StatusBadRequest, "invalid", "EntityTooSmall", "The upload is smaller than x-goog-content-length-range allows."}
)

// failureOf turns errors of the file system into answers that a client may retry.
func failureOf(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, syscall.ENOSPC):
		message := "The disk of the local storage is full."
		if file := new(fs.PathError); errors.As(err, &file) {
			message = fmt.Sprintf("The disk of the local storage is full: there is no room in %s.", filepath.Dir(file.Path))
		}
		return &failure{http.StatusInsufficientStorage, "quotaExceeded", "QuotaExceeded", message}
	case errors.Is(err, fs.ErrPermission):
		return &failure{http.StatusInternalServerError, "internalError", "InternalError", "The local storage may not write its folder."}
	}
	return &failure{http.StatusServiceUnavailable, "backendError", "ServiceUnavailable", err.Error()}
}

func (s *Server) failJSON(w http.ResponseWriter, r *http.Request, err error) {
	f := s.report(r, err)
	if f.status == http.StatusNotModified {
		w.WriteHeader(f.status)
		return
	}
	type item struct {
		Message string `json:"message"`
		Domain  string `json:"domain"`
		Reason  string `json:"reason"`
	}
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Errors  []item `json:"errors"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = f.status, f.message
	body.Error.Errors = []item{{f.message, "global", f.reason}}
	writeJSON(w, f.status, body)
}

func (s *Server) failXML(w http.ResponseWriter, r *http.Request, err error) {
	f := s.report(r, err)
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(f.status)
	if f.status == http.StatusNotModified || r.Method == http.MethodHead {
		return
	}
	body, _ := xml.Marshal(struct { // two strings cannot fail
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: f.code, Message: f.message})
	_, _ = w.Write(append([]byte(xml.Header), body...)) // the client is gone: nobody to tell
}

func (s *Server) report(r *http.Request, err error) *failure {
	f := failureOf(err)
	if f.status >= http.StatusInternalServerError {
		s.o.Log.Error("storage", "method", r.Method, "path", r.URL.Path, "status", f.status, "error", err)
	}
	return f
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // our own types only
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone: nobody to tell
}
