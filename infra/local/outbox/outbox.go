// Package outbox remembers what must still be sent, over crashes: an append-only file of what was put in and what was
// done, one checksummed line each, rewritten when most of it is history. It delivers nothing and knows no deadlines;
// package events does.
package outbox

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/splatworks/splatworks/infra/local/durable"
)

// Entry is something to send.
type Entry struct {
	Seq  int64           `json:"seq"` // grows, also over restarts
	To   string          `json:"to"`
	At   time.Time       `json:"at"` // when it was put in
	Body json.RawMessage `json:"body"`
}

// record is a line of the file: an entry, the end of one, or a mark.
type record struct {
	Entry
	Done int64 `json:"done,omitempty"`
	Mark int64 `json:"mark,omitempty"`
}

// Box is an outbox. Safe for concurrent use; one process at a time may have it open.
type Box struct {
	mu      sync.Mutex
	path    string
	f       *os.File
	size    int64 // of the file
	live    int64 // bytes of it that a rewrite would keep
	seq     int64
	mark    int64
	damaged int
	pending map[int64]kept
	err     error // the file is in an unknown state: nothing more may be appended
}

type kept struct {
	Entry
	bytes int64
}

// Open reads what is in the box. A line that a crash cut off or a disk damaged is skipped (see Damaged).
func Open(path string) (*Box, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	b := &Box{path: path, f: f, pending: map[int64]kept{}}
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read outbox %s: %w", path, err), f.Close())
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil { // a file may be new, and Flush speaks of its content only
		return nil, errors.Join(fmt.Errorf("keep outbox %s: %w", path, err), b.Close())
	}
	return b, nil
}

func (b *Box) load() error {
	r := bufio.NewReaderSize(b.f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) == 0 {
			break
		}
		b.size += int64(len(line))
		rec, ok := decode(line)
		if !ok {
			b.damaged++
			continue
		}
		if b.damaged > 0 {
			rec.Mark = 0 // something before it may be missing
		}
		b.apply(rec, int64(len(line)))
	}
	if b.damaged == 0 {
		return nil
	}
	return b.rewrite()
}

// apply takes one record into the state.
func (b *Box) apply(r record, n int64) {
	switch {
	case r.Done != 0:
		b.live -= b.pending[r.Done].bytes
		delete(b.pending, r.Done)
		b.seq = max(b.seq, r.Done)
	case r.Seq != 0:
		b.pending[r.Seq] = kept{r.Entry, n}
		b.live += n
		b.seq = max(b.seq, r.Seq)
	}
	b.mark = max(b.mark, r.Mark)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(r record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body), nil
}

func decode(line []byte) (r record, ok bool) {
	line, whole := bytes.CutSuffix(line, []byte("\n"))
	sum, body, found := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !whole || !found || err != nil || len(sum) != 8 || uint32(want) != crc32.Checksum(body, castagnoli) {
		return record{}, false
	}
	return r, json.Unmarshal(body, &r) == nil
}

// Put adds an entry. mark, when not 0, is remembered as the newest thing put in, whatever happens to the entry. It is
// safe from a crash of the process when Put returns, and from loss of power after Flush.
func (b *Box) Put(to string, at time.Time, body []byte, mark int64) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := Entry{Seq: b.seq + 1, To: to, At: at, Body: body}
	return e, b.append(record{Entry: e, Mark: mark})
}

// SetMark remembers a mark without an entry.
func (b *Box) SetMark(mark int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.append(record{Mark: mark})
}

// Done takes an entry out.
func (b *Box) Done(seq int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.pending[seq]; !ok {
		return nil
	}
	return b.append(record{Done: seq})
}

func (b *Box) append(r record) error {
	if b.err != nil {
		return b.err
	}
	line, err := encode(r)
	if err != nil {
		return err
	}
	if _, err := b.f.WriteAt(line, b.size); err != nil {
		if cut := b.f.Truncate(b.size); cut != nil { // half a line would swallow the next
			b.err = fmt.Errorf("outbox %s cannot be repaired: %w", b.path, errors.Join(err, cut))
		}
		return fmt.Errorf("write outbox: %w", err)
	}
	b.size += int64(len(line))
	b.apply(r, int64(len(line)))
	if b.size < compactBytes || b.live > b.size/2 {
		return nil
	}
	return b.rewrite()
}

// Flush makes everything put in so far safe from loss of power.
func (b *Box) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.f.Sync()
}

// Pending lists what was put in and is not done, oldest first.
func (b *Box) Pending() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries()
}

func (b *Box) entries() []Entry {
	list := make([]Entry, 0, len(b.pending))
	for _, k := range b.pending {
		list = append(list, k.Entry)
	}
	slices.SortFunc(list, func(x, y Entry) int { return cmp.Compare(x.Seq, y.Seq) })
	return list
}

// Mark is the largest mark before which nothing is missing.
func (b *Box) Mark() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mark
}

// Damaged counts the lines that could not be read at Open.
func (b *Box) Damaged() int { return b.damaged }

// compactBytes is how large a file may be before its history is worth removing when it is most of the file.
const compactBytes = 1 << 20

// rewrite replaces the file by one without history and damage.
func (b *Box) rewrite() error {
	tmp := b.path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("compact outbox: %w", err)
	}
	size, err := b.writeLive(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, b.path)
	}
	if err != nil { // the old file is still whole
		return fmt.Errorf("compact outbox: %w", errors.Join(err, f.Close(), os.Remove(tmp)))
	}
	old := b.f
	b.f, b.size = f, size
	return errors.Join(old.Close(), durable.SyncDir(filepath.Dir(b.path)))
}

// writeLive writes the last sequence number, the mark and what is pending.
func (b *Box) writeLive(f io.Writer) (size int64, err error) {
	w := bufio.NewWriter(f)
	records := []record{{Done: b.seq, Mark: b.mark}}
	for _, e := range b.entries() {
		records = append(records, record{Entry: e})
	}
	for _, r := range records {
		line, err := encode(r)
		if err != nil {
			return 0, err
		}
		size += int64(len(line))
		if _, err := w.Write(line); err != nil {
			return 0, err
		}
	}
	return size, w.Flush()
}

// Close flushes and closes the file.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.err, fs.ErrClosed) {
		return nil
	}
	b.err = fmt.Errorf("outbox: %w", fs.ErrClosed)
	return errors.Join(b.f.Sync(), b.f.Close())
}
