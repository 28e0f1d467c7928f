package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/folder"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// What Options.Dir holds.
const (
	storeFolder = "store" // buckets
	lockFile    = "lock"
)

// Prepare takes the folder and looks whether an interrupted reconstruction of the same input with the same options is in it: that one
// continues. Any other is removed. Close it after use.
func Prepare(ctx context.Context, o Options) (r *Reconstruction, err error) {
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	r = &Reconstruction{Options: o, store: folder.New(filepath.Join(o.Dir, storeFolder), o.Now), buckets: buckets()}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if r.lock, err = lock(ctx, o.Dir, o.Patience); err != nil {
		return nil, err
	}
	taken := r
	defer func() {
		if err != nil {
			err = errors.Join(err, taken.Close())
		}
	}()
	r.queue = memq.New(queue.Config{Now: o.Now, LeaseFor: forever, BackoffMin: firstRetry})
	if r.work, err = os.MkdirTemp("", "splatworks-run-"); err != nil {
		return nil, err
	}
	if err := r.resume(ctx); err != nil {
		return nil, err
	}
	if r.Resumed {
		return r, nil
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, storeFolder)); err != nil {
		return nil, err
	}
	return r, r.begin(ctx)
}

// buckets of the store.
func buckets() artifacts.Buckets {
	b := artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}
	for _, s := range pipeline.Stages() {
		b.Inbox[s] = "inbox-" + string(s)
	}
	return b
}

// lock keeps a second program off the folder. It waits for one that ends, as the process of a stage does whose run was killed.
func lock(ctx context.Context, dir string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another program works in %s: wait for it, or choose another folder (%w)", dir, err), f.Close())
		case <-tick.C:
		}
	}
}

const lockEvery = 100 * time.Millisecond

// resume takes up the request that the store holds, when it is this one: the queue is rebuilt from the store, as a deployment's is.
func (r *Reconstruction) resume(ctx context.Context) error {
	archive := stage.Archive{Store: r.store, Buckets: r.buckets}
	var records []queue.Record
	for record, err := range archive.Records(ctx) {
		if errors.Is(err, artifacts.ErrDamaged) {
			return nil // as a loss of power leaves it: begun anew
		}
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if len(records) != 1 || !r.Now().Before(records[0].Request.Deadline) {
		return nil
	}
	record := records[0]
	same, err := r.sameInput(record.Upload)
	if err != nil || !same || record.Request.Options.Hash() != r.asked(record.Request.ID).Hash() {
		return err
	}
	if _, err := r.queue.Restore(ctx, records); err != nil {
		return fmt.Errorf("take up an interrupted reconstruction: %w", err)
	}
	r.Request, r.Resumed = record.Request, true
	for o, err := range r.store.List(ctx, r.buckets.Artifacts, r.Request.ID+"/") {
		if err != nil {
			return err
		}
		if fence, ok := artifacts.FenceOf(o.Name); ok {
			r.fences = max(r.fences, fence)
		}
	}
	return nil
}

// sameInput says whether an upload holds the bytes of the input.
func (r *Reconstruction) sameInput(upload pipeline.Object) (bool, error) {
	if upload.Name == "" || upload.Size != r.Size {
		return false, nil
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(sum, io.NewSectionReader(r.Input, 0, r.Size)); err != nil {
		return false, fmt.Errorf("read the input: %w", err)
	}
	return sum.Sum32() == upload.CRC32C, nil
}

// begin records a new request.
func (r *Reconstruction) begin(ctx context.Context) error {
	now := r.Now()
	id, err := pipeline.NewRequestID(now, r.Random)
	if err != nil {
		return err
	}
	r.Request = pipeline.Request{ID: id, SessionID: "run-" + id, Options: r.asked(id), CreatedAt: now, Deadline: now.Add(TimeLimit)}
	if _, err := artifacts.PutJSON(ctx, r.store, r.buckets.Artifacts, artifacts.RequestName(id), r.Request, artifacts.PutOptions{}); err != nil {
		return err
	}
	return r.queue.Submit(ctx, r.Request)
}

// asked are the options of the request with that id.
func (r *Reconstruction) asked(id string) pipeline.Options {
	return r.Defaults.Fill(id, r.Options.Options)
}

// uploadFile is the base name of the input in the store.
const uploadFile = "input"

// upload copies the input into the store, unless an earlier run has.
func (r *Reconstruction) upload(ctx context.Context) (pipeline.Object, error) {
	bucket, name := r.buckets.Inbox[pipeline.Stages()[0]], artifacts.UploadName(r.Request.ID, uploadFile)
	if r.Resumed {
		return r.store.Stat(ctx, bucket, name)
	}
	input := &counted{Reader: io.NewSectionReader(r.Input, 0, r.Size), total: r.Size, report: r.Uploaded}
	o, err := r.store.Put(ctx, bucket, name, input, artifacts.PutOptions{DoesNotExist: true})
	if errors.Is(err, syscall.ENOSPC) {
		return o, pipeline.FailureOf(err, "")
	}
	return o, err
}

// counted reports how much was read.
type counted struct {
	io.Reader
	read, total int64
	report      func(read, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	c.report(c.read, c.total)
	return n, err
}
