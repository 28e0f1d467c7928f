// Package gcs keeps artifacts in Cloud Storage, or in the local emulator of it: the same client, the same requests. It
// knows about writing once, generations, checksums and retries, and nothing about what the objects mean.
//
// Every request is retried while Cloud Storage says that a retry may help and the context lasts: an hour of training is
// not thrown away because the storage was gone for a minute. That is safe because each request is made so that doing it
// twice is doing it once: a DoesNotExist write recognises its own first attempt, other writes go to paths that only one
// writer has, reads and deletions name a generation.
package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Options of a Store. The zero value is Cloud Storage with the credentials of the machine.
type Options struct {
	Endpoint   string // of the emulator, e.g. http://127.0.0.1:9000; empty: Cloud Storage
	ChunkBytes int    // of uploads, and so of their memory; rounded up to 256 KiB; 0: 16 MiB
	PageSize   int    // of listings; 0: the server's
}

// defaultChunkBytes is the client library's own.
const defaultChunkBytes = 16 << 20

// chunkUnit is what chunks are a multiple of (documentation, "Resumable uploads").
const chunkUnit = 256 << 10

// chunkRetry is how long one chunk is tried; the library's own 32 s would lose a whole upload to a short outage.
const chunkRetry = 10 * time.Minute

// putID is the metadata by which a writer recognises its own object.
const putID = "put-id"

// Store is an artifacts.Store in Cloud Storage.
type Store struct {
	client *storage.Client
	o      Options
}

var _ artifacts.Store = (*Store)(nil)

// Open connects. Close the store after use.
func Open(ctx context.Context, o Options) (*Store, error) {
	// The JSON API reads too: one set of paths and conditions for everything, and what the emulator serves.
	opts := []option.ClientOption{storage.WithJSONReads()}
	if o.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimSuffix(o.Endpoint, "/")+"/storage/v1/"), option.WithoutAuthentication())
	}
	client, err := storage.NewClient(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to Cloud Storage: %w", err)
	}
	client.SetRetry(storage.WithPolicy(storage.RetryAlways), storage.WithErrorFunc(mayRetry),
		storage.WithBackoff(gax.Backoff{Initial: 200 * time.Millisecond, Max: 30 * time.Second, Multiplier: 2}))
	return &Store{client, o}, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// Client is the connection, for the rare caller that needs more than artifacts.Store, such as a Signer.
func (s *Store) Client() *storage.Client { return s.client }

// Put implements artifacts.Store.
func (s *Store) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	object, where := s.client.Bucket(bucket).Object(name), "gs://"+bucket+"/"+name
	id := rand.Text()
	if o.DoesNotExist {
		object = object.If(storage.Conditions{DoesNotExist: true})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := object.NewWriter(ctx)
	w.ChunkSize = s.chunkBytes(r)
	w.ChunkRetryDeadline = chunkRetry
	w.ContentType = o.ContentType
	w.ForceEmptyContentType = true // never guess from the bytes
	if o.DoesNotExist {
		w.Metadata = map[string]string{putID: id}
	}
	source := &measured{r: r}
	_, err := io.Copy(w, source)
	if source.err != nil {
		cancel() // an upload without its end must not become an object
		_ = w.Close()
		return pipeline.Object{}, fmt.Errorf("put %s: %w", where, source.err)
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if o.DoesNotExist && isStatus(err, http.StatusPreconditionFailed) {
		return s.ours(ctx, bucket, name, id)
	}
	if err != nil {
		return pipeline.Object{}, wrap("put", where, err)
	}
	written := objectOf(w.Attrs())
	if written.Size != source.n || written.CRC32C != source.crc {
		return pipeline.Object{}, fmt.Errorf("put %s: stored as %d bytes with CRC32C %08x, but %d with %08x were sent",
			where, written.Size, written.CRC32C, source.n, source.crc)
	}
	return written, nil
}

// ours reports whether the object that refused a write is the same write's earlier attempt, whose answer was lost.
func (s *Store) ours(ctx context.Context, bucket, name, id string) (pipeline.Object, error) {
	attrs, err := s.client.Bucket(bucket).Object(name).Attrs(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) {
		return pipeline.Object{}, artifacts.ErrExists // it did a moment ago
	}
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("look at the object that exists: %w", err)
	}
	if attrs.Metadata[putID] != id {
		return pipeline.Object{}, artifacts.ErrExists
	}
	return objectOf(attrs), nil
}

