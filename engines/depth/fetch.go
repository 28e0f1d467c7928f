package depth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/fault"
)

// FetchOptions of Fetch. The zero value of a field means its default.
type FetchOptions struct {
	AcceptNonCommercial bool                    // the reader's own decision
	Client              *http.Client            // (http.DefaultClient)
	Progress            func(done, total int64) // bytes; total is 0 when unknown
	Stalled             time.Duration           // without a byte for that long the connection is given up (60 s)
}

// attempts is how often an interrupted transfer is taken up again, each time it has got further.
const attempts = 8

// Fetch brings the weights of a model into a folder and puts the descriptor beside them. A file that is there already is
// only verified. What an interrupted transfer left is continued; the file gets its name only after size, SHA-256 and graph
// have been found to be the descriptor's. A descriptor without a SHA-256 gets that of what came. The error is a *fault.Failure
// or the context's.
func Fetch(ctx context.Context, folder string, d Descriptor, o FetchOptions) (Descriptor, error) {
	if d.NonCommercial && !o.AcceptNonCommercial {
		return d, &fault.Failure{Code: ModelLicense, Message: fmt.Sprintf("The licence of %s, %s, forbids commercial use.", d.Name, d.License),
			Advice: fmt.Sprintf("Use %s, or accept the licence if your use is not commercial (%s).", DefaultModel, d.Homepage)}
	}
	path := ModelPath(folder, d)
	if err := Verify(path, d); err == nil {
		return d, writeDescriptor(folder, d)
	}
	if d.URL == "" {
		return d, &fault.Failure{Code: ModelMissing, Message: fmt.Sprintf("The descriptor of %s has no address.", d.Name), Advice: "Put " + d.File + " into " + folder + " yourself."}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return d, fmt.Errorf("fetching %s: %w", d.Name, err)
	}
	sum, size, err := transfer(ctx, path+".part", d, o)
	if err != nil {
		return d, err
	}
	if d.SHA256 == "" {
		d.SHA256, d.Bytes = sum, size
	}
	if err := Verify(path+".part", d); err != nil {
		_ = os.Remove(path + ".part") // continuing with it cannot help
		var f *fault.Failure
		if errors.As(err, &f) {
			f.Message = fmt.Sprintf("What came from %s is not %s.", host(d.URL), d.Name)
			f.Advice = "Try again; if it repeats, what is published there has changed, and the descriptor's address and SHA-256 are out of date."
		}
		return d, err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return d, fmt.Errorf("fetching %s: %w", d.Name, err)
	}
	return d, writeDescriptor(folder, d)
}

func host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// transfer completes the file at path and returns its SHA-256 and size.
func transfer(ctx context.Context, path string, d Descriptor, o FetchOptions) (sum string, size int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", 0, fmt.Errorf("fetching %s: %w", d.Name, err)
	}
	defer file.Close()
	t := &download{file: file, hash: sha256.New(), d: d, o: o}
	if t.done, err = io.Copy(t.hash, file); err != nil {
		return "", 0, fmt.Errorf("fetching %s: %w", d.Name, err)
	}
	for attempt := 1; ; attempt++ {
		before := t.received
		err := t.attempt(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return "", 0, ctx.Err()
		}
		var network *networkError
		if !errors.As(err, &network) {
			return "", 0, err
		}
		if attempt == attempts || t.received <= before {
			return "", 0, &fault.Failure{Code: ModelUnreachable, Message: fmt.Sprintf("%s cannot be fetched from %s: %v.", d.Name, host(d.URL), brief(network.err)),
				Advice: fmt.Sprintf("Check the network and try again, it continues at %d MB; or put %s into %s yourself.", t.done/1e6, d.File, filepath.Dir(path)), Err: err}
		}
	}
	if err := file.Sync(); err != nil {
		return "", 0, fmt.Errorf("fetching %s: %w", d.Name, err)
	}
	return hex.EncodeToString(t.hash.Sum(nil)), t.done, nil
}

// networkError is worth another attempt.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

// brief is the innermost reason of a network error: the outer ones repeat the address.
func brief(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return "no such host, or no network"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

type download struct {
	file *os.File
	hash hash.Hash
	d    Descriptor
	o    FetchOptions
	// done is how much of the file is right so far, received what came in all.
	done, received int64
}

// restart forgets what is there.
func (t *download) restart() error {
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t.hash.Reset()
	t.done = 0
	return t.file.Truncate(0)
}

// attempt asks for what is missing and appends it.
func (t *download) attempt(ctx context.Context) error {
	if t.d.Bytes != 0 && t.done == t.d.Bytes {
		return nil
	}
	if t.d.Bytes != 0 && t.done > t.d.Bytes {
		if err := t.restart(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stalled := t.o.Stalled
	if stalled <= 0 {
		stalled = time.Minute
	}
	watchdog := time.AfterFunc(stalled, cancel)
	defer watchdog.Stop()
	response, err := t.ask(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK: // from the start, whatever was asked for
		if err := t.restart(); err != nil {
			return err
		}
	case http.StatusPartialContent:
		if !strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", t.done)) {
			return &networkError{fmt.Errorf("it sent %q for bytes from %d", response.Header.Get("Content-Range"), t.done)}
		}
	case http.StatusRequestedRangeNotSatisfiable: // what is there is no beginning of what is published now
		if t.done > 0 {
			if err := t.restart(); err != nil {
				return err
			}
			return t.attempt(ctx)
		}
		fallthrough
	default:
		return &networkError{fmt.Errorf("it answered %s", response.Status)}
	}
	return t.receive(response, func() { watchdog.Reset(stalled) })
}

// ask sends the request for what is missing.
func (t *download) ask(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.d.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", t.d.Name, err)
	}
	if t.done > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.done))
	}
	client := t.o.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, &networkError{err}
	}
	return response, nil
}

// receive appends what comes; alive is called whenever something has.
func (t *download) receive(response *http.Response, alive func()) error {
	total := t.d.Bytes
	if n, err := strconv.ParseInt(response.Header.Get("Content-Length"), 10, 64); err == nil && total == 0 {
		total = t.done + n
	}
	buffer := make([]byte, 256<<10)
	for {
		n, err := response.Body.Read(buffer)
		alive()
		if n > 0 {
			if err := t.append(buffer[:n]); err != nil {
				return err
			}
			if t.o.Progress != nil {
				t.o.Progress(t.done, total)
			}
		}
		switch {
		case err == io.EOF && (total == 0 || t.done == total):
			return nil
		case err == io.EOF:
			return &networkError{fmt.Errorf("the connection ended after %d of %d bytes", t.done, total)}
		case err != nil:
			return &networkError{err}
		}
	}
}

func (t *download) append(part []byte) error {
	if t.d.Bytes != 0 && t.done+int64(len(part)) > t.d.Bytes {
		return &fault.Failure{Code: ModelDamaged, Message: fmt.Sprintf("What comes from %s is longer than %s.", host(t.d.URL), t.d.Name),
			Advice: "What is published there has changed: the descriptor's address and SHA-256 are out of date."}
	}
	t.hash.Write(part)
	if _, err := t.file.Write(part); err != nil {
		return fmt.Errorf("fetching %s: %w", t.d.Name, err)
	}
	t.done += int64(len(part))
	t.received += int64(len(part))
	return nil
}
