package gcs

import (
	"net/http"
	"net/url"
	"strings"
)

// serveXML serves /BUCKET/OBJECT as signed URLs use it. Nothing is public: a request carries a V4 signature or the
// session URI of a resumable upload.
func (s *Server) serveXML(w http.ResponseWriter, r *http.Request, path string) {
	bucketName, escaped, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if s.serveCORS(w, r, bucketName) {
		return
	}
	name, err := url.PathUnescape(escaped)
	switch {
	case err != nil:
		err = invalid("The path is badly escaped.")
	case name == "":
		err = &failure{http.StatusNotImplemented, "notImplemented", "NotImplemented", "The local storage serves buckets by the JSON API only."}
	case r.URL.Query().Get("upload_id") != "":
		err = s.resume(w, r, func(o Object) { s.answerXML(w, o) })
	default:
		if err = s.verify(r, bucketName, name); err == nil {
			unhurried(w)
			err = s.routeXML(w, r, bucketName, name)
		}
	}
	if err != nil {
		s.failXML(w, r, err)
	}
}

func (s *Server) routeXML(w http.ResponseWriter, r *http.Request, bucketName, name string) error {
	c, err := headerConditions(r.Header)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.serveMedia(w, r, bucketName, name, c)
	case http.MethodDelete:
		generation, err := generationOf(r.URL.Query())
		if err != nil {
			return err
		}
		if err := s.delete(bucketName, name, generation, c); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut, http.MethodPost:
	default:
		return errMethod
	}
	d := draft{Bucket: bucketName, Name: name, Attributes: headerAttributes(r.Header), Conditions: c}
	limit, err := parseContentLengthRange(r.Header)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return s.startXML(w, r, d, limit)
	}
	if r.Header.Get("x-goog-resumable") != "" {
		return invalid("x-goog-resumable: start needs POST.")
	}
	d.Expected.declare(r.Header)
	if r.ContentLength >= 0 {
		if err := limit.check(r.ContentLength); err != nil {
			return err
		}
	}
	o, err := s.write(d, r.Body, limit)
	if err != nil {
		return err
	}
	s.answerXML(w, o)
	return nil
}

// startXML is the documented "Initiate a resumable upload": an empty POST, answered by 201 and the session URI.
func (s *Server) startXML(w http.ResponseWriter, r *http.Request, d draft, limit contentLengthRange) error {
	if r.Header.Get("x-goog-resumable") != "start" {
		return invalid("POST of an object needs x-goog-resumable: start.")
	}
	if r.ContentLength > 0 {
		return invalid("The request that starts a resumable upload has no body.")
	}
	total := int64(-1)
	if text := r.Header.Get("X-Upload-Content-Length"); text != "" {
		var ok bool
		if total, ok = parseOffset(text); !ok {
			return invalid("X-Upload-Content-Length %q is no length", text)
		}
	}
	u, err := s.startSession(d, limit, total)
	if err != nil {
		return err
	}
	scheme := "http"
	if r.Header.Get("X-Forwarded-Proto") == "https" { // the client called a proxy in front
		scheme = "https"
	}
	location := url.URL{Scheme: scheme, Host: r.Host, Path: "/" + d.Bucket + "/" + d.Name, RawQuery: url.Values{"upload_id": {u.ID}}.Encode()}
	w.Header().Set("Location", location.String())
	w.Header().Set("X-GUploader-UploadID", u.ID)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *Server) answerXML(w http.ResponseWriter, o Object) {
	s.describeObject(w.Header(), o)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

func headerAttributes(h http.Header) Attributes {
	a := Attributes{ContentType: h.Get("Content-Type"), ContentEncoding: h.Get("Content-Encoding"),
		ContentDisposition: h.Get("Content-Disposition"), ContentLanguage: h.Get("Content-Language"), CacheControl: h.Get("Cache-Control")}
	for k, v := range h {
		if key, ok := strings.CutPrefix(strings.ToLower(k), "x-goog-meta-"); ok && key != "" {
			if a.Metadata == nil {
				a.Metadata = map[string]string{}
			}
			a.Metadata[key] = strings.Join(v, ",")
		}
	}
	return a
}
