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

	mu      sync.Mutex
	readAt  time.Time
	samples []Sample
	known   map[string]*Sample // by the name of the manifest; nil: it says too little
}

// Samples are the last hundred at most, the oldest first. A storage that does not answer is an error unless earlier ones are known.
func (h *History) Samples(ctx context.Context) ([]Sample, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.Now(); h.readAt.IsZero() || now.Sub(h.readAt) >= fresh || now.Before(h.readAt) {
		samples, err := h.read(ctx, now)
		if err != nil && h.readAt.IsZero() {
			return nil, err
		}
		if err == nil {
			h.samples, h.readAt = samples, now
		}
	}
	return h.samples, nil
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
