package frames

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	blockBytes = 1 << 20         // read at once
	mostBlocks = 16              // kept
	slowRead   = 5 * time.Second // for a block; it takes well under one second from any storage that works
)

// remote reads an Input in blocks and keeps the last ones: programs go back to an index, or to and fro between tracks. After the first
// error nothing more is read: programs take a gap for damage, so nothing that they make of it counts.
type remote struct {
	in   io.ReaderAt
	size int64
	slow atomic.Bool // a block took longer than slowRead

	reading sync.Mutex // one block at a time
	kept    []block    // the one used last first
	// Of every block that was read, and whether together they were those of the content.
	sums     map[int64]uint32
	verified bool

	mu  sync.Mutex
	err error // the first
}

type block struct {
	number int64
	body   []byte
}

// ReadAt implements io.ReaderAt.
func (r *remote) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("read at a negative offset")
	}
	for n < len(p) {
		at := offset + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		more, err := r.copy(p[n:], at)
		if err != nil {
			return n, err
		}
		n += more
	}
	return n, nil
}

// copy gives what the block of an offset holds from there on.
func (r *remote) copy(p []byte, at int64) (int, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	number := at / blockBytes
	if i := slices.IndexFunc(r.kept, func(b block) bool { return b.number == number }); i >= 0 {
		used := r.kept[i]
		r.kept = slices.Insert(slices.Delete(r.kept, i, i+1), 0, used)
	} else if err := r.fetch(number); err != nil {
		return 0, err
	}
	return copy(p, r.kept[0].body[at-number*blockBytes:]), nil
}

// fetch reads a block, which becomes the first of those that are kept.
func (r *remote) fetch(number int64) error {
	if err := r.failed(); err != nil {
		return err
	}
	var body []byte
	if last := len(r.kept) - 1; last+1 == mostBlocks {
		body, r.kept = r.kept[last].body, r.kept[:last]
	} else {
		body = make([]byte, blockBytes)
	}
	start := number * blockBytes
	body = body[:min(blockBytes, r.size-start)]
	timer := time.AfterFunc(slowRead, func() { r.slow.Store(true) })
	n, err := r.in.ReadAt(body, start)
	timer.Stop()
	if n < len(body) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return r.fail(fmt.Errorf("reading the input at %d: %w", start+int64(n), err))
	}
	r.kept = slices.Insert(r.kept, 0, block{number, body})
	r.note(r.kept[0])
	return nil
}

func (r *remote) fail(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	return err
}

// failed is the error that ended reading, nil if there was none. It does not wait for a block.
func (r *remote) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
