package gcs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// serveMedia sends an object's bytes, or a range of them. An overwrite or deletion meanwhile does not disturb it: the
// file stays until it is closed.
func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request, bucketName, name string, c conditions) error {
	generation, err := generationOf(r.URL.Query())
	if err != nil {
		return err
	}
	var o Object
	var f *os.File
	for {
		if o, err = s.find(bucketName, name, generation); err != nil {
			return err
		}
		if err := c.check(o, true); err != nil {
			return err
		}
		f, err = os.Open(s.objectPath(o))
		if err == nil {
			break
		}
		if now, findErr := s.find(bucketName, name, generation); errors.Is(err, fs.ErrNotExist) &&
			(findErr != nil || now.Generation != o.Generation) {
			continue // replaced between the two steps
		}
		return err
	}
	defer f.Close()
	h := w.Header()
	s.describeObject(h, o)
	h.Set("Content-Type", "application/octet-stream")
	if o.ContentType != "" {
		h.Set("Content-Type", o.ContentType)
	}
	q := r.URL.Query()
	setIf(h, "Content-Disposition", o.ContentDisposition)
	setIf(h, "Content-Disposition", q.Get("response-content-disposition"))
	setIf(h, "Content-Type", q.Get("response-content-type"))
	setIf(h, "Content-Encoding", o.ContentEncoding)
	setIf(h, "Content-Language", o.ContentLanguage)
	setIf(h, "Cache-Control", o.CacheControl)
	http.ServeContent(w, r, "", o.Updated, f)
	return nil
}

func setIf(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// describeObject sets the headers of the XML API that describe an object; media answers of the JSON API carry them too.
func (s *Server) describeObject(h http.Header, o Object) {
	h["X-Goog-Hash"] = []string{"crc32c=" + o.CRC32C, "md5=" + o.MD5Hash}
	h.Set("X-Goog-Generation", strconv.FormatInt(o.Generation, 10))
	h.Set("X-Goog-Metageneration", strconv.FormatInt(o.Metageneration, 10))
	h.Set("X-Goog-Storage-Class", o.StorageClass)
	h.Set("X-Goog-Stored-Content-Length", strconv.FormatInt(o.Size, 10))
	encoding := o.ContentEncoding
	if encoding == "" {
		encoding = "identity"
	}
	h.Set("X-Goog-Stored-Content-Encoding", encoding)
	if sum, err := base64.StdEncoding.DecodeString(o.MD5Hash); err == nil {
		h.Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sum)))
	}
	for k, v := range o.Metadata {
		h.Set("X-Goog-Meta-"+k, v)
	}
}

const maxListResults = 1000 // documentation, objects.list: "recommended upper value ... 1000"

// list is objects.list.
func (s *Server) list(w http.ResponseWriter, r *http.Request, bucketName string) error {
	q := r.URL.Query()
	limit := maxListResults
	if text := q.Get("maxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return invalid("maxResults %q is no number", text)
		}
		if n > 0 {
			limit = min(n, maxListResults)
		}
	}
	for _, unsupported := range []string{"matchGlob", "softDeleted"} {
		if v := q.Get(unsupported); v != "" && v != "false" {
			return invalid("The local storage does not know %s.", unsupported)
		}
	}
	start := q.Get("startOffset")
	after := ""
	if token := q.Get("pageToken"); token != "" {
		b, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return invalid("pageToken %q is not from this server", token)
		}
		after = string(b)
	}
	page, err := s.page(bucketName, q.Get("prefix"), q.Get("delimiter"), start, q.Get("endOffset"), after,
		q.Get("includeTrailingDelimiter") == "true", limit)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, page)
	return nil
}

type page struct {
	Kind     string   `json:"kind"`
	Next     string   `json:"nextPageToken,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Items    []Object `json:"items,omitempty"`
}

// page collects up to limit objects and common prefixes, in byte order, that come after the item "after".
func (s *Server) page(bucketName, prefix, delimiter, start, end, after string, trailing bool, limit int) (page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.buckets[bucketName]
	if !ok {
		return page{}, noBucket(bucketName)
	}
	p := page{Kind: "storage#objects"}
	last := after
	i := searchFrom(b.names, max(prefix, start, after))
	for i < len(b.names) {
		name := b.names[i]
		if !strings.HasPrefix(name, prefix) || end != "" && name >= end {
			break
		}
		common := ""
		if at := strings.Index(name[len(prefix):], delimiter); delimiter != "" && at >= 0 {
			common = name[:len(prefix)+at+len(delimiter)]
		}
		item := name
		if common != "" {
			item = common
		}
		if after != "" && item <= after { // the page before ended with it
			i++
			if common != "" {
				i = searchFrom(b.names, successor(common))
			}
			continue
		}
		if len(p.Items)+len(p.Prefixes) >= limit {
			p.Next = base64.URLEncoding.EncodeToString([]byte(last))
			break
		}
		last = item
		if common == "" {
			p.Items = append(p.Items, b.objects[name])
			i++
			continue
		}
		p.Prefixes = append(p.Prefixes, common)
		if trailing && common == name {
			p.Items = append(p.Items, b.objects[name])
		}
		i = searchFrom(b.names, successor(common))
	}
	return p, nil
}
