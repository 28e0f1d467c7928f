// Package folder keeps artifacts as files in a folder: object storage for one machine, without a server. Several processes may use
// one folder at once, and what was written is there after a crash. It passes artifacts/storetest.
package folder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Store is an artifacts.Store in a folder. Every bucket exists and is empty at first. Safe for concurrent use.
//
// An object is a folder BUCKET/NAME@ with a file for its bytes, named by its generation, and object.json, which describes the
// newest generation. Writing object.json is what makes a generation visible.
type Store struct {
	dir string
	now func() time.Time
}

var (
	_ artifacts.Store  = (*Store)(nil)
	_ artifacts.Ranger = (*Store)(nil)
)

// New returns the store in dir, which is made with the first object. The clock makes generations, which never fall.
func New(dir string, now func() time.Time) *Store { return &Store{dir, now} }

// described is object.json.
type described struct {
	pipeline.Object
	Encoding string `json:"content_encoding,omitempty"` // nothing of ours has one
}

const description = "object.json"

// Limits of names: Cloud Storage's for objects, and half of what file systems allow for the name of a file.
const maxNameBytes, maxFileName = 1024, 120

func checkName(bucket, name string) error {
	switch {
	case bucket == "" || strings.ContainsAny(bucket, `/\.`):
		return fmt.Errorf("bucket name %q is empty or no name of a folder", bucket)
	case name == "" || len(name) > maxNameBytes || !utf8.ValidString(name):
		return fmt.Errorf("object name %.40q must be 1 to %d bytes of UTF-8", name, maxNameBytes)
	}
	return nil
}

// path is the folder of an object: its name, escaped, and shortened where it is too long for a file system.
func (s *Store) path(bucket, name string) string {
	file := url.PathEscape(name)
	if len(file) > maxFileName {
		sum := sha256.Sum256([]byte(name))
		file = file[:maxFileName-65] + "~" + hex.EncodeToString(sum[:])
	}
	return filepath.Join(s.dir, bucket, file+"@") // so that no name is ".."
}

// Put implements artifacts.Store.
func (s *Store) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if err := checkName(bucket, name); err != nil {
		return pipeline.Object{}, fmt.Errorf("put: %w", err)
	}
	d := described{Object: pipeline.Object{Bucket: bucket, Name: name, ContentType: o.ContentType}}
	if err := s.put(ctx, s.path(bucket, name), r, o, &d); err != nil {
		return pipeline.Object{}, fmt.Errorf("put gs://%s/%s: %w", bucket, name, s.fullDisk(err))
	}
	return d.Object, nil
}

func (s *Store) put(ctx context.Context, dir string, r io.Reader, o artifacts.PutOptions, d *described) error {
	old, err := read(dir)
	if err == nil && o.DoesNotExist {
		return artifacts.ErrExists
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	body, err := os.CreateTemp(dir, "writing-")
	if err != nil {
		return err
	}
	defer os.Remove(body.Name())
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	d.Size, err = io.Copy(io.MultiWriter(body, sum), untilDone{ctx, r})
	if err := errors.Join(err, body.Sync(), body.Close()); err != nil {
		return err
	}
	d.CRC32C = sum.Sum32()
	return s.publish(dir, body.Name(), old, o, d)
}

// publish makes a file with the bytes of an object its newest generation, after old.
func (s *Store) publish(dir, body string, old described, o artifacts.PutOptions, d *described) (err error) {
	d.Generation, err = claim(body, dir, max(s.now().UnixMicro(), old.Generation+1))
	if err != nil {
		return err
	}
	if err := commit(dir, d, o.DoesNotExist); err != nil {
		return errors.Join(err, os.Remove(generationFile(dir, d.Generation)))
	}
	if old.Generation > 0 {
		_ = os.Remove(generationFile(dir, old.Generation)) // a reader has it open
	}
	return nil
}

// Copy implements artifacts.Store. The copy is another link to the same file, since no file is ever changed.
func (s *Store) Copy(ctx context.Context, from pipeline.Object, bucket, name string) (pipeline.Object, error) {
	d, err := s.copy(ctx, from, bucket, name)
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("copy %v to gs://%s/%s: %w", from, bucket, name, s.fullDisk(err))
	}
	return d.Object, nil
}

func (s *Store) copy(ctx context.Context, from pipeline.Object, bucket, name string) (described, error) {
	d, err := s.find(ctx, from.Bucket, from.Name, from.Generation)
	if err := errors.Join(err, checkName(bucket, name)); err != nil {
		return d, err
	}
	body, dir := generationFile(s.path(from.Bucket, from.Name), d.Generation), s.path(bucket, name)
	d.Bucket, d.Name = bucket, name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return d, err
	}
	err = s.publish(dir, body, described{}, artifacts.PutOptions{DoesNotExist: true}, &d)
	switch there, readErr := read(dir); {
	case errors.Is(err, artifacts.ErrExists) && readErr == nil && there.SameBytes(d.Object):
		return there, nil
	case errors.Is(err, fs.ErrNotExist): // deleted since it was found
		_ = os.Remove(dir)
		return d, artifacts.ErrNotFound
	}
	return d, err
}

