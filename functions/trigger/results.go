package trigger

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/estimate"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// left is what a client sees of a manifest. Links are signed anew in every window.
type left struct {
	window  int64
	results []api.Result // only of a final manifest
	timings []api.StageTiming
	costUSD float64
	points  pipeline.Object  // cameras and sparse points, for a preview; only before the end
	capture estimate.Capture // zero until the filter stage has finished
}

// resultCache keeps what was read from manifests and signed: a manifest never changes and a client polls. Bounded, and
// emptied when full: what is lost is read again.
type resultCache struct {
	mu      sync.Mutex
	entries map[string]left // by generation of the manifest, or by name of a preview, and with links by where the caller reached this API
}

const resultCacheSize = 512

func newResultCache() *resultCache { return &resultCache{entries: map[string]left{}} }

func (c *resultCache) of(ctx context.Context, s *Service, state queue.State, now time.Time) (left, error) {
	key := state.Manifest.String()
	window := int64(0)
	if state.Status == pipeline.Completed {
		window = s.linkWindow(now)
		called, _ := ctx.Value(calledKey{}).(string)
		key += "#results for " + called
	}
	if known, ok := c.known(key, window); ok {
		return known, nil
	}
	fresh, err := s.read(ctx, state, window, now)
	if err != nil {
		return left{}, err
	}
	c.keep(key, fresh)
	return fresh, nil
}

// known is an entry of this window.
func (c *resultCache) known(key string, window int64) (left, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.entries[key]
	return l, ok && l.window == window
}

func (c *resultCache) keep(key string, l left) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= resultCacheSize {
		clear(c.entries)
	}
	c.entries[key] = l
}

func (s *Service) read(ctx context.Context, state queue.State, window int64, now time.Time) (left, error) {
	m, err := artifacts.ReadManifest(ctx, s.Store, state.Manifest)
	if err != nil {
		return left{}, err
	}
	l := left{window: window}
	l.capture, _ = estimate.CaptureOf(m)
	for _, h := range m.History {
		l.timings = append(l.timings, api.StageTiming{Stage: h.Stage, Attempt: h.Attempt, StartedAt: h.StartedAt, FinishedAt: h.FinishedAt, WallS: h.WallS})
		l.costUSD += h.Cost()
	}
	if state.Status != pipeline.Completed {
		l.points, _ = m.Find(artifacts.Points)
		return l, nil
	}
	expires := now.Add(s.DownloadTTL)
	for _, a := range m.Results() {
		name := a.Kind.FileName()
		url, err := s.Signer.SignDownload(ctx, a.Object, name, s.DownloadTTL)
		if err != nil {
			return left{}, fmt.Errorf("sign link to %v: %w", a.Object, err)
		}
		l.results = append(l.results, api.Result{Kind: string(a.Kind), FileName: name, ContentType: a.Object.ContentType, Size: a.Object.Size,
			CRC32C: crc32cText(a.Object.CRC32C), URL: url, ExpiresAt: expires})
	}
	return l, nil
}

// crc32cText spells a checksum as Cloud Storage does in x-goog-hash.
func crc32cText(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}
