// Package memory keeps artifacts in RAM, for unit tests of everything that reads or writes objects. It passes
// artifacts/storetest like the stores that serve, and it is no cache and no persistence: what it holds ends with it.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Store is an artifacts.Store in RAM. Every bucket exists and is empty at first. Safe for concurrent use.
type Store struct {
	// Finalized, when set before first use, is called for every object that became visible, as a bucket's notification
	// would be: once, after the write. It is called without locks held and may use the store.
	Finalized func(pipeline.Object)

	mu         sync.Mutex
	generation int64
	objects    map[key]stored
}

type key struct{ bucket, name string }

type stored struct {
	object   pipeline.Object
	body     []byte // never written again
	encoding string // content encoding; only what Spoil made has one
}

var _ artifacts.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{objects: map[key]stored{}} }

// maxNameBytes is Cloud Storage's limit (docs: "Object names", flat namespace).
const maxNameBytes = 1024

func checkName(bucket, name string) error {
	switch {
	case bucket == "":
		return errors.New("bucket name is empty")
	case name == "" || len(name) > maxNameBytes || !utf8.ValidString(name):
		return fmt.Errorf("object name %.40q must be 1 to %d bytes of UTF-8", name, maxNameBytes)
	}
	return nil
}

// Put implements artifacts.Store.
func (s *Store) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if err := checkName(bucket, name); err != nil {
		return pipeline.Object{}, fmt.Errorf("put: %w", err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("put gs://%s/%s: %w", bucket, name, err)
	}
	if err := ctx.Err(); err != nil {
		return pipeline.Object{}, fmt.Errorf("put gs://%s/%s: %w", bucket, name, err)
	}
	object, err := s.commit(bucket, name, stored{body: body}, o)
	if err == nil && s.Finalized != nil {
		s.Finalized(object)
	}
	return object, err
}

func (s *Store) commit(bucket, name string, content stored, o artifacts.PutOptions) (pipeline.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{bucket, name}
	if _, exists := s.objects[k]; exists && o.DoesNotExist {
		return pipeline.Object{}, fmt.Errorf("put gs://%s/%s: %w", bucket, name, artifacts.ErrExists)
	}
	s.generation++
	content.object = pipeline.Object{
		Bucket: bucket, Name: name, Generation: s.generation, Size: int64(len(content.body)),
		CRC32C: crc32.Checksum(content.body, crc32.MakeTable(crc32.Castagnoli)), ContentType: o.ContentType,
	}
	s.objects[k] = content
	return content.object, nil
}

// Copy implements artifacts.Store.
func (s *Store) Copy(ctx context.Context, from pipeline.Object, bucket, name string) (pipeline.Object, error) {
	if err := errors.Join(ctx.Err(), checkName(bucket, name)); err != nil {
		return pipeline.Object{}, fmt.Errorf("copy %v: %w", from, err)
	}
	s.mu.Lock()
	source, err := s.find(from.Bucket, from.Name, from.Generation)
	s.mu.Unlock()
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("copy: %w", err)
	}
	o, err := s.commit(bucket, name, source, artifacts.PutOptions{ContentType: source.object.ContentType, DoesNotExist: true})
	if errors.Is(err, artifacts.ErrExists) {
		if there, statErr := s.Stat(ctx, bucket, name); statErr == nil && there.SameBytes(source.object) {
			return there, nil
		}
	}
	if err == nil && s.Finalized != nil {
		s.Finalized(o)
	}
	return o, err
}

// find returns the object when its generation is wanted: the one named, or any for 0.
func (s *Store) find(bucket, name string, generation int64) (stored, error) {
	found, ok := s.objects[key{bucket, name}]
	if !ok || generation != 0 && generation != found.object.Generation {
		return stored{}, fmt.Errorf("gs://%s/%s#%d: %w", bucket, name, generation, artifacts.ErrNotFound)
	}
	return found, nil
}

// Open implements artifacts.Store.
func (s *Store) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %v: %w", o, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(o.Bucket, o.Name, o.Generation)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if found.encoding != "" {
		return nil, fmt.Errorf("open %v: %w: %s", o, artifacts.ErrEncoded, found.encoding)
	}
	return artifacts.Checked(io.NopCloser(bytes.NewReader(found.body)), found.object.Size, found.object.CRC32C), nil
}

// OpenRange implements artifacts.Ranger.
func (s *Store) OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %v: %w", o, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(o.Bucket, o.Name, o.Generation)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if found.encoding != "" {
		return nil, fmt.Errorf("open %v: %w: %s", o, artifacts.ErrEncoded, found.encoding)
	}
	if offset < 0 || offset > int64(len(found.body)) {
		return nil, fmt.Errorf("open %v at %d: it has %d bytes", o, offset, len(found.body))
	}
	return io.NopCloser(bytes.NewReader(found.body[offset:])), nil
}

// Spoil changes what is stored in the way of an accident, behind the back of everybody who uses the store: other bytes under
// the same checksum, or, when encoding is not empty, bytes that a client said are encoded so.
func (s *Store) Spoil(o pipeline.Object, body []byte, encoding string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{o.Bucket, o.Name}
	spoiled := s.objects[k]
	spoiled.body, spoiled.encoding = body, encoding
	s.objects[k] = spoiled
}

// Stat implements artifacts.Store.
func (s *Store) Stat(ctx context.Context, bucket, name string) (pipeline.Object, error) {
	if err := ctx.Err(); err != nil {
		return pipeline.Object{}, fmt.Errorf("stat gs://%s/%s: %w", bucket, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(bucket, name, 0)
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("stat: %w", err)
	}
	return found.object, nil
}

// List implements artifacts.Store. It yields what was there when the iteration began.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) {
		for _, o := range s.snapshot(bucket, prefix) {
			if err := ctx.Err(); err != nil {
				yield(pipeline.Object{}, fmt.Errorf("list gs://%s/%s: %w", bucket, prefix, err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (s *Store) snapshot(bucket, prefix string) []pipeline.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []pipeline.Object
	for k := range maps.Keys(s.objects) {
		if k.bucket == bucket && strings.HasPrefix(k.name, prefix) {
			list = append(list, s.objects[k].object)
		}
	}
	slices.SortFunc(list, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Delete implements artifacts.Store.
func (s *Store) Delete(ctx context.Context, o pipeline.Object) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %v: %w", o, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(o.Bucket, o.Name, o.Generation); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	delete(s.objects, key{o.Bucket, o.Name})
	return nil
}
