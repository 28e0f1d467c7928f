package trigger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// preview is what there is to look at before the end: what the stage at hand shows of its work or else the points that an earlier one
// left, which may be none; nil then. window changes when its link does.
func (s *Service) preview(ctx context.Context, state queue.State, waits bool, points pipeline.Object, now time.Time) (p *api.Preview, window int64, err error) {
	kind, o := "points", points
	if shown := state.Progress.Preview; shown != nil && state.Progress.Stage == state.Stage && !waits && state.RetryAt.IsZero() {
		kind, o = "splat", *shown
	}
	if state.Status.Terminal() || o.Name == "" {
		return nil, 0, nil
	}
	p = &api.Preview{Kind: kind, Version: strconv.FormatInt(o.Generation, 10), FileName: artifacts.Points.FileName(), Size: o.Size}
	if kind == "splat" {
		p.FileName = artifacts.Preview.FileName()
	}
	// The link is to the object's name: the generation is replaced every few seconds, and one link serves for all that follow.
	o.Generation = 0
	window = s.linkWindow(now)
	p.URL, p.ExpiresAt, err = s.results.link(ctx, s, o, p.FileName, window, now)
	return p, window, err
}

// linkWindow is a number that changes when links are to be signed anew: they live two windows, so the oldest handed out has one left.
func (s *Service) linkWindow(now time.Time) int64 { return now.UnixNano()/int64(s.DownloadTTL/2) + 1 }

// link is a signed link to an object, the same one for the length of a window.
func (c *resultCache) link(ctx context.Context, s *Service, o pipeline.Object, name string, window int64, now time.Time) (string, time.Time, error) {
	called, _ := ctx.Value(calledKey{}).(string)
	key := o.Bucket + "/" + o.Name + "#link for " + called
	if known, ok := c.known(key, window); ok {
		return known.results[0].URL, known.results[0].ExpiresAt, nil
	}
	url, err := s.Signer.SignDownload(ctx, o, name, s.DownloadTTL)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign link to %v: %w", o, err)
	}
	expires := now.Add(s.DownloadTTL)
	c.keep(key, left{window: window, results: []api.Result{{URL: url, ExpiresAt: expires}}})
	return url, expires, nil
}
