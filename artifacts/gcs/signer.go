package gcs

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strconv"
	"time"

	"cloud.google.com/go/storage"

	"github.com/splatworks/splatworks/pipeline"
)

// Account signs URLs. On Google Cloud it has no key: the IAM Credentials API signs for it (signBlob), which needs
// roles/iam.serviceAccountTokenCreator of the account on itself.
type Account struct {
	Email      string // empty: the account that the program runs as
	PrivateKey []byte // PEM; only for the emulator
}

// Signer makes V4 signed URLs: the only way by which clients reach the storage.
type Signer struct {
	client  *storage.Client
	account Account
	public  *url.URL // nil: storage.googleapis.com
}

// NewSigner signs with the account. publicURL is where clients reach the emulator; empty on Google Cloud.
func NewSigner(s *Store, account Account, publicURL string) (*Signer, error) {
	signer := &Signer{client: s.client, account: account}
	if publicURL == "" {
		return signer, nil
	}
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("storage URL %q has no host", publicURL)
	}
	signer.public = u
	return signer, nil
}

// At is the same signer for clients that reach the emulator elsewhere.
func (s *Signer) At(public *url.URL) *Signer {
	elsewhere := *s
	elsewhere.public = public
	return &elsewhere
}

// UploadSpec is an upload that a client may make once.
type UploadSpec struct {
	Bucket, Name string
	ContentType  string            // required; the client must send it
	MaxBytes     int64             // the storage refuses more
	Metadata     map[string]string // kept with the object, as x-goog-meta-*
	Expires      time.Duration     // of the permission to start; the upload itself may take a week
}

// SignedRequest is everything a client needs to send: an empty body to URL with exactly these headers.
type SignedRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
}

// SignUpload returns the request that starts a resumable upload. Its answer is 201 with the session URI in Location, to
// which the client PUTs the bytes; the session URI is a credential of its own. Only the start is signed, so the object
// can be made once (x-goog-if-generation-match: 0) and not be larger than MaxBytes; an empty one is let in, so that the
// pipeline can tell its sender what is wrong. Whether Cloud Storage holds a
// resumable upload to that range is not documented: check the size in the event, too.
func (s *Signer) SignUpload(ctx context.Context, spec UploadSpec) (SignedRequest, error) {
	if spec.ContentType == "" || spec.MaxBytes < 1 || spec.Expires <= 0 {
		return SignedRequest{}, errors.New("sign upload: content type, size limit and expiry are needed")
	}
	headers := map[string]string{
		"x-goog-resumable":            "start",
		"x-goog-if-generation-match":  "0",
		"x-goog-content-length-range": "0," + strconv.FormatInt(spec.MaxBytes, 10),
	}
	for k, v := range spec.Metadata {
		headers["x-goog-meta-"+k] = v
	}
	opts := s.options("POST", spec.Expires)
	opts.ContentType = spec.ContentType
	for k, v := range headers {
		opts.Headers = append(opts.Headers, k+":"+v)
	}
	signed, err := s.sign(ctx, spec.Bucket, spec.Name, opts)
	if err != nil {
		return SignedRequest{}, fmt.Errorf("sign upload of gs://%s/%s: %w", spec.Bucket, spec.Name, err)
	}
	headers["content-type"] = spec.ContentType
	return SignedRequest{Method: opts.Method, URL: signed, Headers: headers}, nil
}

// SignDownload returns a URL from which a browser saves exactly this generation of an object, or the newest when it is 0, as filename.
func (s *Signer) SignDownload(ctx context.Context, o pipeline.Object, filename string, expires time.Duration) (string, error) {
	if expires <= 0 {
		return "", errors.New("sign download: an expiry is needed")
	}
	opts := s.options("GET", expires)
	opts.QueryParameters = url.Values{}
	if filename != "" {
		opts.QueryParameters.Set("response-content-disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	}
	if o.Generation != 0 {
		opts.QueryParameters.Set("generation", strconv.FormatInt(o.Generation, 10))
	}
	signed, err := s.sign(ctx, o.Bucket, o.Name, opts)
	if err != nil {
		return "", fmt.Errorf("sign download of %v: %w", o, err)
	}
	return signed, nil
}

// signAttempts bounds the calls to the IAM Credentials API for one signature.
const signAttempts = 3

// sign makes a URL. The library asks the IAM Credentials API without a context and without end: while that is away, a caller
// would wait for ever.
func (s *Signer) sign(ctx context.Context, bucket, name string, opts *storage.SignedURLOptions) (string, error) {
	type answer struct {
		url string
		err error
	}
	signed := make(chan answer, 1)
	go func() {
		url, err := s.client.Bucket(bucket).Retryer(storage.WithMaxAttempts(signAttempts)).SignedURL(name, opts)
		signed <- answer{url, err}
	}()
	select {
	case a := <-signed:
		return a.url, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Signer) options(method string, expires time.Duration) *storage.SignedURLOptions {
	o := &storage.SignedURLOptions{
		Scheme: storage.SigningSchemeV4, Method: method, Style: storage.PathStyle(), Expires: time.Now().Add(expires),
		GoogleAccessID: s.account.Email, PrivateKey: s.account.PrivateKey,
	}
	if s.public != nil {
		o.Hostname, o.Insecure = s.public.Host, s.public.Scheme == "http"
	}
	return o
}
