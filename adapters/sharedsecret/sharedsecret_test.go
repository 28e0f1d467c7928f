package sharedsecret_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/adapters/sharedsecret"
)

func TestAllInstancesFindTheSameSecret(t *testing.T) {
	rdb := startRedis(t)
	var first []byte
	for range 3 {
		secret := sharedsecret.Redis(rdb, "k", rand.Reader)
		for range 2 {
			got, err := secret(t.Context())
			if err != nil || len(got) != 32 {
				t.Fatal(got, err)
			}
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Fatal("instances differ")
			}
		}
	}
	if other, err := sharedsecret.Redis(rdb, "l", rand.Reader)(t.Context()); err != nil || bytes.Equal(other, first) {
		t.Fatal("two keys hold the same secret", err)
	}
	if err := rdb.Set(t.Context(), "m", "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := sharedsecret.Redis(rdb, "m", rand.Reader)(t.Context()); err == nil {
		t.Fatal("garbage accepted")
	}
	if _, err := sharedsecret.Redis(rdb, "n", bytes.NewReader(nil))(t.Context()); err == nil {
		t.Fatal("drawn from nothing")
	}
}

func startRedis(t *testing.T) *redis.Client {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	server := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: 50, MinRetryBackoff: 10 * time.Millisecond})
	t.Cleanup(func() {
		_ = rdb.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	if err := rdb.Ping(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	return rdb
}
