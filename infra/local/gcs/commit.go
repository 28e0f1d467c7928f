package gcs

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
)

// draft is an object that is about to be written.
type draft struct {
	Bucket, Name string
	Attributes
	Expected   expected
	Conditions conditions
}

func (s *Server) checkDraft(d draft) error {
	if f := checkName(d.Name); f != nil {
		return f
	}
	if f := d.Attributes.check(); f != nil {
		return f
	}
	return s.checkConditions(d.Bucket, d.Name, d.Conditions)
}

func (s *Server) checkConditions(bucket, name string, c conditions) error {
	live, err := s.find(bucket, name, 0)
	var f *failure
	if errors.As(err, &f) && f.code == "NoSuchKey" {
		live, err = Object{}, nil
	}
	if err != nil {
		return err
	}
	return c.check(live, false)
}

// commit makes a staged file the live generation of an object: the file gets its final name, the sidecar makes it exist,
// the listener hears of it, and only then does the client. After an error, or a crash before the sidecar, the staged
// file is where it was, so that an upload can be finished later.
func (s *Server) commit(d draft, f staged) (Object, error) {
	if err := d.Expected.check(f); err != nil {
		return Object{}, err
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := s.checkDraft(d); err != nil {
		return Object{}, err
	}
	now := s.o.Now()
	o := Object{Bucket: d.Bucket, Name: d.Name, Generation: max(s.generation+1, now.UnixMicro()), Metageneration: 1,
		Size: f.size, CRC32C: f.crc32c, MD5Hash: f.md5Hash, Attributes: d.Attributes}
	o.touch(now)
	if err := os.Link(f.path, s.objectPath(o)); err != nil {
		return Object{}, err
	}
	if err := s.disk.writeJSON(s.path("tmp"), s.objectPath(o)+".json", sidecar{o, f.session}); err != nil {
		return Object{}, errors.Join(err, ignoreMissing(os.Remove(s.objectPath(o)+".json")), os.Remove(s.objectPath(o)))
	}
	s.generation = o.Generation
	if err := os.Remove(f.path); err != nil {
		s.o.Log.Warn("storage: staged file stays", "path", f.path, "error", err)
	}
	replaced, overwrote := s.swap(o)
	if s.o.Listener != nil {
		s.o.Listener.Finalized(o)
	}
	if overwrote {
		s.removeFiles(replaced)
	}
	return o, nil
}

// swap makes o the live object in the index.
func (s *Server) swap(o Object) (replaced Object, overwrote bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[o.Bucket] // a bucket is deleted under commitMu only
	replaced, overwrote = b.objects[o.Name]
	b.set(o)
	return replaced, overwrote
}

// removeFiles removes a generation that is no longer live. Failing to costs disk space, which the next start regains.
func (s *Server) removeFiles(o Object) {
	for _, path := range []string{s.objectPath(o) + ".json", s.objectPath(o)} {
		if err := ignoreMissing(os.Remove(path)); err != nil {
			s.o.Log.Warn("storage: replaced file stays", "path", path, "error", err)
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// delete removes the live object; its sidecar's end is what counts.
func (s *Server) delete(bucketName, name string, generation int64, c conditions) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	o, err := s.find(bucketName, name, generation)
	if err != nil {
		return err
	}
	if err := c.check(o, false); err != nil {
		return err
	}
	if err := os.Remove(s.objectPath(o) + ".json"); err != nil {
		return err
	}
	if err := s.disk.flushDir(s.path("buckets", bucketName, "objects")); err != nil {
		return err
	}
	s.mu.Lock()
	s.buckets[bucketName].remove(name)
	s.mu.Unlock()
	s.removeFiles(o)
	return nil
}

// patch changes what a client may say about an object: a new metageneration of the same generation.
func (s *Server) patch(bucketName, name string, generation int64, c conditions, body []byte) (Object, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	o, err := s.find(bucketName, name, generation)
	if err != nil {
		return Object{}, err
	}
	if err := c.check(o, false); err != nil {
		return Object{}, err
	}
	if err := o.merge(body); err != nil {
		return Object{}, err
	}
	if f := o.Attributes.check(); f != nil {
		return Object{}, f
	}
	o.Metageneration++
	o.touch(s.o.Now())
	if err := s.disk.writeJSON(s.path("tmp"), s.objectPath(o)+".json", sidecar{Object: o}); err != nil {
		return Object{}, err
	}
	s.swap(o)
	return o, nil
}

// copy makes a new object of another's content. Blobs never change, so a hard link is a copy.
func (s *Server) copy(source Object, d draft) (Object, error) {
	tmp, err := os.MkdirTemp(s.path("tmp"), "copy-*")
	if err != nil {
		return Object{}, err
	}
	defer os.RemoveAll(tmp)
	f := staged{path: tmp + "/blob", size: source.Size, crc32c: source.CRC32C, md5Hash: source.MD5Hash}
	err = os.Link(s.objectPath(source), f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Object{}, noObject(source.Bucket, source.Name) // deleted since it was looked up
	}
	if err != nil {
		return Object{}, err
	}
	return s.commit(d, f)
}

func (s *Server) createBucket(b Bucket) error {
	if !validBucket(b.Name) {
		return invalid("Invalid bucket name: %q", b.Name)
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if _, err := s.findBucket(b.Name); err == nil {
		return &failure{http.StatusConflict, "conflict", "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it."}
	}
	b.Kind, b.ID, b.Metageneration, b.StorageClass = "storage#bucket", b.Name, 1, "STANDARD"
	if b.Location == "" {
		b.Location = "LOCAL"
	}
	b.TimeCreated = s.o.Now().UTC()
	b.Updated = b.TimeCreated
	if err := os.MkdirAll(s.path("buckets", b.Name, "objects"), 0o700); err != nil {
		return err
	}
	if err := s.writeBucket(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[b.Name] = &bucket{Bucket: b, objects: map[string]Object{}}
	return nil
}

func (s *Server) writeBucket(b Bucket) error {
	if err := s.disk.writeJSON(s.path("tmp"), s.path("buckets", b.Name, "bucket.json"), b); err != nil {
		return err
	}
	return s.disk.flushDir(s.path("buckets"))
}

func (s *Server) findBucket(name string) (Bucket, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.buckets[name]
	if !ok {
		return Bucket{}, noBucket(name)
	}
	return b.Bucket, nil
}

func (s *Server) changeBucket(name string, change func(*Bucket) error) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	b, err := s.findBucket(name)
	if err != nil {
		return err
	}
	if err := change(&b); err != nil {
		return err
	}
	b.Metageneration++
	b.Updated = s.o.Now().UTC()
	if err := s.writeBucket(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[name].Bucket = b
	return nil
}

func (s *Server) deleteBucket(name string) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	s.mu.Lock()
	b, ok := s.buckets[name]
	if ok && len(b.names) == 0 {
		delete(s.buckets, name)
	}
	s.mu.Unlock()
	if !ok {
		return noBucket(name)
	}
	if len(b.names) > 0 {
		return &failure{http.StatusConflict, "conflict", "BucketNotEmpty", "The bucket you tried to delete is not empty."}
	}
	if err := os.Remove(s.path("buckets", name, "bucket.json")); err != nil {
		return err
	}
	return os.RemoveAll(s.path("buckets", name))
}
