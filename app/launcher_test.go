package app

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// launcher is the main that Google's functions buildpack generates beside a Go function, as far as it matters here: it imports the
// package at the root of the source and starts the framework (GoogleCloudPlatform/buildpacks, cmd/go/functions_framework).
const launcher = `package main

import (
	"log"
	"os"

	_ "github.com/splatworks/splatworks"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

func main() {
	if err := funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT")); err != nil {
		log.Fatalf("Function failed to start: %v\n", err)
	}
}
`

// TestFunctionsFromSource builds the functions as Google does, in functions.local/app below the source, and calls both. The
// generated file is laid over the source, so nothing is written there.
func TestFunctionsFromSource(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and links a program of its own")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "functions.local", "app", "main.go"): file("main.go", []byte(launcher))}})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "main")
	build := exec.Command("go", "build", "-tags", "nodynamic", "-overlay", file("overlay.json", overlay), "-o", program, "./functions.local/app")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	redis := redistest.StartTCP(t)

	t.Run("trigger", func(t *testing.T) {
		url := launch(t, program, "FUNCTION_TARGET=trigger", "REDIS_URL="+redis.URL(), "CORS_ORIGINS=https://app.example.com")
		expect(t, request(t, "GET", url+"/openapi.json", ""), `200 "openapi"`) // held until the queue is seen
		for path, want := range map[string]string{"/ready": `200 {"ready":true}`, "/healthz": "200 ok",
			"/status": "401 ", "/nothing": "404 no_such_path"} {
			expect(t, request(t, "GET", url+path, ""), want)
		}
		r := request(t, "OPTIONS", url+"/status", "")
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "GET")
		expect(t, r, "204")
		expect(t, request(t, "POST", url+"/trigger-reconstruction", strings.Repeat(" ", 2<<20)), "413 body_too_large")
	})
	t.Run("notify", func(t *testing.T) {
		url := launch(t, program, "FUNCTION_TARGET=notify", "REDIS_URL=")
		expect(t, event(t, url), "200")
	})
	t.Run("not configured", func(t *testing.T) {
		url := launch(t, program, "FUNCTION_TARGET=trigger", "REDIS_URL=")
		expect(t, request(t, "GET", url+"/openapi.json", ""), "500 internal")
	})
}

// TestFunctionsInOurImage hosts the same registration with cmd/functions's program. Notify needs no Redis.
func TestFunctionsInOurImage(t *testing.T) {
	redis := redistest.StartTCP(t)
	for target, env := range map[string][]string{"trigger": {"REDIS_URL=" + redis.URL()}, "notify": {"REDIS_URL="}} {
		t.Run(target, func(t *testing.T) {
			port := freePort(t)
			p := start(t, "functions", append(env, "FUNCTION_TARGET="+target, "PORT="+port)...)
			url := "http://127.0.0.1:" + port
			answers(t, url, p.ended)
			if target == "notify" {
				expect(t, event(t, url), "200")
			} else {
				expect(t, request(t, "GET", url+"/openapi.json", ""), `200 "openapi"`) // held until the queue is seen
			}
			expect(t, request(t, "GET", url+"/healthz", ""), "200 ok")
			expect(t, request(t, "GET", url+"/ready", ""), `200 {"ready":true}`)
			expect(t, request(t, "POST", url+"/", strings.Repeat(" ", 2<<20)), "413 body_too_large")
			p.terminate()
			p.ends(0)
		})
	}
}

// event is a message of a topic that is not about an ended request, as Eventarc sends it: it is taken and ignored.
func event(t *testing.T, url string) *http.Request {
	t.Helper()
	r := request(t, "POST", url+"/", `{"message":{"data":"e30=","publishTime":"2026-11-01T12:00:00Z"}}`)
	for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//pubsub.googleapis.com/projects/p/topics/t",
		"ce-type": "google.cloud.pubsub.topic.v1.messagePublished", "Content-Type": "application/json"} {
		r.Header.Set(k, v)
	}
	return r
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expect holds an answer to its status and a part of its body.
func expect(t *testing.T, r *http.Request, want string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	status, part, _ := strings.Cut(want, " ")
	if !strings.HasPrefix(resp.Status, status) || !strings.Contains(string(body), part) {
		t.Errorf("%s %s: %s %s, want %s", r.Method, r.URL.Path, resp.Status, body, want)
	}
}

// launch runs a built program and returns its address once it takes connections.
func launch(t *testing.T, program string, env ...string) (url string) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command(program)
	cmd.Env = append(append(environment(), "PORT="+port), env...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	url = "http://127.0.0.1:" + port
	answers(t, url, ended)
	return url
}

func freePort(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// answers returns when a program that runs on its own takes connections.
func answers(t *testing.T, url string, ended <-chan struct{}) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatal("the program did not start")
		case <-t.Context().Done():
			t.Fatal("the program does not answer")
		default:
		}
	}
}
