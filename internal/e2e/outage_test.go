package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// checkOutages gets the answers of a request API that something behind it lets down, and of one that asks for keys and takes
// little: it puts the functions' own program, as it is deployed, between the local cloud's Redis and its storage, behind a gate.
// share is the token of a share of done; several, unsigned and flood are the tokens of requests that wait for several uploads; upload sends the first of several.
func (b *backend) checkOutages(public, operators *driven, done accepted, share, several, unsigned, flood string, upload func(), good map[string]string) {
	t := b.t
	t.Helper()
	storage := newGate(t, b.storageURL())
	redis := b.redis()
	deployed := public.at(b.startFront(storage.server.URL, redis.url()))

	deployed.call(ask{operation: postTrigger, body: good[postTrigger]})
	deployed.call(ask{operation: postEstimate, body: good[postEstimate]})
	// It has no account to sign with.
	deployed.call(ask{operation: postTrigger, body: `{"session_id":"unsigned"}`, headers: withKey})
	deployed.call(ask{operation: postUploads, token: several, body: good[postUploads]})
	upload()
	deployed.call(ask{operation: postUploads, token: several, body: good[postUploads]})
	deployed.call(ask{operation: postComplete, token: several, body: good[postComplete]})
	b.checkStoredKeys(deployed, good)
	storage.shut.Store(http.StatusNotFound) // as if everything had been deleted
	deployed.call(ask{operation: "GET /result/{kind}", token: done.CallbackToken})
	storage.shut.Store(http.StatusForbidden)
	deployed.together(ask{operation: postTrigger, body: `{"session_id":"unread","source":"gs://sources/x"}`, headers: withKey},
		ask{operation: "GET /result/{kind}", token: done.CallbackToken},
		ask{operation: postUploads, token: several, body: good[postUploads]},
		ask{operation: postComplete, token: several, body: good[postComplete]},
		ask{operation: postShares, token: done.CallbackToken}, ask{operation: getShares, token: done.CallbackToken},
		ask{operation: deleteShare, token: done.CallbackToken}, ask{operation: getShared, token: share},
		ask{operation: getNotes, token: done.CallbackToken}, ask{operation: putNotes, token: done.CallbackToken, body: good[putNotes]},
		ask{operation: postEstimate, body: good[postEstimate], headers: withKey})

	storage.shut.Store(0)
	// The share of a result that was deleted.
	lost := done.RequestID + strings.Repeat("0", 32)
	hash := sha256.Sum256([]byte(lost))
	b.put(b.storageURL(), "artifacts", "shares/"+done.RequestID+"/"+hex.EncodeToString(hash[:16])+".json", `{"created_at":"2026-01-01T00:00:00Z","manifest":{"bucket":"artifacts","name":"none","generation":"1"}}`)
	deployed.call(ask{operation: getShared, token: lost})
	deployed.checkFloods(redis, unsigned, flood, good)
	deployed.checkQuota(redis, unsigned, good)
	public.checkStreams(several)
	// A database of its own in the same server: all is lost, and nothing has rebuilt it yet.
	rebuilding := public.at(b.startFront(storage.server.URL, redis.url()+"?db=1"))
	for _, operation := range []string{"GET /status", "GET /status/{request_id}", "GET /events", "POST /cancel"} {
		rebuilding.call(ask{operation: operation, token: done.CallbackToken})
	}

	storage.shut.Store(http.StatusForbidden) // before it has read any key
	rebuilding.call(ask{operation: getStatusByID, headers: []string{"X-Api-Key: splatworks_nobody"}})
	storage.shut.Store(0)

	resume := redis.pause()
	defer resume()
	bodies := map[string]string{
		postTrigger: `{"session_id":"unlimited"}`, postUploads: good[postUploads], postComplete: good[postComplete], postEstimate: good[postEstimate], putNotes: good[putNotes],
		"POST /enqueue": fmt.Sprintf(`{"request_id":%q,"stage":"filter","input":{"bucket":"inbox-filter","name":"%s/input"}}`, done.RequestID, done.RequestID),
		"POST /purge":   `{"older_than_s":1e9,"dry_run":true}`,
	}
	var finish []func() []*httptest.ResponseRecorder
	for _, d := range []*driven{public, operators} {
		var asks []ask
		for operation := range d.operations() {
			switch {
			case operation == getShared, strings.Contains(operation, " /keys"):
				continue // they need the storage alone
			case operation == "GET /deployment", operation == "GET /config":
				continue // they say what the program was started with
			}
			asks = append(asks, ask{operation: operation, token: done.CallbackToken, body: bodies[operation], query: map[string]string{"GET /next": "?stage=filter"}[operation]})
		}
		finish = append(finish, d.begin(asks...))
	}
	for _, answers := range finish {
		for _, rec := range answers() {
			if rec.Code != http.StatusServiceUnavailable {
				t.Errorf("without Redis: %d %s", rec.Code, rec.Body)
			}
		}
	}
}

