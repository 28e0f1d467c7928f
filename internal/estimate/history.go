package estimate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

const (
	mostSamples = 100
	atOnce      = 8
	// fresh is how long a history is taken for true. Prices and machines change with a deployment, and then for good.
	fresh = 5 * time.Minute
)

// History is what the last finished requests of a deployment took, read from their final manifests. It may be used from several
// goroutines.
type History struct {
	Store  artifacts.Store
	Bucket string // with the final manifests
	Now    func() time.Time

	reading sync.Mutex         // held while the storage is read
	known   map[string]*Sample // by the name of the manifest; nil: it says too little

	mu      sync.Mutex
	readAt  time.Time
	samples []Sample
}

// Samples are the last hundred at most, the oldest first. While somebody reads them anew the earlier ones are the answer, and also
// when the storage does not answer; without earlier ones that is an error.
func (h *History) Samples(ctx context.Context) ([]Sample, error) {
	samples, known, old := h.last()
	if !old {
		return samples, nil
	}
	if known && !h.reading.TryLock() {
		return samples, nil
	}
	if !known {
		h.reading.Lock()
	}
	defer h.reading.Unlock()
	if samples, _, old = h.last(); !old { // read meanwhile
		return samples, nil
	}
	now := h.Now()
	read, err := h.read(ctx, now)
	if err != nil && known {
		return samples, nil
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples, h.readAt = read, now
	return read, nil
}

// last is what was read last, whether anything was, and whether it is too old.
func (h *History) last() (samples []Sample, known, old bool) {
	now := h.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.samples, !h.readAt.IsZero(), h.readAt.IsZero() || now.Sub(h.readAt) >= fresh || now.Before(h.readAt)
}

func (h *History) read(ctx context.Context, now time.Time) ([]Sample, error) {
	objects, err := newest(ctx, h.Store, h.Bucket, now)
	if err != nil {
		return nil, err
	}
	found := make([]*Sample, len(objects))
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.SetLimit(atOnce)
	for i, o := range objects {
		if s, known := h.known[o.Name]; known {
			found[i] = s
			continue
		}
		tasks.Go(func() error {
			m, err := artifacts.ReadManifest(ctx, h.Store, o)
			if ctx.Err() != nil || errors.Is(err, artifacts.ErrUnavailable) {
				return fmt.Errorf("read a finished request: %w", err)
			}
			if err != nil {
				return nil // deleted meanwhile, or of another version: it has no vote
			}
			if s, ok := SampleOf(m); ok {
				found[i] = &s
			}
			return nil
		})
	}
	if err := tasks.Wait(); err != nil {
		return nil, err
	}
	h.known = map[string]*Sample{}
	var samples []Sample
	for i, o := range objects {
		if h.known[o.Name] = found[i]; found[i] != nil {
			samples = append(samples, *found[i])
		}
	}
	return samples, nil
}

// newest lists the final manifests of the requests that were made last. An id begins with the time of its request, so that requests
// of one time share their first letters: five letters are an hour or two, four some days, three a season.
func newest(ctx context.Context, store artifacts.Store, bucket string, now time.Time) ([]pipeline.Object, error) {
	id, err := pipeline.NewRequestID(now, bytes.NewReader(make([]byte, 16)))
	if err != nil {
		return nil, err
	}
	for letters := 5; ; letters-- {
		var found []pipeline.Object
		for o, err := range store.List(ctx, bucket, artifacts.FinishedPrefix+id[:letters]) {
			if err != nil {
				return nil, fmt.Errorf("list finished requests: %w", err)
			}
			if strings.HasSuffix(o.Name, ".manifest.json") {
				found = append(found, o)
			}
		}
		if len(found) >= mostSamples || letters == 0 {
			slices.SortFunc(found, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
			return found[max(0, len(found)-mostSamples):], nil
		}
	}
}
