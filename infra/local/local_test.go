package local_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/splatworks/splatworks/infra/local"
)

func options(dir string) local.Options {
	return local.Options{Dir: dir, Project: "p", Topics: []string{"finished"}, Buckets: []local.Bucket{{Name: "inbox"}}}
}

func start(t *testing.T, o local.Options) *local.Cloud {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	c, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stop(t *testing.T, c *local.Cloud) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func put(t *testing.T, c *local.Cloud, name string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.StorageURL()+"/upload/storage/v1/b/inbox/o?uploadType=media&name="+name, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("put %s: %d %s %v", name, resp.StatusCode, body, err)
	}
}

func publish(t *testing.T, c *local.Cloud, text string) {
	t.Helper()
	client, err := pubsub.NewClient(t.Context(), "p", option.WithEndpoint(c.PubSubAddr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	topic := client.Publisher("finished")
	if _, err := topic.Publish(t.Context(), &pubsub.Message{Data: []byte(text)}).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic.Stop()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func withRedis(t *testing.T, c *local.Cloud, use func(ctx context.Context, r *redis.Client) error) {
	t.Helper()
	r := redis.NewClient(&redis.Options{Network: "unix", Addr: c.RedisAddr(), DisableIdentity: true})
	if err := use(t.Context(), r); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloudGoesOnWhereItStopped(t *testing.T) {
	dir := t.TempDir()
	c := start(t, options(dir))
	// Handlers that are not up yet: what happens now must reach them in the next run.
	if err := c.OnFinalized("inbox", "http://127.0.0.1:1/"); err != nil {
		t.Fatal(err)
	}
	if err := c.OnMessage("finished", "http://127.0.0.1:1/"); err != nil {
		t.Fatal(err)
	}
	put(t, c, "video")
	publish(t, c, "done")
	withRedis(t, c, func(ctx context.Context, r *redis.Client) error { return r.Set(ctx, "k", "v", 0).Err() })
	if again, err := local.Start(t.Context(), options(dir)); err == nil {
		t.Error("a second cloud on the same folder started")
		stop(t, again)
	} else if !strings.Contains(err.Error(), "another program") {
		t.Error(err)
	}
	before := c.StorageURL()
	stop(t, c)

	c = start(t, options(dir))
	defer stop(t, c)
	if now := c.StorageURL(); now != before {
		if l, err := net.Listen("tcp", strings.TrimPrefix(before, "http://")); err == nil {
			t.Errorf("the storage moved from %s to %s, though its port is free: %v", before, now, l.Close())
		}
	}
	got := make(chan string, 10)
	handler := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.URL.Path + " " + r.Header.Get("Ce-Subject")
	}))
	defer handler.Close()
	if err := c.OnFinalized("inbox", handler.URL+"/filter"); err != nil {
		t.Fatal(err)
	}
	if event := <-got; event != "/filter objects/video" {
		t.Errorf("event %q", event)
	}
	if err := c.OnMessage("finished", handler.URL+"/notify"); err != nil {
		t.Fatal(err)
	}
	if event := <-got; event != "/notify " {
		t.Errorf("event %q", event)
	}
	if err := c.Events.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, c, "second")
	if event := <-got; event != "/filter objects/second" {
		t.Errorf("event %q", event)
	}
	withRedis(t, c, func(ctx context.Context, r *redis.Client) error {
		if v, err := r.Get(ctx, "k").Result(); err != nil || v != "v" {
			return fmt.Errorf("k is %q, %w", v, err)
		}
		return nil
	})
}

func TestStartThatFailsLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.Listen = "256.0.0.1:0"
	if c, err := local.Start(t.Context(), o); err == nil {
		t.Error("listened nowhere")
		stop(t, c)
	}
	o = options(dir)
	o.RedisPath = "no-such-redis"
	if _, err := local.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "redis-server") {
		t.Errorf("without redis: %v", err)
	}
	stop(t, start(t, options(dir))) // the folder is free
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Start(t.Context(), options(dir+"/file")); err == nil {
		t.Error("a file was taken for a folder")
	}
}
