// Package client speaks to a Splatworks deployment: it asks for a reconstruction, uploads the capture, waits and fetches
// the results. It knows the documents of the request API (package api) and the resumable uploads of Cloud Storage, and
// nothing of how the service works inside. The command line is built on it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/pipeline"
)

// Client calls one deployment. The zero value of every field but BaseURL means its default; it may be used from several
// goroutines.
type Client struct {
	BaseURL    string       // "https://api.example.com"
	HTTP       *http.Client // default: http.DefaultClient
	APIKey     string       // sent as X-Api-Key when asking for a reconstruction or an estimate
	ChunkBytes int64        // of an upload; default 8 MiB, rounded up to a multiple of 256 KiB
	// Sleep waits between polls and before repeats. Default: in real time.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter is in [0, 1), so that many clients do not come back at once. Default: random.
	Jitter func() float64
}

// Accepted, Status, Upload and Result are the documents of the API; *Problem is the error of every call that the service
// answered and refused.
type (
	Trigger  = api.Trigger
	Accepted = api.Accepted
	Status   = api.Status
	Upload   = api.Upload
	Result   = api.Result
	Problem  = api.Problem
)

const (
	maxDocumentBytes = 8 << 20
	maxTries         = 6 // in a row without any progress
	callTimeout      = 2 * time.Minute
)

// Trigger asks for a reconstruction, once: a refusal is a *Problem, whose RetryAfter and Retryable say what to do.
func (c *Client) Trigger(ctx context.Context, t Trigger) (*Accepted, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	r, err := c.request(ctx, http.MethodPost, "/trigger-reconstruction", "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.APIKey != "" {
		r.Header.Set("X-Api-Key", c.APIKey)
	}
	var a Accepted
	if _, err := c.call(r, http.StatusAccepted, &a); err != nil {
		return nil, fmt.Errorf("trigger %s: %w", t.SessionID, err)
	}
	return &a, nil
}

// Status reads the status document once.
func (c *Client) Status(ctx context.Context, token string) (*Status, error) {
	s, _, err := c.poll(ctx, token, "")
	return s, err
}

// Cancel calls the request off. A *Problem with code already_ended means that it was too late.
func (c *Client) Cancel(ctx context.Context, token string) (*Status, error) {
	r, err := c.request(ctx, http.MethodPost, "/cancel", token, nil)
	if err != nil {
		return nil, err
	}
	var s Status
	if _, err := c.call(r, http.StatusOK, &s); err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	return &s, nil
}

const (
	pollWait  = "20s"                  // how long the service may hold a poll back until there is news
	pollPause = 500 * time.Millisecond // between polls: more changes a second nobody can read
	retryMin  = time.Second
	retryMax  = 15 * time.Second
)

// Wait polls until the request has ended and returns its last status, whatever that is. changed, when not nil, is called with
// every status that differs from the one before. Trouble on the way is ridden out; only an answer that will not change
// ends the wait with an error.
func (c *Client) Wait(ctx context.Context, token string, changed func(*Status)) (*Status, error) {
	tag, failures := "", 0
	for {
		pause := pollPause
		s, newTag, err := c.poll(ctx, token, tag)
		switch problem := (*Problem)(nil); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &problem) && !passing(problem.Status):
			return nil, fmt.Errorf("wait: %w", err)
		case err != nil:
			if failures++; failures >= 5*maxTries { // minutes
				return nil, fmt.Errorf("wait: %w", err)
			}
			pause = min(retryMin<<min(failures-1, 8), retryMax)
		case s == nil: // not changed
			failures = 0
		default:
			failures, tag = 0, newTag
			if changed != nil {
				changed(s)
			}
			if s.Status.Terminal() {
				return s, nil
			}
		}
		if err := c.sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// poll reads the status; with a tag it waits for another one, and is nil when none came.
func (c *Client) poll(ctx context.Context, token, tag string) (*Status, string, error) {
	path := "/status"
	if tag != "" {
		path += "?wait=" + pollWait
	}
	r, err := c.request(ctx, http.MethodGet, path, token, nil)
	if err != nil {
		return nil, "", err
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	var s Status
	header, err := c.call(r, http.StatusOK, &s)
	switch {
	case errors.Is(err, errNotModified):
		return nil, tag, nil
	case err != nil:
		return nil, "", fmt.Errorf("status: %w", err)
	}
	return &s, header.Get("ETag"), nil
}

func (c *Client) request(ctx context.Context, method, path, token string, body io.Reader) (*http.Request, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("server address %q is not of the form https://host", c.BaseURL)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.BaseURL, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}

var errNotModified = errors.New("not modified")

// call sends r and decodes the answer into v, unless that is nil, when it has the wanted status.
func (c *Client) call(r *http.Request, want int, v any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	resp, err := c.http().Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return resp.Header, errNotModified
	}
	if resp.StatusCode != want {
		return nil, problemOf(resp)
	}
	if v == nil {
		return resp.Header, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocumentBytes)).Decode(v); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return resp.Header, nil
}

// problemOf reads an error answer; one that is no problem document becomes one.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // an error shortens the text of this one
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, p) != nil {
		*p = Problem{Code: "unexpected_answer", Detail: strings.TrimSpace(string(body[:min(len(body), 200)]))}
		var answer struct { // of the storage
			XMLName xml.Name `xml:"Error"`
			Message string
		}
		if xml.Unmarshal(body, &answer) == nil && answer.Message != "" {
			p.Detail = answer.Message
		}
	}
	if resp.StatusCode == http.StatusInsufficientStorage {
		p.Code, p.Advice = pipeline.DiskFull, "Free some room there and send it again."
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

// passing says whether the same call may be answered otherwise soon.
func passing(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

// sleep waits between three and five quarters of d.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	jitter := rand.Float64
	if c.Jitter != nil {
		jitter = c.Jitter
	}
	d = time.Duration(float64(d) * (0.75 + jitter()/2))
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Ended turns a final status that is not COMPLETED into an error that says why and what to do.
func Ended(s *Status) error {
	switch {
	case s.Status == pipeline.Completed:
		return nil
	case s.Failure != nil:
		f := s.Failure.Failure
		return &f
	}
	return fmt.Errorf("request %s is %s", s.RequestID, s.Status)
}