// Copy implements artifacts.Store, by rewriting: no byte comes here. The client library continues with the token of a rewrite that
// takes several requests.
func (s *Store) Copy(ctx context.Context, from pipeline.Object, bucket, name string) (pipeline.Object, error) {
	to, where := s.client.Bucket(bucket).Object(name), fmt.Sprintf("%v to gs://%s/%s", from, bucket, name)
	attrs, err := to.If(storage.Conditions{DoesNotExist: true}).CopierFrom(s.handle(from)).Run(ctx)
	if !isStatus(err, http.StatusPreconditionFailed) {
		if err != nil {
			return pipeline.Object{}, wrap("copy", where, err)
		}
		return objectOf(attrs), nil
	}
	there, err := to.Attrs(ctx) // an earlier attempt's, whose answer was lost, or another object
	if err != nil {
		return pipeline.Object{}, wrap("copy", where, err)
	}
	source, err := s.handle(from).Attrs(ctx)
	if err != nil {
		return pipeline.Object{}, wrap("copy", where, err)
	}
	if !objectOf(there).SameBytes(objectOf(source)) {
		return pipeline.Object{}, fmt.Errorf("copy %s: %w", where, artifacts.ErrExists)
	}
	return objectOf(there), nil
}

// chunkBytes is the upload's buffer: no larger than the data when its length is known.
func (s *Store) chunkBytes(r io.Reader) int {
	n := s.o.ChunkBytes
	if n == 0 {
		n = defaultChunkBytes
	}
	if known, ok := r.(interface{ Len() int }); ok {
		n = min(n, known.Len()+1) // one more, so that the data fits into one request
	}
	return max(chunkUnit, (n+chunkUnit-1)/chunkUnit*chunkUnit)
}

// measured counts and sums what is read, and remembers why it ended.
type measured struct {
	r   io.Reader
	n   int64
	crc uint32
	err error
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.crc = crc32.Update(m.crc, castagnoli, p[:n])
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

func isStatus(err error, code int) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == code
}

func objectOf(a *storage.ObjectAttrs) pipeline.Object {
	return pipeline.Object{Bucket: a.Bucket, Name: a.Name, Generation: a.Generation, Size: a.Size, CRC32C: a.CRC32C, ContentType: a.ContentType}
}

// handle of the generation named, or of the newest.
func (s *Store) handle(o pipeline.Object) *storage.ObjectHandle {
	h := s.client.Bucket(o.Bucket).Object(o.Name)
	if o.Generation != 0 {
		h = h.Generation(o.Generation)
	}
	return h
}

// wrap gives an error of the client library the meaning that every Store's errors have.
func wrap(action string, where any, err error) error {
	var answer *googleapi.Error
	switch {
	case errors.Is(err, storage.ErrObjectNotExist) || isStatus(err, http.StatusNotFound):
		err = fmt.Errorf("%w (%w)", artifacts.ErrNotFound, err)
	case errors.As(err, &answer) && answer.Code == http.StatusInsufficientStorage:
		err = fmt.Errorf("%w (%w)", &pipeline.FullDisk{Sentence: answer.Message}, err)
	case strings.Contains(err.Error(), "storage: bad CRC"): // the library has only these words for it
		err = fmt.Errorf("%w (%w)", artifacts.ErrDamaged, err)
	case storage.ShouldRetry(err):
		err = fmt.Errorf("%w (%w)", artifacts.ErrUnavailable, err)
	}
	return fmt.Errorf("%s %v: %w", action, where, err)
}

