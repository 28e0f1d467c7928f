package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/splatworks/splatworks/pipeline"
)

// Ranger is a Store that reads from the middle of an object, too.
type Ranger interface {
	// OpenRange reads exactly the generation named, or the newest when it is 0, from an offset, in bytes, to its end. A part cannot
	// be compared with the object's checksum: see ReaderAt.Verify. ErrEncoded as for Open.
	OpenRange(ctx context.Context, o pipeline.Object, offset int64) (io.ReadCloser, error)
}

// ReaderAt reads an object without a copy of it: one stream that continues where the last read ended, and begins anew where a read
// goes back or far ahead. Close it after use.
type ReaderAt struct {
	ctx    context.Context
	cancel context.CancelFunc
	store  Ranger
	o      pipeline.Object

	mu     sync.Mutex
	stream io.ReadCloser
	at     int64
}

// NewReaderAt reads o until ctx ends.
func NewReaderAt(ctx context.Context, store Ranger, o pipeline.Object) *ReaderAt {
	ctx, cancel := context.WithCancel(ctx)
	return &ReaderAt{ctx: ctx, cancel: cancel, store: store, o: o}
}

// Size of the object, bytes.
func (r *ReaderAt) Size() int64 { return r.o.Size }

// Verify compares the CRC32C of what was read, for who has read all of it: ErrDamaged where it is not the object's, as far as that was
// known when it was pinned. Archives need not: their members have checksums of their own.
func (r *ReaderAt) Verify(crc32c uint32) error {
	if crc32c != r.o.CRC32C && r.o.CRC32C != 0 {
		return fmt.Errorf("read %v: %w: its CRC32C is %08x", r.o, ErrDamaged, crc32c)
	}
	return nil
}

// maxSkip is what is read and dropped rather than asked for anew: about what arrives during one request's wait.
const maxSkip = 1 << 20

// ReadAt implements io.ReaderAt.
func (r *ReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, errors.New("read at a negative offset")
	}
	if offset >= r.o.Size {
		return 0, io.EOF
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.seek(offset); err != nil {
		return 0, fmt.Errorf("read %v at %d: %w", r.o, offset, err)
	}
	n, err := io.ReadFull(r.stream, p[:min(int64(len(p)), r.o.Size-offset)])
	r.at += int64(n)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // before the size that it had when it was pinned
		return n, errors.Join(fmt.Errorf("read %v at %d: %w: it ends too early", r.o, offset, ErrDamaged), r.drop())
	case err != nil:
		return n, fmt.Errorf("read %v at %d: %w", r.o, offset, errors.Join(err, r.drop()))
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// seek brings the stream to an offset.
func (r *ReaderAt) seek(offset int64) error {
	if err := r.ctx.Err(); err != nil {
		return err // not every store looks at it, and after Close no stream may be opened
	}
	if r.stream != nil && offset >= r.at && offset-r.at <= maxSkip {
		n, err := io.CopyN(io.Discard, r.stream, offset-r.at)
		r.at += n
		if err == nil {
			return nil
		}
	}
	if err := r.drop(); err != nil {
		return err
	}
	stream, err := r.store.OpenRange(r.ctx, r.o, offset)
	if err != nil {
		return err
	}
	r.stream, r.at = stream, offset
	return nil
}

func (r *ReaderAt) drop() error {
	if r.stream == nil {
		return nil
	}
	stream := r.stream
	r.stream = nil
	return stream.Close()
}

// Close ends the stream, and a ReadAt that is waiting for it; later ones fail.
func (r *ReaderAt) Close() error {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drop()
}