// untilDone is a reader that fails once its context has ended.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := u.Reader.Read(p)
	if err == io.EOF && u.ctx.Err() != nil {
		err = u.ctx.Err()
	}
	return n, err
}

// claim gives a body the first generation from least on that no other writer has.
func claim(body, dir string, least int64) (int64, error) {
	for {
		err := os.Link(body, generationFile(dir, least))
		if !errors.Is(err, fs.ErrExist) {
			return least, err
		}
		least++
	}
}

func generationFile(dir string, generation int64) string {
	return filepath.Join(dir, strconv.FormatInt(generation, 10))
}

// commit makes a generation the newest, in one step.
func commit(dir string, d *described, doesNotExist bool) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "describing-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	at := filepath.Join(dir, description)
	if !doesNotExist {
		return os.Rename(f.Name(), at)
	}
	if err := os.Link(f.Name(), at); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return artifacts.ErrExists
}

// read returns the description in an object's folder.
func read(dir string) (d described, err error) {
	text, err := os.ReadFile(filepath.Join(dir, description))
	if errors.Is(err, fs.ErrNotExist) {
		return d, artifacts.ErrNotFound
	}
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("%w: %s: %w", artifacts.ErrDamaged, filepath.Join(dir, description), err)
	}
	return d, nil
}

// find returns the newest generation of an object where it is the one named, or none is.
func (s *Store) find(ctx context.Context, bucket, name string, generation int64) (described, error) {
	if err := errors.Join(ctx.Err(), checkName(bucket, name)); err != nil {
		return described{}, err
	}
	d, err := read(s.path(bucket, name))
	if err == nil && generation != 0 && generation != d.Generation {
		err = artifacts.ErrNotFound
	}
	return d, err
}

// Open implements artifacts.Store.
func (s *Store) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	d, f, err := s.open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", o, err)
	}
	return artifacts.Checked(f, d.Size, d.CRC32C), nil
}

// OpenRange implements artifacts.Ranger.
func (s *Store) OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error) {
	d, f, err := s.open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", o, err)
	}
	if offset < 0 || offset > d.Size {
		err = fmt.Errorf("it has %d bytes", d.Size)
	} else {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %v at %d: %w", o, offset, err), f.Close())
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, o pipeline.Object) (described, *os.File, error) {
	for {
		d, err := s.find(ctx, o.Bucket, o.Name, o.Generation)
		if err != nil {
			return d, nil, err
		}
		if d.Encoding != "" {
			return d, nil, fmt.Errorf("%w: %s", artifacts.ErrEncoded, d.Encoding)
		}
		f, err := os.Open(generationFile(s.path(o.Bucket, o.Name), d.Generation))
		if !errors.Is(err, fs.ErrNotExist) {
			return d, f, err
		}
		if now, err := read(s.path(o.Bucket, o.Name)); err == nil && now.Generation == d.Generation {
			return d, nil, fmt.Errorf("%w: its file is missing", artifacts.ErrDamaged)
		} // else it was replaced in between
	}
}

// Stat implements artifacts.Store.
func (s *Store) Stat(ctx context.Context, bucket, name string) (pipeline.Object, error) {
	d, err := s.find(ctx, bucket, name, 0)
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("stat gs://%s/%s: %w", bucket, name, err)
	}
	return d.Object, nil
}

// List implements artifacts.Store. It yields what was there when the iteration began.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) {
		list, err := s.list(bucket, prefix)
		if err != nil {
			yield(pipeline.Object{}, fmt.Errorf("list gs://%s/%s: %w", bucket, prefix, err))
			return
		}
		for _, o := range list {
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

func (s *Store) list(bucket, prefix string) ([]pipeline.Object, error) {
	if err := checkName(bucket, "any"); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, bucket))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []pipeline.Object
	for _, entry := range entries {
		d, err := read(filepath.Join(s.dir, bucket, entry.Name()))
		switch {
		case errors.Is(err, artifacts.ErrNotFound): // being written, or deleted
		case err != nil:
			return nil, err
		case strings.HasPrefix(d.Name, prefix):
			list = append(list, d.Object)
		}
	}
	slices.SortFunc(list, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Delete implements artifacts.Store.
func (s *Store) Delete(ctx context.Context, o pipeline.Object) error {
	d, err := s.find(ctx, o.Bucket, o.Name, o.Generation)
	if err == nil {
		dir := s.path(o.Bucket, o.Name)
		err = errors.Join(os.Remove(filepath.Join(dir, description)), os.Remove(generationFile(dir, d.Generation)))
		_ = os.Remove(dir) // unless it is written anew
	}
	if err != nil {
		return fmt.Errorf("delete %v: %w", o, err)
	}
	return nil
}

// fullDisk says which folder has no room.
func (s *Store) fullDisk(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w: %w", &pipeline.FullDisk{Sentence: fmt.Sprintf("The disk is full: there is no room in %s.", s.dir)}, err)
}
