package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// configured is a deployment's configuration; env replaces and adds parts.
func configured(t *testing.T, env ...string) Config {
	t.Helper()
	values := map[string]string{}
	for _, e := range append(environment(), env...) {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	c, err := Load(t.Context(), envconfig.MapLookuper(values))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReadyFollowsRedis: a server answers before there is a Redis, says when it is there, gone, and back.
func TestReadyFollowsRedis(t *testing.T) {
	redis := redistest.StartTCP(t)
	redis.Kill()
	log := &process{t: t, fresh: make(chan struct{}, 1), ended: make(chan struct{})}
	parts, err := configured(t, "REDIS_URL="+redis.URL()).open(t.Context(), serve.NewLogger(log, "", slog.LevelInfo), uses{queue: true})
	if err != nil {
		t.Fatal(err)
	}
	defer parts.Close()
	parts.awaited.Pause, parts.awaited.Hold = time.Millisecond, time.Millisecond
	handler := parts.awaited.Gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	ctx, stop := context.WithCancel(t.Context())
	addr, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- parts.serve(ctx, serve.Server{Listen: "127.0.0.1:0", Handler: handler, Ready: func(a net.Addr) { addr <- a }})
	}()
	url := "http://" + (<-addr).String()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	until := func(path string, status int) { // a program of its own starts, or its client connects anew
		t.Helper()
		for t.Context().Err() == nil {
			if got, _ := get(path); got == status {
				return
			}
		}
	}
	log.says(`"WARNING"`, "waiting for the queue", redis.Addr, "refused")
	if status, body := get("/ready"); status != 503 || !strings.Contains(body, `"missing":["queue"]`) {
		t.Errorf("before Redis: %d %s", status, body)
	}
	if status, body := get("/"); status != 503 || !strings.Contains(body, "queue_unavailable") {
		t.Errorf("before Redis: %d %s", status, body)
	}
	redis.Run()
	log.says(`"INFO"`, "queue answers")
	until("/ready", 200)
	until("/", http.StatusTeapot)
	redis.Kill()
	until("/ready", 503)
	redis.Run()
	until("/ready", 200)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOpenWaitsNoLongerThanItsContext, and its error names what it waited for.
func TestOpenWaitsNoLongerThanItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log := &process{t: t, fresh: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		log.says("waiting for the queue")
		cancel()
	}()
	parts, err := configured(t).Open(ctx, serve.NewLogger(log, "", slog.LevelInfo))
	if parts != nil || err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v, %v", parts, err)
	}
}

// TestEachProgramOpensWhatItUses: what is not named is neither opened nor missed.
func TestEachProgramOpensWhatItUses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	broken := configured(t, "REDIS_URL=", "JOBS=filter:filter") // no queue, and a launcher without a project
	for name, c := range map[string]struct {
		uses uses
		ok   bool
	}{
		"notify":   {theNotify.uses, true},
		"trigger":  {theTrigger.uses, false},
		"launcher": {uses{launcher: true}, false},
		"nothing":  {uses{}, true},
	} {
		parts, err := broken.open(t.Context(), log, c.uses)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if parts != nil {
			parts.Close()
		}
	}
}

// TestRedisOverTLS: the server's certificate must be one of REDIS_CA_CERT; another ends the waiting at once.
func TestRedisOverTLS(t *testing.T) {
	redis := redistest.StartTCP(t)
	_, server := authority(t, time.Now().Add(time.Hour))
	_, stranger := authority(t, time.Now().Add(time.Hour))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", redis.Addr)
			if err != nil {
				from.Close()
				continue
			}
			go func() { defer to.Close(); _, _ = io.Copy(to, from) }()
			go func() { defer from.Close(); _, _ = io.Copy(from, to) }()
		}
	}()
	open := func(ca string) (string, error) {
		var log bytes.Buffer
		parts, err := configured(t, "REDIS_URL=rediss://"+listener.Addr().String(), "REDIS_CA_CERT="+ca).
			open(t.Context(), serve.NewLogger(&log, "", slog.LevelInfo), uses{queue: true})
		if err != nil {
			t.Fatal(err)
		}
		defer parts.Close()
		err = parts.awaited.Watch(t.Context())
		return log.String(), err
	}
	if _, err := open(asPEM(server.Certificate[1])); err != nil {
		t.Errorf("our authority: %v", err)
	}
	for name, ca := range map[string]string{"another authority": asPEM(stranger.Certificate[1]), "the system's": ""} {
		if log, err := open(ca); err == nil || !strings.Contains(err.Error(), "REDIS_CA_CERT") || log != "" {
			t.Errorf("%s: %v, after %s", name, err, log)
		}
	}
}

func asPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