// at is the same API at another address.
func (d *driven) at(base string) *driven {
	other := *d
	other.base = base
	return &other
}

// checkStoredKeys gets what a key is answered that an operator added, and that has expired, was revoked, or is for something else.
func (b *backend) checkStoredKeys(d *driven, good map[string]string) {
	b.t.Helper()
	asks := func(key string) []ask {
		header := []string{"X-Api-Key: " + key}
		return []ask{{operation: postTrigger, body: good[postTrigger], headers: header}, {operation: postEstimate, body: good[postEstimate], headers: header},
			{operation: getStatusByID, headers: header}}
	}
	long := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var secrets []string
	for _, change := range []func(*tenant.Key){
		func(k *tenant.Key) { k.RevokedAt = long },
		func(k *tenant.Key) { k.ExpiresAt = long },
		func(k *tenant.Key) { k.Scopes = []tenant.Scope{} },
	} {
		secret, k, err := tenant.New("e2e", rand.Reader)
		if err != nil {
			b.t.Fatal(err)
		}
		k.CreatedAt = long
		change(&k)
		body, err := json.Marshal(k)
		if err != nil {
			b.t.Fatal(err)
		}
		b.put(b.storageURL(), "artifacts", "keys/e2e/"+k.ID+".json", string(body))
		secrets, b.secrets = append(secrets, secret), append(b.secrets, secret)
	}
	for strings.Contains(d.call(asks(secrets[0])[2]).Body.String(), `"unauthorized"`) {
		time.Sleep(100 * time.Millisecond) // keys open two seconds after one was asked for that is not known
	}
	for _, secret := range secrets {
		d.together(asks(secret)...)
	}
	d.together(asks("splatworks_nobody")...)
}

// checkFloods gets what one request is answered when it asks for too much, and when the limits cannot be looked at: for the tokens of
// two requests that wait for their uploads.
func (d *driven) checkFloods(redis redisServer, unsigned, flood string, good map[string]string) {
	d.t.Helper()
	d.call(ask{operation: postUploads, token: unsigned, body: good[postUploads]}) // it has no account to sign with
	for range 100 {                                                               // 60 are taken
		if d.call(ask{operation: postComplete, token: flood, body: good[postComplete]}).Code == http.StatusTooManyRequests {
			break
		}
	}
	for d.call(ask{operation: postEstimate, body: good[postEstimate], headers: withKey}).Code == http.StatusOK {
	}
	changes := []string{postUploads, postComplete, "POST /cancel", postShares, getShares, deleteShare, getNotes, putNotes}
	for _, operation := range changes {
		d.call(ask{operation: operation, token: flood, body: good[operation]})
	}
	// Redis lets the limits of submissions through, and not the queue.
	redis.command("ACL SETUSER default resetkeys ~trigger*")
	d.call(ask{operation: postTrigger, body: `{"session_id":"unqueued"}`, headers: withKey})
	// Redis lets the queue through, and no limit.
	redis.command("ACL SETUSER default resetkeys ~{q*")
	for _, operation := range changes {
		d.call(ask{operation: operation, token: unsigned, body: good[operation]})
	}
	d.call(ask{operation: postEstimate, body: good[postEstimate], headers: withKey})
	redis.command("ACL SETUSER default allkeys")
}

