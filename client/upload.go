package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/client/api"
)

const (
	defaultChunk = 8 << 20
	chunkTimeout = 15 * time.Minute // a chunk that takes longer is taken for stuck
)

// errSessionGone: the storage has forgotten the upload session; the upload starts again from its first byte.
var errSessionGone = errors.New("the upload session is gone")

// Upload sends size bytes of r as u says, in chunks, resuming after errors at the offset that the storage reports (docs: Cloud
// Storage, resumable uploads). progress, when not nil, gets the number of bytes that the storage has. It gives up when several
// tries in a row brought nothing.
func (c *Client) Upload(ctx context.Context, u Upload, r io.ReaderAt, size int64, progress func(sent, total int64)) error {
	if size < 1 {
		return errors.New("upload: the capture is empty")
	}
	if u.MaxBytes > 0 && size > u.MaxBytes {
		return fmt.Errorf("upload: the capture has %d bytes, at most %d are taken; shorten it or lower its resolution", size, u.MaxBytes)
	}
	up := upload{c: c, u: u, r: r, size: size, chunk: c.chunk()}
	failures := 0
	for {
		before := up.sent
		done, err := up.step(ctx)
		if up.sent != before || done {
			failures = 0
			if progress != nil {
				progress(up.sent, size)
			}
		}
		switch problem := (*Problem)(nil); {
		case ctx.Err() != nil:
			return ctx.Err()
		case done:
			return nil
		case errors.Is(err, errSessionGone):
			up.session, up.sent = "", 0
		case errors.As(err, &problem) && (!passing(problem.Status) || problem.Status == http.StatusInsufficientStorage): // a full disk is freed by people
			return fmt.Errorf("upload: %w", err)
		case err != nil:
			up.unsure = true
		}
		if err == nil {
			continue
		}
		if failures++; failures >= maxTries {
			return fmt.Errorf("upload: gave up after %d tries at byte %d: %w", failures, up.sent, err)
		}
		if err := c.sleep(ctx, min(time.Second<<(failures-1), 30*time.Second)); err != nil {
			return err
		}
	}
}

func (c *Client) chunk() int64 {
	chunk := c.ChunkBytes
	if chunk <= 0 {
		chunk = defaultChunk
	}
	return (chunk + api.ChunkMultiple - 1) / api.ChunkMultiple * api.ChunkMultiple
}

type upload struct {
	c       *Client
	u       Upload
	r       io.ReaderAt
	size    int64
	chunk   int64
	session string // URI; empty before the start
	sent    int64  // bytes the storage has
	unsure  bool   // the last chunk may or may not have arrived: ask
}

// step does the next thing: start the session, ask for its offset, or send a chunk.
func (up *upload) step(ctx context.Context) (done bool, err error) {
	switch {
	case up.session == "":
		return false, up.start(ctx)
	case up.unsure:
		return up.put(ctx, nil, 0, fmt.Sprintf("bytes */%d", up.size))
	}
	n := min(up.chunk, up.size-up.sent)
	return up.put(ctx, io.NewSectionReader(up.r, up.sent, n), n, fmt.Sprintf("bytes %d-%d/%d", up.sent, up.sent+n-1, up.size))
}

func (up *upload) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, up.u.Method, up.u.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	for name, value := range up.u.Headers {
		r.Header.Set(name, value)
	}
	resp, err := up.c.http().Do(r)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return problemOf(resp)
	}
	session, err := resp.Location()
	if err != nil {
		return &Problem{Status: resp.StatusCode, Code: "no_session", Detail: "the storage named no upload session"}
	}
	up.session, up.unsure = session.String(), false
	return nil
}

// put sends one chunk, or an empty one to ask for the upload's offset.
func (up *upload) put(ctx context.Context, chunk *io.SectionReader, n int64, contentRange string) (done bool, err error) {
	var body io.Reader = http.NoBody
	if chunk != nil {
		body = chunk
	}
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, up.session, body)
	if err != nil {
		return false, fmt.Errorf("make request: %w", err)
	}
	r.ContentLength = n
	r.Header.Set("Content-Range", contentRange)
	resp, err := up.client().Do(r)
	if err != nil {
		return false, withoutURL(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
		up.sent = up.size
		return true, nil
	case http.StatusPermanentRedirect: // 308: resume incomplete
		at, err := nextByte(resp.Header.Get("Range"))
		if err != nil || at > up.size {
			return false, &Problem{Status: resp.StatusCode, Code: "unexpected_answer", Detail: fmt.Sprintf("the storage has %q of %d bytes", resp.Header.Get("Range"), up.size)}
		}
		moved := at != up.sent
		up.sent, up.unsure = at, false
		if chunk != nil && !moved {
			return false, errors.New("the storage took nothing of a chunk")
		}
		return false, nil
	case http.StatusNotFound, http.StatusGone:
		return false, errSessionGone
	}
	return false, problemOf(resp)
}

// client follows no redirect: the 308 of a resumable upload is an answer.
func (up *upload) client() *http.Client {
	c := *up.c.http()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// nextByte reads "bytes=0-N"; no header means that nothing arrived.
func nextByte(header string) (int64, error) {
	if header == "" {
		return 0, nil
	}
	last, ok := strings.CutPrefix(header, "bytes=0-")
	if !ok {
		return 0, fmt.Errorf("range %q does not begin at 0", header)
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 0 || n == math.MaxInt64 {
		return 0, fmt.Errorf("range %q", header)
	}
	return n + 1, nil
}

// withoutURL drops the address from an error: signed URLs and session URIs are credentials.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}
