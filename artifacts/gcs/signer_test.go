package gcs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/pipeline"
)

// send makes a request exactly as a client does that was given it.
func send(t *testing.T, r gcs.SignedRequest, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range r.Headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

func signer(t *testing.T) (*gcs.Signer, *gcs.Store) {
	t.Helper()
	store, emulator, address := emulated(t, gcs.Options{})
	email, key := emulator.Account()
	s, err := gcs.NewSigner(store, gcs.Account{Email: email, PrivateKey: key}, address)
	if err != nil {
		t.Fatal(err)
	}
	return s, store
}

func TestSignedUpload(t *testing.T) {
	s, store := signer(t)
	spec := gcs.UploadSpec{Bucket: "bucket", Name: "req/my video+é.mp4", ContentType: "video/mp4", MaxBytes: 1000,
		Metadata: map[string]string{"session-id": "s 1"}, Expires: 15 * time.Minute}
	signed, err := s.SignUpload(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	altered := signed
	altered.Headers = map[string]string{}
	for k, v := range signed.Headers {
		altered.Headers[k] = v
	}
	altered.Headers["x-goog-content-length-range"] = "1,1000000"
	if resp, answer := send(t, altered, ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a wider limit: %d %s", resp.StatusCode, answer)
	}
	resp, answer := send(t, signed, "")
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("start: %d %s", resp.StatusCode, answer)
	}
	session := resp.Header.Get("Location")
	resp, answer = send(t, gcs.SignedRequest{Method: "PUT", URL: session, Headers: map[string]string{"Content-Range": "bytes 0-4/5"}}, "bytes")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: %d %s", resp.StatusCode, answer)
	}
	o, err := store.Stat(t.Context(), spec.Bucket, spec.Name)
	if err != nil || o.Size != 5 || o.ContentType != "video/mp4" {
		t.Errorf("object %+v, %v", o, err)
	}
	attrs, err := store.Client().Bucket(spec.Bucket).Object(spec.Name).Attrs(t.Context())
	if err != nil || attrs.Metadata["session-id"] != "s 1" {
		t.Errorf("metadata %v, %v", attrs.Metadata, err)
	}
	if resp, answer := send(t, signed, ""); resp.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("the second upload: %d %s", resp.StatusCode, answer)
	}
	spec.Name = "req/other"
	if signed, err = s.SignUpload(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	resp, _ = send(t, signed, "")
	resp, answer = send(t, gcs.SignedRequest{Method: "PUT", URL: resp.Header.Get("Location")}, strings.Repeat("x", 1001))
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, "EntityTooLarge") {
		t.Errorf("too large: %d %s", resp.StatusCode, answer)
	}
	for _, bad := range []gcs.UploadSpec{{}, {Bucket: "bucket", Name: "n", MaxBytes: 1, Expires: time.Minute},
		{Bucket: "bucket", Name: "n", ContentType: "a/b", MaxBytes: 1, Expires: 8 * 24 * time.Hour}} {
		if r, err := s.SignUpload(t.Context(), bad); err == nil {
			t.Errorf("signed %+v: %+v", bad, r)
		}
	}
}

func TestSignedDownload(t *testing.T) {
	s, store := signer(t)
	for i, name := range []string{"n", "a/b c", "../../x", "100%+é?#&=", "double//slash", "dir/"} {
		body := fmt.Sprintf("body %d", i)
		o, err := store.Put(t.Context(), "bucket", name, strings.NewReader(body), putOptions)
		if err != nil {
			t.Fatal(err)
		}
		link, err := s.SignDownload(t.Context(), o, `é "splat".ply`, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		resp, answer := send(t, gcs.SignedRequest{Method: "GET", URL: link}, "")
		if resp.StatusCode != http.StatusOK || answer != body {
			t.Errorf("%q: %d %s", name, resp.StatusCode, answer)
		}
		if got := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename*=utf-8''%C3%A9") {
			t.Errorf("Content-Disposition %q", got)
		}
		if resp, _ := send(t, gcs.SignedRequest{Method: "DELETE", URL: link}, ""); resp.StatusCode != http.StatusForbidden {
			t.Errorf("deleted by a link for reading: %d", resp.StatusCode)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/bucket/other"
		if resp, _ := send(t, gcs.SignedRequest{Method: "GET", URL: u.String()}, ""); resp.StatusCode != http.StatusForbidden {
			t.Errorf("another object by the same link: %d", resp.StatusCode)
		}
		if _, err := store.Put(t.Context(), "bucket", name, strings.NewReader("new"), putOptions); err != nil {
			t.Fatal(err)
		}
		if resp, _ := send(t, gcs.SignedRequest{Method: "GET", URL: link}, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("the link of a replaced generation: %d", resp.StatusCode)
		}
	}
	if link, err := s.SignDownload(t.Context(), pipeline.Object{Bucket: "bucket", Name: "n"}, "", 0); err == nil {
		t.Errorf("signed a link without a life: %s", link)
	}
}