// checkQuota gets what the one request a day of the caller "one" is answered when it was taken in already, as its count says, and what a
// request that waits for its uploads is answered when all together have used up their minutes.
func (d *driven) checkQuota(redis redisServer, unsigned string, good map[string]string) {
	d.t.Helper()
	sum := sha256.Sum256([]byte("key:one"))
	redis.command(fmt.Sprintf(`EVAL "redis.call('LPUSH', KEYS[1], ARGV[1]) return {ok = 'OK'}" 1 trigger-day{rl}:c:%s %d`, hex.EncodeToString(sum[:16]), time.Now().UnixMicro()))
	if rec := d.call(ask{operation: postTrigger, body: `{"session_id":"one-more"}`, headers: []string{"X-Api-Key: " + onceKey}}); rec.Code != http.StatusTooManyRequests {
		d.t.Errorf("over the quota: %d %s", rec.Code, rec.Body)
	}
	sum = sha256.Sum256([]byte(tenant.All))
	all := "trigger-day-work{rl}:c:" + hex.EncodeToString(sum[:16])
	redis.command(fmt.Sprintf(`EVAL "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return {ok = 'OK'}" 1 %s %d 60000000`, all, time.Now().UnixMilli()/(24*3_600_000/ratelimit.Slices)))
	if rec := d.call(ask{operation: postUploads, token: unsigned, body: good[postUploads]}); !strings.Contains(rec.Body.String(), "1000 minutes of work of all callers") {
		d.t.Errorf("over the minutes of all: %d %s", rec.Code, rec.Body)
	}
	redis.command(`EVAL "redis.call('DEL', KEYS[1]) return {ok = 'OK'}" 1 ` + all)
}

// checkStreams holds as many streams of a request as one may have open, and asks for another.
func (d *driven) checkStreams(token string) {
	t := d.t
	t.Helper()
	const most = 4 // of one request, as the document says
	for range most {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.base+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := d.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("stream: %s", resp.Status)
		}
	}
	if rec := d.call(ask{operation: "GET /events", token: token}); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("stream %d: %d %s", most+1, rec.Code, rec.Body)
	}
}

// frontKey is the API key that the deployed functions ask for, and onceKey one that may ask for one request a day.
const (
	frontKey = "splatworks_e2e"
	onceKey  = "splatworks_once"
)

var withKey = []string{"X-Api-Key: " + frontKey}

// startFront runs the trigger function as it is deployed, on the storage and the Redis at two URLs. It asks for a key, takes ten
// bytes, and has no account that signs for it.
func (b *backend) startFront(storage, redis string) (url string) {
	t := b.t
	t.Helper()
	path, err := functions()
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var inboxes []string
	for _, s := range pipeline.Stages() {
		inboxes = append(inboxes, string(s)+":inbox-"+string(s))
	}
	sum, once := sha256.Sum256([]byte(frontKey)), sha256.Sum256([]byte(onceKey))
	var log bytes.Buffer
	cmd := exec.Command(path)
	cmd.Stderr = &log
	cmd.Env = []string{"FUNCTION_TARGET=trigger", "PORT=" + strconv.Itoa(address.Port), "REDIS_URL=" + redis, "STORAGE_EMULATOR_HOST=" + storage,
		"PUBSUB_EMULATOR_HOST=127.0.0.1:1", "INBOX_BUCKETS=" + strings.Join(inboxes, ","), "ARTIFACTS_BUCKET=artifacts", "SOURCE_BUCKETS=sources",
		"SIGNER_ACCOUNT=nobody@example.com", "HTTPS_PROXY=http://127.0.0.1:1", // nothing is asked outside of this machine
		"API_KEYS=e2e:" + hex.EncodeToString(sum[:]) + ",one:" + hex.EncodeToString(once[:]), `API_KEY_LIMITS={"one":{"max_requests_day":1}}`, "MAX_UPLOAD_BYTES=10", "ALL_MINUTES_DAY=1000", "RATE_LIMIT_CALLER=1000000", "RATE_LIMIT_GLOBAL=1000000", "TMPDIR=" + os.TempDir()}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		for _, secret := range append(b.secrets, frontKey, onceKey) {
			if strings.Contains(log.String(), secret) {
				t.Error("a token, a key or the signature of a link is in the log of the functions")
			}
		}
		if t.Failed() {
			t.Logf("log of the functions:\n%s", log.String())
		}
	})
	url = "http://127.0.0.1:" + strconv.Itoa(address.Port)
	for {
		resp, err := http.Get(url + "/healthz")
		if err == nil {
			resp.Body.Close()
			return url
		}
		select {
		case <-ended:
			t.Fatal("the functions did not start")
		case <-time.After(20 * time.Millisecond): // polling a program that runs on its own
		}
	}
}

