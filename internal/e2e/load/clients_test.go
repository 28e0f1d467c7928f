package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/pipeline"
)

// member is one request under load, and what its client saw.
type member struct {
	session  string
	accepted *client.Accepted
	ends     []pipeline.Status // final statuses that were seen: one
	last     *client.Status
	err      error // that its client gave up with
	uploaded time.Time
}

// run sends n requests, at most at once of them at a time, with a fault over the middle third.
func (r *rig) run(n, at int, f fault) []*member {
	members := make([]*member, n)
	next := make(chan int)
	var clients sync.WaitGroup
	for range at {
		clients.Go(func() {
			for i := range next {
				members[i].err = r.follow(members[i])
			}
		})
	}
	end := func() {}
	for i := range members {
		members[i] = &member{session: fmt.Sprintf("load-%05d", i)}
		switch i {
		case n / 3:
			end = f.begin(r)
		case 2 * n / 3:
			end()
		}
		next <- i
	}
	close(next)
	clients.Wait()
	return members
}

// clientTime is how long a client waits for the end of its request.
const clientTime = 10 * time.Minute

// follow does what docs/api.md asks of clients: a call without an answer is repeated with the same key, and the status is followed to
// its end.
func (r *rig) follow(m *member) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), clientTime)
	defer cancel()
	api := &client.Client{BaseURL: r.api.URL, HTTP: &http.Client{Transport: withIdempotencyKey("key-of-" + m.session)}}
	ask := client.Trigger{SessionID: m.session, CallbackURL: r.hooks.server.URL}
	for m.accepted == nil {
		a, err := api.Trigger(ctx, ask)
		if err == nil {
			m.accepted = a
		} else if lasting(err) || pause(ctx) != nil {
			return fmt.Errorf("trigger: %w", err)
		}
	}
	capture := filled(m.session, r.setup.engine.Bytes)
	for {
		err := api.Upload(ctx, *m.accepted.Upload, bytes.NewReader(capture), int64(len(capture)), nil)
		if err == nil || strings.Contains(err.Error(), "(412") { // an upload whose answer was lost had arrived whole
			break
		}
		if pause(ctx) != nil {
			return fmt.Errorf("upload: %w", err)
		}
	}
	m.uploaded = time.Now()
	for {
		s, err := api.Wait(ctx, m.accepted.CallbackToken, m.saw)
		if err == nil {
			m.saw(s)
			return r.fetch(ctx, m)
		}
		if lasting(err) || pause(ctx) != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
}

// lasting reports an answer that will not change.
func lasting(err error) bool {
	var problem *client.Problem
	return errors.As(err, &problem) && problem.Status < 500 && problem.Status != http.StatusTooManyRequests
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond): // polling a program that runs on its own
		return nil
	}
}

func (m *member) saw(s *client.Status) {
	m.last = s
	if s.Status.Terminal() && !slices.Contains(m.ends, s.Status) {
		m.ends = append(m.ends, s.Status)
	}
}

// fetch downloads the result and reads in it that each stage made it once, from what the stage before had made.
func (r *rig) fetch(ctx context.Context, m *member) error {
	if m.last.Status != pipeline.Completed {
		return nil
	}
	at := slices.IndexFunc(m.last.Results, func(r client.Result) bool { return r.Kind == "splat" })
	if at < 0 {
		return errors.New("completed without a splat")
	}
	for {
		body, err := get(ctx, m.last.Results[at].URL)
		if err == nil {
			chain, _, _ := strings.Cut(string(body), "\n")
			if want := m.session + "/filter/preprocess/depth/train/export"; chain != want {
				return fmt.Errorf("the result says %.200s, want %s", chain, want)
			}
			return nil
		}
		if pause(ctx) != nil {
			return fmt.Errorf("fetch: %w", err)
		}
	}
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// withIdempotencyKey adds a key to every call for a reconstruction.
type withIdempotencyKey string

// RoundTrip implements http.RoundTripper.
func (key withIdempotencyKey) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && r.URL.Path == "/trigger-reconstruction" {
		r = r.Clone(r.Context())
		r.Header.Set("Idempotency-Key", string(key))
	}
	return http.DefaultTransport.RoundTrip(r)
}
