package gcs

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// serveJSON routes the JSON API. Paths are split while they are still escaped: a name's "/" arrives as %2F.
func (s *Server) serveJSON(w http.ResponseWriter, r *http.Request, path string) {
	isSession := strings.HasPrefix(path, "/upload/") && r.URL.Query().Get("upload_id") != ""
	if isSession { // a session URI is its own credential, and a page may have been given it
		if s.serveCORS(w, r, bucketOfUpload(path)) {
			return
		}
	} else if f := s.fromThisMachine(r); f != nil {
		s.failJSON(w, r, f)
		return
	}
	if err := s.routeJSON(w, r, path, isSession); err != nil {
		s.failJSON(w, r, err)
	}
}

func bucketOfUpload(path string) string {
	rest := strings.TrimPrefix(path, "/upload/storage/v1/b/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (s *Server) routeJSON(w http.ResponseWriter, r *http.Request, path string, isSession bool) error {
	if isSession {
		return s.resume(w, r, func(o Object) { writeJSON(w, http.StatusOK, o) })
	}
	before, rest, _ := strings.Cut(path, "/storage/v1/")
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			return invalid("The path is badly escaped.")
		}
		parts[i] = text
	}
	notFound := &failure{http.StatusNotFound, "notFound", "NotFound", "There is no such resource: " + path}
	if parts[0] != "b" {
		return notFound
	}
	switch before {
	case "/upload":
		if len(parts) == 3 && parts[2] == "o" && r.Method == http.MethodPost {
			return s.insert(w, r, parts[1])
		}
	case "/download":
		if len(parts) == 4 && parts[2] == "o" && r.Method == http.MethodGet {
			return s.getMedia(w, r, parts[1], parts[3])
		}
	case "":
		switch {
		case len(parts) == 1:
			return s.serveBuckets(w, r)
		case len(parts) == 2:
			return s.serveBucket(w, r, parts[1])
		case len(parts) == 3 && parts[2] == "o" && r.Method == http.MethodGet:
			return s.list(w, r, parts[1])
		case len(parts) == 4 && parts[2] == "o":
			return s.serveObject(w, r, parts[1], parts[3])
		case len(parts) == 9 && parts[2] == "o" && (parts[4] == "rewriteTo" || parts[4] == "copyTo") &&
			parts[5] == "b" && parts[7] == "o" && r.Method == http.MethodPost:
			return s.serveCopy(w, r, parts)
		}
	}
	return notFound
}

func (s *Server) serveBuckets(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, map[string]any{"kind": "storage#buckets", "items": s.listBuckets(r.URL.Query().Get("prefix"))})
		return nil
	case http.MethodPost:
		body, err := readJSON(r.Body)
		if err != nil {
			return err
		}
		var b Bucket
		if err := json.Unmarshal(body, &b); err != nil {
			return invalid("The bucket resource is no JSON: %v", err)
		}
		if err := s.createBucket(Bucket{Name: b.Name, Location: b.Location, CORS: b.CORS}); err != nil {
			return err
		}
		return s.answerBucket(w, b.Name)
	}
	return errMethod
}

func (s *Server) listBuckets(prefix string) []Bucket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Bucket{}
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, s.buckets[name].Bucket)
		}
	}
	return list
}

func (s *Server) answerBucket(w http.ResponseWriter, name string) error {
	b, err := s.findBucket(name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, b)
	return nil
}

func (s *Server) serveBucket(w http.ResponseWriter, r *http.Request, name string) error {
	switch r.Method {
	case http.MethodGet:
		return s.answerBucket(w, name)
	case http.MethodDelete:
		if err := s.deleteBucket(name); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPatch:
		body, err := readJSON(r.Body)
		if err != nil {
			return err
		}
		c, err := queryConditions(r.URL.Query(), "")
		if err != nil {
			return err
		}
		err = s.changeBucket(name, func(b *Bucket) error {
			if err := c.check(Object{Metageneration: b.Metageneration}, false); err != nil {
				return err
			}
			var patch struct{ CORS *[]CORS }
			if err := json.Unmarshal(body, &patch); err != nil {
				return invalid("The bucket resource is no JSON: %v", err)
			}
			if patch.CORS != nil {
				b.CORS = *patch.CORS
			}
			return nil
		})
		if err != nil {
			return err
		}
		return s.answerBucket(w, name)
	}
	return errMethod
}

func (s *Server) serveObject(w http.ResponseWriter, r *http.Request, bucketName, name string) error {
	q := r.URL.Query()
	if r.Method == http.MethodGet && q.Get("alt") == "media" {
		return s.getMedia(w, r, bucketName, name)
	}
	generation, err := generationOf(q)
	if err != nil {
		return err
	}
	c, err := queryConditions(q, "")
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		o, err := s.find(bucketName, name, generation)
		if err != nil {
			return err
		}
		if err := c.check(o, true); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, o)
		return nil
	case http.MethodPatch:
		body, err := readJSON(r.Body)
		if err != nil {
			return err
		}
		o, err := s.patch(bucketName, name, generation, c, body)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, o)
		return nil
	case http.MethodDelete:
		if err := s.delete(bucketName, name, generation, c); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return errMethod
}

func (s *Server) getMedia(w http.ResponseWriter, r *http.Request, bucketName, name string) error {
	c, err := queryConditions(r.URL.Query(), "")
	if err != nil {
		return err
	}
	return s.serveMedia(w, r, bucketName, name, c)
}

// serveCopy is objects.rewrite and objects.copy; parts are b/B/o/O/rewriteTo/b/B/o/O. A rewrite is done at once.
func (s *Server) serveCopy(w http.ResponseWriter, r *http.Request, parts []string) error {
	q := r.URL.Query()
	wanted, err := conditionsOfCopy(q)
	if err != nil {
		return err
	}
	source, err := s.find(parts[1], parts[3], wanted.generation)
	if err != nil {
		return err
	}
	if err := wanted.source.check(source, false); err != nil {
		return err
	}
	body, err := readJSON(r.Body)
	if err != nil {
		return err
	}
	d := draft{Bucket: parts[6], Name: parts[8], Attributes: source.Attributes, Conditions: wanted.destination}
	if len(body) > 0 {
		if err := d.merge(body); err != nil {
			return err
		}
	}
	o, err := s.copy(source, d)
	if err != nil {
		return err
	}
	if parts[4] == "copyTo" {
		writeJSON(w, http.StatusOK, o)
		return nil
	}
	writeJSON(w, http.StatusOK, struct {
		Kind      string `json:"kind"`
		Rewritten int64  `json:"totalBytesRewritten,string"`
		Size      int64  `json:"objectSize,string"`
		Done      bool   `json:"done"`
		Resource  Object `json:"resource"`
	}{"storage#rewriteResponse", o.Size, o.Size, true, o})
	return nil
}

type copyConditions struct {
	generation          int64 // of the source; 0: the live one
	source, destination conditions
}

func conditionsOfCopy(q url.Values) (c copyConditions, err error) {
	if c.generation, err = generationOf(url.Values{"generation": {q.Get("sourceGeneration")}}); err != nil {
		return c, err
	}
	if c.source, err = queryConditions(q, "Source"); err != nil {
		return c, err
	}
	c.destination, err = queryConditions(q, "")
	return c, err
}