// mayRetry excludes a full disk, which only the emulator has: a person must free it.
func mayRetry(err error) bool {
	return !isStatus(err, http.StatusInsufficientStorage) && storage.ShouldRetry(err)
}

// Open implements artifacts.Store. The client library continues a read that breaks off. It would also unpack what somebody
// uploaded as gzip, or have the storage do so, without a size and a checksum to hold it to; its ReadCompressed does not work with
// the JSON API ("custom Accept-Encoding headers not allowed"). So what arrives unpacked is looked at first.
func (s *Store) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	r, err := s.handle(o).NewReader(ctx)
	if err != nil {
		return nil, wrap("open", o, err)
	}
	encoding, size, sum := r.Attrs.ContentEncoding, r.Attrs.Size, r.Attrs.CRC32C
	if r.Attrs.Decompressed || size < 0 {
		attrs, err := s.handle(o).Attrs(ctx)
		if err != nil {
			return nil, errors.Join(wrap("open", o, err), r.Close())
		}
		encoding, size, sum = attrs.ContentEncoding, attrs.Size, attrs.CRC32C
	}
	if encoding != "" {
		return nil, errors.Join(fmt.Errorf("open %v: %w: %s", o, artifacts.ErrEncoded, encoding), r.Close())
	}
	if o.Generation != 0 && o.CRC32C != 0 {
		size, sum = o.Size, o.CRC32C // as it was when it was pinned
	}
	return artifacts.Checked(reading{r, o}, size, sum), nil
}

// OpenRange implements artifacts.Ranger. The client library continues a read that breaks off.
func (s *Store) OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error) {
	r, err := s.handle(o).NewRangeReader(ctx, offset, -1)
	if err != nil {
		return nil, wrap("open", o, err)
	}
	if r.Attrs.Decompressed || r.Attrs.ContentEncoding != "" {
		return nil, errors.Join(fmt.Errorf("open %v: %w: %s", o, artifacts.ErrEncoded, r.Attrs.ContentEncoding), r.Close())
	}
	return reading{r, o}, nil
}

// reading says of what object a read failed, and how.
type reading struct {
	io.ReadCloser
	o pipeline.Object
}

func (r reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = wrap("read", r.o, err)
	}
	return n, err
}

// Stat implements artifacts.Store.
func (s *Store) Stat(ctx context.Context, bucket, name string) (pipeline.Object, error) {
	attrs, err := s.client.Bucket(bucket).Object(name).Attrs(ctx)
	if err != nil {
		return pipeline.Object{}, wrap("stat", "gs://"+bucket+"/"+name, err)
	}
	return objectOf(attrs), nil
}

// List implements artifacts.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) {
		query := &storage.Query{Prefix: prefix, Projection: storage.ProjectionNoACL}
		if err := query.SetAttrSelection([]string{"Bucket", "Name", "Generation", "Size", "CRC32C", "ContentType"}); err != nil {
			yield(pipeline.Object{}, fmt.Errorf("list gs://%s/%s: %w", bucket, prefix, err))
			return
		}
		objects := s.client.Bucket(bucket).Objects(ctx, query)
		objects.PageInfo().MaxSize = s.o.PageSize
		for {
			attrs, err := objects.Next()
			if errors.Is(err, iterator.Done) {
				return
			}
			if err != nil {
				yield(pipeline.Object{}, wrap("list", "gs://"+bucket+"/"+prefix, err))
				return
			}
			if !yield(objectOf(attrs), nil) {
				return
			}
		}
	}
}

// Delete implements artifacts.Store.
func (s *Store) Delete(ctx context.Context, o pipeline.Object) error {
	if err := s.handle(o).Delete(ctx); err != nil {
		return wrap("delete", o, err)
	}
	return nil
}
