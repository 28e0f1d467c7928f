package gcs

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// chunkUnit is what every part of a resumable upload but the last is a multiple of (documentation, "Resumable uploads").
const chunkUnit = 256 << 10

// maxJSONBytes bounds a request's JSON.
const maxJSONBytes = 1 << 20

// contentRange is the Content-Range of a resumable upload's request.
type contentRange struct {
	query       bool  // bytes */N: asks for the status, and ends the upload when N bytes are stored
	first, last int64 // last -1: to the end of the body
	total       int64 // -1: not known yet
}

// parseContentRange reads "bytes A-B/N", "bytes A-B/*", "bytes */N" and "bytes */*", and "bytes A-*/N" and "bytes A-*/*", by which
// Google's client for Node.js says that the body goes to the end of the upload. Without a header the body is the whole upload, of
// contentLength bytes (-1: unknown).
func parseContentRange(header string, contentLength int64) (contentRange, error) {
	if header == "" {
		return contentRange{first: 0, last: -1, total: contentLength}, nil
	}
	bad := invalid("Failed to parse Content-Range header: %q", header)
	spec, ok := strings.CutPrefix(header, "bytes ")
	span, size, found := strings.Cut(spec, "/")
	if !ok || !found {
		return contentRange{}, bad
	}
	c := contentRange{last: -1, total: -1}
	if size != "*" {
		var valid bool
		if c.total, valid = parseOffset(size); !valid {
			return contentRange{}, bad
		}
	}
	if span == "*" {
		c.query = true
		return c, nil
	}
	low, high, found := strings.Cut(span, "-")
	first, valid1 := parseOffset(low)
	if found && valid1 && high == "*" {
		return c.toTheEnd(first, contentLength, bad)
	}
	last, valid2 := parseOffset(high)
	if !found || !valid1 || !valid2 || last < first || c.total >= 0 && last >= c.total {
		return contentRange{}, bad
	}
	c.first, c.last = first, last
	n := last - first + 1
	if contentLength >= 0 && contentLength != n {
		return contentRange{}, invalid("Content-Range %q does not fit a body of %d bytes.", header, contentLength)
	}
	if last+1 != c.total && n%chunkUnit != 0 {
		return contentRange{}, invalid("Every chunk but the last must be a multiple of %d bytes, not %d.", chunkUnit, n)
	}
	return c, nil
}

// toTheEnd completes "bytes A-*/N": the body begins at A and brings what is left. A body of a known length says N, too.
func (c contentRange) toTheEnd(first, contentLength int64, bad error) (contentRange, error) {
	if c.total >= 0 && first > c.total {
		return contentRange{}, bad
	}
	c.first = first
	if contentLength < 0 {
		return c, nil
	}
	if c.total >= 0 && c.total != first+contentLength {
		return contentRange{}, invalid("A body of %d bytes from byte %d on does not end an upload of %d.", contentLength, first, c.total)
	}
	c.total = first + contentLength
	return c, nil
}

// parseOffset takes digits only, no sign, up to the largest object.
func parseOffset(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= maxObjectBytes && s[0] >= '0' && s[0] <= '9'
}

// insert is objects.insert of the JSON API: media, multipart, or the start of a resumable upload.
func (s *Server) insert(w http.ResponseWriter, r *http.Request, bucketName string) error {
	q := r.URL.Query()
	c, err := queryConditions(q, "")
	if err != nil {
		return err
	}
	d := draft{Bucket: bucketName, Name: q.Get("name"), Conditions: c}
	d.ContentEncoding = q.Get("contentEncoding")
	d.Expected.declare(r.Header)
	switch q.Get("uploadType") {
	case "media":
		d.ContentType = r.Header.Get("Content-Type")
		return s.insertBody(w, d, r.Body)
	case "multipart":
		return s.insertMultipart(w, r, d)
	case "resumable":
		return s.insertResumable(w, r, d)
	}
	return invalid("uploadType must be media, multipart or resumable, not %q", q.Get("uploadType"))
}

func (s *Server) insertBody(w http.ResponseWriter, d draft, body io.Reader) error {
	o, err := s.write(d, body, contentLengthRange{})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}

// write makes an object of one body. Preconditions are checked before the body is read, so that a lost race is cheap,
// and again when it is committed.
func (s *Server) write(d draft, body io.Reader, limit contentLengthRange) (Object, error) {
	if err := s.checkDraft(d); err != nil {
		return Object{}, err
	}
	f, err := s.stage(body, limit)
	if err != nil {
		var broken errBody
		if errors.As(err, &broken) {
			return Object{}, invalid("The body broke off: %v", err)
		}
		return Object{}, err
	}
	o, err := s.commit(d, f)
	if err != nil {
		return Object{}, errors.Join(err, ignoreMissing(os.Remove(f.path)))
	}
	return o, nil
}