// gate leads to the storage until it is shut: then every call is answered with that status.
type gate struct {
	server *httptest.Server
	shut   atomic.Int32
}

func newGate(t *testing.T, storage string) *gate {
	t.Helper()
	u, err := url.Parse(storage)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	g := &gate{}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := int(g.shut.Load()); status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.server.Close)
	return g
}

// redisServer is the backend's.
type redisServer struct {
	t      *testing.T
	pid    int
	socket string
}

var redisTitle = regexp.MustCompile(`redis-server unixsocket:(\S+)`)

// redis finds the redis-server that the backend started, by /proc.
func (b *backend) redis() redisServer {
	b.t.Helper()
	r, ok := b.findRedis()
	if !ok {
		b.t.Fatal("the backend has no redis-server")
	}
	return r
}

func (b *backend) findRedis() (r redisServer, ok bool) {
	b.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Skip("no /proc to find the redis-server in")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		title, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		found := redisTitle.FindSubmatch(bytes.ReplaceAll(title, []byte{0}, []byte{' '}))
		stat, statErr := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ") // state, parent, ...
		fields := strings.Fields(rest)
		if err == nil && statErr == nil && found != nil && len(fields) > 1 && fields[1] == strconv.Itoa(b.cmd.Process.Pid) {
			return redisServer{b.t, pid, string(found[1])}, true
		}
	}
	return redisServer{}, false
}

func (r redisServer) url() string { return "unix://" + r.socket }

// command gives an order that is answered OK.
func (r redisServer) command(line string) {
	r.t.Helper()
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	answer := make([]byte, 5)
	if _, err = conn.Write([]byte(line + "\r\n")); err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil || string(answer) != "+OK\r\n" {
		r.t.Fatalf("%s: %q %v", line, answer, err)
	}
}

// pause stops the server as a machine that hangs does.
func (r redisServer) pause() (resume func()) {
	r.t.Helper()
	if err := syscall.Kill(r.pid, syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
	return func() { _ = syscall.Kill(r.pid, syscall.SIGCONT) }
}

// put stores an object through the storage's own API.
func (b *backend) put(storage, bucket, name, body string) {
	b.t.Helper()
	resp, err := http.Post(storage+"/upload/storage/v1/b/"+bucket+"/o?uploadType=media&name="+url.QueryEscape(name), "application/octet-stream", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("put %s: %s", name, resp.Status)
	}
}

// logged waits until the backend has logged what a pattern describes, and returns its first group.
func (b *backend) logged(pattern string) string {
	b.t.Helper()
	wanted := regexp.MustCompile(pattern)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if found := wanted.FindStringSubmatch(b.log()); found != nil {
			return found[1]
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("nothing like %s in the log", pattern)
		}
		time.Sleep(10 * time.Millisecond) // what was written is on its way through a pipe
	}
}
