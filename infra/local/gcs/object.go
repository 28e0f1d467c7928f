package gcs

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Object is the resource of the JSON API (reference, "Objects"), the sidecar on disk, and the payload of a notification.
type Object struct {
	Kind           string    `json:"kind"`
	ID             string    `json:"id"`
	SelfLink       string    `json:"selfLink"`
	MediaLink      string    `json:"mediaLink"`
	Name           string    `json:"name"`
	Bucket         string    `json:"bucket"`
	Generation     int64     `json:"generation,string"`
	Metageneration int64     `json:"metageneration,string"`
	StorageClass   string    `json:"storageClass"`
	Size           int64     `json:"size,string"`
	MD5Hash        string    `json:"md5Hash"`
	CRC32C         string    `json:"crc32c"`
	ETag           string    `json:"etag"`
	TimeCreated    time.Time `json:"timeCreated"`
	Updated        time.Time `json:"updated"`
	ClassUpdated   time.Time `json:"timeStorageClassUpdated"`
	Attributes
}

// Attributes are what a client may say about an object.
type Attributes struct {
	ContentType        string            `json:"contentType,omitempty"`
	ContentEncoding    string            `json:"contentEncoding,omitempty"`
	ContentDisposition string            `json:"contentDisposition,omitempty"`
	ContentLanguage    string            `json:"contentLanguage,omitempty"`
	CacheControl       string            `json:"cacheControl,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
}

// sidecar is what is beside a blob.
type sidecar struct {
	Object
	Session string `json:"_session,omitempty"` // the upload that made it, so that its last answer can be given again
}

const (
	maxNameBytes     = 1024    // documentation, "Object name requirements"
	maxMetadataBytes = 8 << 10 // documentation, "Quotas and limits"
)

func checkName(name string) *failure {
	switch {
	case name == "":
		return &failure{400, "required", "InvalidArgument", "Required object name is missing."}
	case len(name) > maxNameBytes:
		return &failure{400, "invalid", "KeyTooLongError", "Object names have at most 1024 bytes."}
	case !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n"):
		return invalid("Object names are UTF-8 without carriage return and line feed.")
	case name == "." || name == ".." || strings.HasPrefix(name, ".well-known/acme-challenge/"):
		return invalid("This object name is reserved: %q", name)
	}
	return nil
}

func (a Attributes) check() *failure {
	n := 0
	for k, v := range a.Metadata {
		n += len(k) + len(v)
	}
	if n > maxMetadataBytes {
		return invalid("Custom metadata is larger than %d bytes.", maxMetadataBytes)
	}
	return nil
}

// touch sets what follows from bucket, name, generation and metageneration.
func (o *Object) touch(now time.Time) {
	now = now.UTC().Truncate(time.Millisecond)
	o.Kind, o.StorageClass = "storage#object", "STANDARD"
	o.ID = fmt.Sprintf("%s/%s/%d", o.Bucket, o.Name, o.Generation)
	path := fmt.Sprintf("/storage/v1/b/%s/o/%s", o.Bucket, url.PathEscape(o.Name))
	o.SelfLink = "https://www.googleapis.com" + path
	o.MediaLink = fmt.Sprintf("https://storage.googleapis.com/download%s?generation=%d&alt=media", path, o.Generation)
	if o.Metageneration == 1 {
		o.TimeCreated, o.ClassUpdated = now, now
	}
	o.Updated = now
	tag := binary.AppendVarint(binary.AppendVarint(nil, o.Generation), o.Metageneration)
	o.ETag = base64.StdEncoding.EncodeToString(tag)
}

// merge applies a JSON merge patch to what a client may say: null removes, absence keeps.
func (a *Attributes) merge(body []byte) error {
	var patch map[string]json.RawMessage
	if err := json.Unmarshal(body, &patch); err != nil {
		return invalid("The body is no JSON object: %v", err)
	}
	for name, field := range map[string]*string{
		"contentType": &a.ContentType, "contentEncoding": &a.ContentEncoding, "contentDisposition": &a.ContentDisposition,
		"contentLanguage": &a.ContentLanguage, "cacheControl": &a.CacheControl,
	} {
		raw, ok := patch[name]
		if !ok {
			continue
		}
		*field = ""
		if err := json.Unmarshal(raw, field); err != nil { // null leaves the empty string
			return invalid("%s: %v", name, err)
		}
	}
	raw, ok := patch["metadata"]
	if !ok {
		return nil
	}
	var metadata map[string]*string
	if err := json.Unmarshal(raw, &metadata); err != nil {
		return invalid("metadata: %v", err)
	}
	merged := map[string]string{}
	if metadata != nil {
		for k, v := range a.Metadata {
			merged[k] = v
		}
	}
	for k, v := range metadata {
		if v == nil {
			delete(merged, k)
		} else {
			merged[k] = *v
		}
	}
	a.Metadata = merged
	return nil
}

// Bucket is the resource of the JSON API as far as anything here depends on it.
type Bucket struct {
	Kind           string    `json:"kind"`
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Location       string    `json:"location"`
	StorageClass   string    `json:"storageClass"`
	Metageneration int64     `json:"metageneration,string"`
	TimeCreated    time.Time `json:"timeCreated"`
	Updated        time.Time `json:"updated"`
	CORS           []CORS    `json:"cors,omitempty"`
}

// CORS is one rule of a bucket (documentation, "Configuration examples for CORS").
type CORS struct {
	Origin         []string `json:"origin,omitempty"`
	Method         []string `json:"method,omitempty"`
	ResponseHeader []string `json:"responseHeader,omitempty"` // allowed in requests and exposed in answers
	MaxAgeSeconds  int      `json:"maxAgeSeconds,omitempty"`
}

// bucket is a bucket with its index. names is sorted by bytes, which is the order of listings.
type bucket struct {
	Bucket
	objects map[string]Object
	names   []string
}

func (b *bucket) set(o Object) {
	if i, found := slices.BinarySearch(b.names, o.Name); !found {
		b.names = slices.Insert(b.names, i, o.Name)
	}
	b.objects[o.Name] = o
}

func (b *bucket) remove(name string) {
	if i, found := slices.BinarySearch(b.names, name); found {
		b.names = slices.Delete(b.names, i, i+1)
	}
	delete(b.objects, name)
}

// searchFrom is the index of the first name not before s.
func searchFrom(names []string, s string) int {
	i, _ := slices.BinarySearch(names, s)
	return i
}

// beyond sorts after every valid name, which is UTF-8.
const beyond = "\xff"

// successor is the smallest string that is larger than every string with the prefix p.
func successor(p string) string {
	b := []byte(p)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return beyond
}

// validBucket accepts the documented names; so no name of a bucket is a strange path.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 222 || name == "storage" || name == "upload" || name == "download" {
		return false
	}
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	for i := range len(name) {
		if c := name[i]; !alnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return alnum(name[0]) && alnum(name[len(name)-1]) && !strings.Contains(name, "..")
}

func (s *Server) bucketDir(name string) string { return s.path("buckets", name) }

func (s *Server) objectPath(o Object) string {
	return s.path("buckets", o.Bucket, "objects", stem(o.Name, o.Generation))
}

// loadBuckets reads every sidecar, removes what a crash left without one, and returns the objects that resumable uploads
// made, by session.
func (s *Server) loadBuckets() (map[string]Object, error) {
	dirs, err := os.ReadDir(s.path("buckets"))
	if err != nil {
		return nil, fmt.Errorf("read buckets: %w", err)
	}
	committed := map[string]Object{}
	for _, d := range dirs {
		if !d.IsDir() || !validBucket(d.Name()) { // what a file manager left, as .DS_Store
			s.o.Log.Warn("storage: no bucket, and left alone", "path", s.bucketDir(d.Name()))
			continue
		}
		b, err := s.loadBucket(d.Name())
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		if err := s.loadObjects(b, committed); err != nil {
			return nil, fmt.Errorf("load bucket %s: %w", d.Name(), err)
		}
		s.buckets[b.Name] = b
	}
	return committed, nil
}

// loadBucket reads what a bucket is called and whom it lets in; nil when a crash left it half made or half deleted, which never
// happens to one that holds anything. A description that is lost or damaged beside objects is for a person to write again:
// objects are not deleted here, and a name alone is enough.
func (s *Server) loadBucket(name string) (*bucket, error) {
	path := filepath.Join(s.bucketDir(name), "bucket.json")
	b := &bucket{objects: map[string]Object{}}
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		empty := ignoreMissing(os.Remove(filepath.Join(s.bucketDir(name), "objects")))
		if empty = errors.Join(empty, os.Remove(s.bucketDir(name))); empty == nil {
			return nil, nil
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &b.Bucket)
	}
	if err == nil && b.Name != name {
		err = fmt.Errorf("it describes the bucket %q", b.Name)
	}
	if err != nil {
		return nil, fmt.Errorf(`the description of a bucket cannot be read: %s (%w); its objects are still there: write {"name": %q} into that file and start again, or move the folder %s away to start without them`,
			path, err, name, s.bucketDir(name))
	}
	return b, nil
}

// maxUnclaimed is how many blobs without a sidecar are taken for what crashes left, and removed: one commit or deletion is under way
// at a time, so more of them are somebody's results.
const maxUnclaimed = 16

func (s *Server) loadObjects(b *bucket, committed map[string]Object) error {
	dir := filepath.Join(s.bucketDir(b.Name), "objects")
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	sizes := map[string]int64{} // blobs that no object claimed yet
	for _, f := range files {
		if info, err := f.Info(); err == nil && !strings.HasSuffix(f.Name(), ".json") {
			sizes[f.Name()] = info.Size()
		}
	}
	var stale []string
	for _, f := range files {
		blob, isSidecar := strings.CutSuffix(f.Name(), ".json")
		if !isSidecar {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		var c sidecar
		err = json.Unmarshal(body, &c)
		s.generation = max(s.generation, c.Generation)
		size, ok := sizes[blob]
		delete(sizes, blob)
		if err != nil || !ok || size != c.Size || blob != stem(c.Name, c.Generation) {
			s.o.Log.Error("storage: damaged object is not served", "bucket", b.Name, "object", c.Name, "file", f.Name(), "error", err)
			continue // left in place for a person to look at
		}
		if older, ok := b.objects[c.Name]; ok { // a crash between an overwrite and the removal of what it replaced
			if older.Generation > c.Generation {
				stale = append(stale, f.Name())
				continue
			}
			stale = append(stale, stem(older.Name, older.Generation)+".json", stem(older.Name, older.Generation))
		}
		b.objects[c.Name] = c.Object
		if c.Session != "" {
			committed[c.Session] = c.Object
		}
	}
	for name := range b.objects {
		b.names = append(b.names, name)
	}
	slices.Sort(b.names)
	if len(sizes) > maxUnclaimed {
		s.o.Log.Error("storage: many files have lost their descriptions: they are not served, and left alone", "bucket", b.Name, "folder", dir, "files", len(sizes))
		clear(sizes)
	}
	for blob := range sizes {
		stale = append(stale, blob)
	}
	for _, f := range stale {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// find returns the live object, which must have the generation wanted unless that is 0.
func (s *Server) find(bucketName, name string, generation int64) (Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.buckets[bucketName]
	if !ok {
		return Object{}, noBucket(bucketName)
	}
	o, ok := b.objects[name]
	if !ok || generation != 0 && generation != o.Generation {
		return Object{}, noObject(bucketName, name)
	}
	return o, nil
}

func generationOf(q url.Values) (int64, error) {
	text := q.Get("generation")
	if text == "" {
		return 0, nil
	}
	g, err := strconv.ParseInt(text, 10, 64)
	if err != nil || g <= 0 {
		return 0, invalid("generation %q is no generation", text)
	}
	return g, nil
}