// describe fills a draft from the JSON resource that came with an upload.
func (d *draft) describe(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	var resource struct{ Name, MD5Hash, CRC32C string }
	if err := json.Unmarshal(body, &resource); err != nil {
		return invalid("The object resource is no JSON: %v", err)
	}
	if err := d.merge(body); err != nil {
		return err
	}
	if d.Name == "" {
		d.Name = resource.Name
	}
	if resource.CRC32C != "" {
		d.Expected.CRC32C = resource.CRC32C
	}
	if resource.MD5Hash != "" {
		d.Expected.MD5Hash = resource.MD5Hash
	}
	return nil
}

func (s *Server) insertMultipart(w http.ResponseWriter, r *http.Request, d draft) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return invalid("A multipart upload needs Content-Type multipart/related with a boundary.")
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	head, err := parts.NextRawPart()
	if err != nil {
		return invalid("The first part is missing: %v", err)
	}
	resource, err := readJSON(head)
	if err != nil {
		return err
	}
	if err := d.describe(resource); err != nil {
		return err
	}
	media, err := parts.NextRawPart()
	if err != nil {
		return invalid("The second part is missing: %v", err)
	}
	if d.ContentType == "" {
		d.ContentType = media.Header.Get("Content-Type")
	}
	return s.insertBody(w, d, &lastPart{media, parts})
}

// lastPart ends only when the whole multipart body has: a body cut off inside the closing boundary is no object.
type lastPart struct {
	io.Reader
	rest *multipart.Reader
}

func (p *lastPart) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != io.EOF {
		return n, err
	}
	switch _, err := p.rest.NextRawPart(); err {
	case io.EOF:
		return n, io.EOF
	case nil:
		return n, errors.New("the body has more than two parts")
	default:
		return n, err
	}
}

func readJSON(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxJSONBytes+1))
	if err != nil {
		return nil, invalid("The body broke off: %v", err)
	}
	if len(body) > maxJSONBytes {
		return nil, invalid("The JSON is larger than %d bytes.", maxJSONBytes)
	}
	return body, nil
}

func (s *Server) insertResumable(w http.ResponseWriter, r *http.Request, d draft) error {
	body, err := readJSON(r.Body)
	if err != nil {
		return err
	}
	if err := d.describe(body); err != nil {
		return err
	}
	if d.ContentType == "" {
		d.ContentType = r.Header.Get("X-Upload-Content-Type")
	}
	total := int64(-1)
	if text := r.Header.Get("X-Upload-Content-Length"); text != "" {
		var ok bool
		if total, ok = parseOffset(text); !ok {
			return invalid("X-Upload-Content-Length %q is no length", text)
		}
	}
	u, err := s.startSession(d, contentLengthRange{}, total)
	if err != nil {
		return err
	}
	q := url.Values{"uploadType": {"resumable"}, "name": {d.Name}, "upload_id": {u.ID}}
	w.Header().Set("Location", "http://"+r.Host+"/upload/storage/v1/b/"+d.Bucket+"/o?"+q.Encode())
	w.Header().Set("X-GUploader-UploadID", u.ID)
	w.WriteHeader(http.StatusOK)
	return nil
}

// resume serves the session URI of either API: chunks, status and cancellation.
func (s *Server) resume(w http.ResponseWriter, r *http.Request, done func(Object)) error {
	u, release, err := s.acquire(r.URL.Query().Get("upload_id"), w)
	if err != nil {
		return err
	}
	defer release()
	switch r.Method {
	case http.MethodDelete:
		if err := s.dropSession(u); err != nil {
			return err
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(499) // documentation, "Cancel an upload": Client Closed Request
		return nil
	case http.MethodPut, http.MethodPost:
	default:
		return errMethod
	}
	c, err := parseContentRange(r.Header.Get("Content-Range"), r.ContentLength)
	if err != nil {
		return err
	}
	var declared expected
	declared.declare(r.Header)
	if c.last >= 0 && c.last+1 != c.total {
		declared = expected{} // Content-MD5 of a chunk that is not the last says nothing about the object
	}
	o, err := s.receive(u, c, r.Body, declared)
	if err != nil {
		return err
	}
	if o != nil {
		done(*o)
		return nil
	}
	if u.Received > 0 {
		w.Header().Set("Range", "bytes=0-"+strconv.FormatInt(u.Received-1, 10))
	}
	w.Header().Set("X-GUploader-UploadID", u.ID)
	w.Header().Set("Content-Length", "0")
	status := http.StatusPermanentRedirect // "308 Resume Incomplete"
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-HTTP-Status-Code-Override", "308")
		status = http.StatusOK
	}
	w.WriteHeader(status)
	return nil
}
