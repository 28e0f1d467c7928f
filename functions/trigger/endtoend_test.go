package trigger_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/functions/trigger"
	emulator "github.com/splatworks/splatworks/infra/local/gcs"
	"github.com/splatworks/splatworks/pipeline"
)

// newCloudWorld is a world whose artifacts are in the storage emulator, behind a server of its own. wrap, when not nil,
// is in front of the API.
func newCloudWorld(t *testing.T, wrap func(*world, http.Handler) http.Handler) (*world, *httptest.Server) {
	t.Helper()
	storage, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"inbox-filter", "inbox-preprocess", "inbox-depth", "inbox-train", "inbox-export", "artifacts", "my-captures"} {
		if err := storage.Bucket(t.Context(), bucket, nil); err != nil {
			t.Fatal(err)
		}
	}
	storageServer := httptest.NewServer(storage)
	t.Cleanup(storageServer.Close)
	store, err := gcs.Open(t.Context(), gcs.Options{Endpoint: storageServer.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	email, key := storage.Account()
	signer, err := gcs.NewSigner(store, gcs.Account{Email: email, PrivateKey: key}, storageServer.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *trigger.Config) {
		c.Store, c.Signer, c.Sources = store, gcsSigner{signer}, []string{"my-captures"}
	})
	w.artifacts = store
	if wrap != nil {
		w.handler = wrap(w, w.handler)
	}
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	return w, server
}

// TestClientUploadsWaitsAndDownloads goes the whole way of a client, against the storage emulator: trigger, resumable
// upload, status, result.
func TestClientUploadsWaitsAndDownloads(t *testing.T) {
	ctx := t.Context()
	w, server := newCloudWorld(t, nil)
	c := &client.Client{BaseURL: server.URL, ChunkBytes: 256 << 10}

	accepted, err := c.Trigger(ctx, client.Trigger{SessionID: "kitchen", ContentType: "video/mp4"})
	if err != nil {
		t.Fatal(err)
	}
	capture := make([]byte, 1_000_000)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(capture)
	var seen []int64
	if err := c.Upload(ctx, *accepted.Upload, bytes.NewReader(capture), int64(len(capture)), func(sent, _ int64) { seen = append(seen, sent) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 4 || seen[len(seen)-1] != int64(len(capture)) {
		t.Errorf("progress %v", seen)
	}
	o, err := w.artifacts.Stat(ctx, "inbox-filter", accepted.RequestID+"/input")
	if err != nil || o.Size != int64(len(capture)) || o.ContentType != "video/mp4" {
		t.Fatalf("uploaded %+v, %v", o, err)
	}
	if err := c.Upload(ctx, *accepted.Upload, strings.NewReader("other"), 5, nil); err == nil {
		t.Error("an upload can be replaced")
	}

	c.Sleep = func(ctx context.Context, _ time.Duration) error { // the service works while the client sleeps
		w.finish(accepted.RequestID)
		return ctx.Err()
	}
	last, err := c.Wait(ctx, accepted.CallbackToken, nil)
	if err != nil || last.Status != pipeline.Completed {
		t.Fatal(last, err)
	}
	splat := slices.IndexFunc(last.Results, func(r client.Result) bool { return r.Kind == "splat" })
	if splat < 0 {
		t.Fatalf("results %+v", last.Results)
	}
	var got bytes.Buffer
	if err := c.Download(ctx, last.Results[splat], &got); err != nil || got.String() != "content of splat" {
		t.Fatal(got.String(), err)
	}
	if _, err := c.Cancel(ctx, accepted.CallbackToken); err == nil {
		t.Error("a finished request can be canceled")
	}
	share, err := c.Share(ctx, accepted.CallbackToken, client.ShareAsked{Title: "A place"})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Shared(ctx, share.ShareToken)
	if err != nil || shown.Title != "A place" || len(shown.Results) == 0 {
		t.Fatal(shown, err)
	}
	got.Reset()
	if err := c.Download(ctx, shown.Results[0], &got); err != nil || got.String() != "content of splat" {
		t.Error(got.String(), err)
	}
	if all, err := c.Shares(ctx, accepted.CallbackToken); err != nil || len(all) != 1 || all[0].ShareID != share.ShareID || all[0].ShareToken != "" {
		t.Error(all, err)
	}
	if err := c.Unshare(ctx, accepted.CallbackToken, share.ShareID); err != nil {
		t.Error(err)
	}
	if _, err := c.Shared(ctx, share.ShareToken); err == nil {
		t.Error("a share shows its result after it was revoked")
	}
}

// TestClientUploadsSeveral: all files arrive and are pinned in their order, and the whole may be repeated after it broke off.
func TestClientUploadsSeveral(t *testing.T) {
	ctx := t.Context()
	w, server := newCloudWorld(t, nil)
	c := &client.Client{BaseURL: server.URL, ChunkBytes: 256 << 10}
	accepted, err := c.Trigger(ctx, client.Trigger{SessionID: "garden", Uploads: client.Several})
	if err != nil || accepted.Upload != nil {
		t.Fatal(accepted, err)
	}
	var files []client.File
	total := int64(0)
	for i := range 5 {
		content := strings.Repeat(string(rune('a'+i)), 300_000*(i%2)+1)
		files = append(files, client.File{Name: string(rune('1'+i)) + ".jpg", ContentType: "image/jpeg", Content: strings.NewReader(content), Size: int64(len(content))})
		total += int64(len(content))
	}
	broken := append(files[:2:2], client.File{Name: "3.jpg", Content: strings.NewReader(""), Size: 0})
	if _, err := c.UploadSeveral(ctx, accepted.CallbackToken, broken, nil); err == nil || w.captured(accepted.RequestID) != nil {
		t.Fatal("complete without its last file", err)
	}
	last := int64(0)
	for range 2 { // said again when all is done, it finds the capture complete
		s, err := c.UploadSeveral(ctx, accepted.CallbackToken, files, func(sent, of int64) {
			if last = sent; of != total || sent > of {
				t.Errorf("progress %d of %d", sent, of)
			}
		})
		if last != total {
			t.Errorf("progress ended at %d of %d", last, total)
		}
		if err != nil || s.RequestID != accepted.RequestID {
			t.Fatal(s, err)
		}
	}
	captured := w.captured(accepted.RequestID)
	if len(captured) != len(files) {
		t.Fatalf("captured %v", captured)
	}
	for i, o := range captured {
		if o.Name != artifacts.PartName(accepted.RequestID, files[i].Name) || o.Size != files[i].Size || o.Generation == 0 {
			t.Errorf("file %d is %v", i, o)
		}
	}
}
