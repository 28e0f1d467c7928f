package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/serve/servetest"
	"github.com/splatworks/splatworks/pipeline"
)

// driven is an API that runs somewhere, and the document that it must keep to.
type driven struct {
	t        *testing.T
	contract *servetest.Contract
	client   *http.Client
	base     string
	path     *strings.Replacer   // what stands for the parameters of a path
	optional map[string][]string // headers that an operation's answers may lack
}

// ask is one call of an operation ("GET /status/{id}").
type ask struct {
	operation string
	query     string // or the whole path, when it begins with a slash
	token     string
	body      string
	headers   []string // "Name: value"
}

// send makes the call. It may be used from several goroutines.
func (d *driven) send(a ask) (*httptest.ResponseRecorder, error) {
	method, path, _ := strings.Cut(a.operation, " ")
	path = d.path.Replace(path)
	if strings.HasPrefix(a.query, "/") {
		path, a.query = a.query, ""
	}
	r, err := http.NewRequest(method, d.base+path+a.query, strings.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := d.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	rec := httptest.NewRecorder()
	for name, values := range resp.Header {
		rec.Header()[name] = values
	}
	rec.WriteHeader(resp.StatusCode)
	_, err = io.Copy(rec, resp.Body)
	return rec, err
}

// call makes one call and holds the answer to the document.
func (d *driven) call(a ask) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.together(a)[0]
}

// together makes calls at once.
func (d *driven) together(asks ...ask) []*httptest.ResponseRecorder {
	d.t.Helper()
	return d.begin(asks...)()
}

// begin makes calls at once, since a call may take long to be abandoned. finish waits for the answers.
func (d *driven) begin(asks ...ask) (finish func() []*httptest.ResponseRecorder) {
	answers, errs := make([]*httptest.ResponseRecorder, len(asks)), make([]error, len(asks))
	var sent sync.WaitGroup
	for i, a := range asks {
		sent.Go(func() { answers[i], errs[i] = d.send(a) })
	}
	return func() []*httptest.ResponseRecorder {
		d.t.Helper()
		sent.Wait()
		for i, a := range asks {
			if errs[i] != nil {
				d.t.Fatalf("%s: %v", a.operation, errs[i])
			}
			d.contract.Check(d.t, a.operation, answers[i], d.optional[a.operation]...)
		}
		return answers
	}
}

// operations lists what the document describes, with the codes of each status.
func (d *driven) operations() map[string]func(status string) []any {
	all := map[string]func(string) []any{}
	for path, methods := range d.contract.Doc()["paths"].(map[string]any) {
		for method, described := range methods.(map[string]any) {
			all[strings.ToUpper(method)+" "+path] = func(status string) []any {
				list, _ := servetest.At(described, "responses", status, "content", "application/problem+json", "schema", "properties", "code", "enum").([]any)
				return list
			}
		}
	}
	return all
}

// complete fails for every answer that is documented and was not given.
func (d *driven) complete() {
	d.t.Helper()
	for _, answer := range d.contract.Missing() {
		d.t.Errorf("documented but not given by a running backend: %s", answer)
	}
}

func decoded[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != status {
		t.Fatalf("%d %s, want %d", rec.Code, rec.Body, status)
	}
	return v
}

const (
	callsAMinute = 22 // of the one caller

	postTrigger   = "POST /trigger-reconstruction"
	postUploads   = "POST /uploads"
	postComplete  = "POST /uploads/complete"
	postShares    = "POST /shares"
	postEstimate  = "POST /estimate"
	getStatusByID = "GET /status/{request_id}"
	getShares     = "GET /shares"
	getShared     = "GET /shared"
	deleteShare   = "DELETE /shares/{share_id}"
	getNotes      = "GET /notes"
	putNotes      = "PUT /notes"
	photo         = "this is no photo"
)

// checkContract drives a running backend from the two documents that it serves: every operation, every documented answer.
// done is a request that is COMPLETED. It uses up the minute's calls.
func (b *backend) checkContract(done accepted) {
	t := b.t
	t.Helper()
	public := b.driven(done)
	operators := b.drivenByOperators(done)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()

	good := map[string]string{postTrigger: `{"session_id":"contract","callback_url":"` + hook.URL + `"}`,
		postUploads: `{"files":[{"name":"1.jpg"}]}`, postComplete: `{"names":["1.jpg"]}`, postShares: `{}`, putNotes: `{"notes":[]}`, postEstimate: `{"images":12}`}
	public.refusals(done.CallbackToken, good)
	triggered := func(body string, headers ...string) accepted {
		t.Helper()
		a := decoded[accepted](t, public.call(ask{operation: postTrigger, body: body, headers: headers}), http.StatusAccepted)
		b.secrets = append(b.secrets, a.CallbackToken)
		return a
	}
	for _, bad := range []string{`{"session_id":"/"}`, `{"session_id":"a","priority":-1}`, `{"session_id":"a","options":{"preset":"x"}}`, `{"session_id":"a","content_type":"x"}`,
		`{"session_id":"a","uploads":"x"}`, `{"session_id":"a","source":"gs://none/x"}`, `{"session_id":"a","callback_url":"ftp://x"}`, `{"session_id":"a","email":"ada@example.org"}`} {
		public.call(ask{operation: postTrigger, body: bad})
	}
	public.call(ask{operation: "GET /deployment"})
	public.call(ask{operation: postTrigger, body: `{"session_id":"a"}`, headers: []string{"Idempotency-Key: \u00e9"}})
	for _, question := range []string{`{"images":1}`, `{"video_s":9,"options":{"preset":"x"}}`, `{"video_s":9}`} {
		public.call(ask{operation: postEstimate, body: question})
	}
	fresh := triggered(good[postTrigger], "Idempotency-Key: contract-0123456789")
	public.call(ask{operation: postTrigger, body: good[postTrigger], headers: []string{"Idempotency-Key: contract-0123456789"}})
	public.call(ask{operation: postTrigger, body: `{"session_id":"other"}`, headers: []string{"Idempotency-Key: contract-0123456789"}})
	public.call(ask{operation: postTrigger, body: good[postTrigger]})
	several, unsigned, flood := triggered(`{"session_id":"several","uploads":"several"}`).CallbackToken,
		triggered(`{"session_id":"unsigned-files","uploads":"several"}`).CallbackToken, triggered(`{"session_id":"flood","uploads":"several"}`).CallbackToken

	public.call(ask{operation: postUploads, token: several, body: `{"files":[]}`})
	public.call(ask{operation: postComplete, token: several, body: good[postComplete]})
	links := decoded[struct{ Uploads []accepted }](t, public.call(ask{operation: postUploads, token: several, body: good[postUploads]}), http.StatusOK)
	if len(links.Uploads) != 1 {
		t.Fatal(links)
	}
	share := public.checkShares(done.CallbackToken, fresh.CallbackToken)
	b.checkOutages(public, operators, done, share, several, unsigned, flood, func() { b.upload(links.Uploads[0], []byte(photo)) }, good)

	public.call(ask{operation: postComplete, token: several, body: good[postComplete]})
	public.call(ask{operation: postUploads, token: done.CallbackToken, body: good[postUploads]})
	public.call(ask{operation: postComplete, token: done.CallbackToken})
	public.call(ask{operation: "GET /events", token: done.CallbackToken})
	public.call(ask{operation: "GET /events", token: done.CallbackToken, headers: []string{"Last-Event-ID: ended-x"}})
	public.call(ask{operation: "GET /result/{kind}", token: done.CallbackToken})
	public.call(ask{operation: "GET /result/{kind}", query: "/result/none", token: done.CallbackToken})
	public.call(ask{operation: "GET /result/{kind}", token: fresh.CallbackToken})
	public.call(ask{operation: "POST /cancel", token: fresh.CallbackToken})
	public.call(ask{operation: "POST /cancel", token: done.CallbackToken})
	for range callsAMinute + 1 {
		if public.call(ask{operation: postTrigger, body: good[postTrigger]}).Code == http.StatusTooManyRequests {
			break
		}
	}
	b.checkOperators(operators, done, fresh.RequestID)
	b.checkKeys(operators)
	public.complete()
	operators.complete()
}

// refusals makes the calls that any operation refuses in the same way.
func (d *driven) refusals(token string, good map[string]string) {
	d.t.Helper()
	for operation, codes := range d.operations() {
		if slices.Contains(codes("401"), any("token_missing")) {
			d.call(ask{operation: operation, body: good[operation]})
			d.call(ask{operation: operation, token: "unknown", body: good[operation]})
		}
		if slices.Contains(codes("400"), any("invalid_json")) {
			for _, bad := range []string{`{`, `{"x":1}`, `{"session_id":"` + strings.Repeat("x", 600<<10) + `"}`} {
				d.call(ask{operation: operation, token: token, body: bad})
			}
			d.call(ask{operation: operation, token: token, body: good[operation], headers: []string{"Content-Type: text/plain"}})
		}
		if slices.Contains(codes("400"), any("invalid_wait")) {
			tag := d.call(ask{operation: operation, token: token}).Header().Get("ETag")
			d.call(ask{operation: operation, token: token, headers: []string{"If-None-Match: " + tag}})
			d.call(ask{operation: operation, token: token, query: "?wait=x"})
		}
		if slices.Contains(codes("400"), any("invalid_body")) { // the operators' API
			d.call(ask{operation: operation, body: `{`})
			d.call(ask{operation: operation, body: strings.Repeat(" ", 70_000)})
		}
		if strings.HasSuffix(operation, "/{id}") {
			_, path, _ := strings.Cut(operation, " ")
			d.call(ask{operation: operation, query: strings.ReplaceAll(path, "{id}", "unknown"), body: good[operation]})
		}
	}
}

// checkShares gets the answers about shares and notes of a COMPLETED request, and of one that waits, and returns the token of a share.
func (d *driven) checkShares(done, waiting string) (token string) {
	type share struct {
		ID    string `json:"share_id"`
		Token string `json:"share_token"`
	}
	d.t.Helper()
	d.call(ask{operation: postShares, token: done, body: `{"expires_in_s":-1}`})
	d.call(ask{operation: postShares, token: waiting})
	brief := decoded[share](d.t, d.call(ask{operation: postShares, token: done, body: `{"expires_in_s":1}`}), http.StatusCreated)
	revoked := decoded[share](d.t, d.call(ask{operation: postShares, token: done}), http.StatusCreated)
	kept := decoded[share](d.t, d.call(ask{operation: postShares, token: done}), http.StatusCreated)
	d.call(ask{operation: getShares, token: done})
	d.call(ask{operation: getShared, token: kept.Token})
	for d.call(ask{operation: deleteShare, token: done, query: "/shares/" + revoked.ID}).Code == http.StatusNoContent {
	}
	for d.call(ask{operation: postShares, token: done}).Code == http.StatusCreated {
	}
	d.call(ask{operation: putNotes, token: done, body: `{"notes":[{"position":[0,0,0],"text":""}]}`})
	d.call(ask{operation: putNotes, token: waiting, body: `{"notes":[]}`})
	for range 2 { // the second has not read the first
		d.call(ask{operation: putNotes, token: done, body: `{"notes":[{"position":[0,0,0.5],"text":"here"}]}`})
	}
	d.call(ask{operation: getNotes, token: done})
	for d.call(ask{operation: getShared, token: brief.Token}).Code == http.StatusOK {
		time.Sleep(50 * time.Millisecond) // until its second is over
	}
	return kept.Token
}

// checkOperators gets every answer of the operators' API. completed is COMPLETED, canceled was CANCELED before its upload and has a
// webhook.
func (b *backend) checkOperators(d *driven, completed accepted, canceled string) {
	t := b.t
	t.Helper()
	done := completed.RequestID
	d.refusals("", map[string]string{"PUT /status/{id}": `{"status":"CANCELED"}`})
	d.call(ask{operation: "GET /queue"})
	d.call(ask{operation: "GET /config"})
	d.call(ask{operation: "GET /metrics"})
	for _, query := range []string{"", "?by=request", "?by=x", "?from=yesterday"} {
		d.call(ask{operation: "GET /usage", query: query})
	}
	for _, query := range []string{"", "?stage=train&limit=0", "?stage=train"} {
		d.call(ask{operation: "GET /next", query: query})
	}
	for _, query := range []string{"", "?status=x", "?stage=x", "?order=x", "?order=newest&search=a", "?cursor=x", "?limit=0"} {
		d.call(ask{operation: "GET /requests", query: query})
	}
	of := func(operation, id string) string {
		_, path, _ := strings.Cut(operation, " ")
		return strings.ReplaceAll(path, "{id}", id)
	}
	retry := func(id, body string) *httptest.ResponseRecorder {
		t.Helper()
		return d.call(ask{operation: "POST /retry/{id}", query: of("POST /retry/{id}", id), body: body})
	}
	for _, bad := range []string{`{"stage":"cook"}`, `{"stage":"train","options":{"preset":"x"}}`, `{"stage":"train","priority":-1}`, `{"stage":"train","deadline_s":-1}`,
		`{"stage":"train","session_id":"/"}`, `{"stage":"train"}`} {
		retry(done, bad)
	}
	retry(canceled, `{"stage":"filter"}`)
	again := decoded[accepted](t, retry(done, `{"stage":"train","session_id":"again"}`), http.StatusAccepted)
	b.secrets = append(b.secrets, again.CallbackToken)
	retry(again.RequestID, `{"stage":"train"}`) // it trains for some seconds

	input := func(id string, stage pipeline.Stage, object string) string {
		return fmt.Sprintf(`{"request_id":%q,"stage":%q,"input":{"bucket":"inbox-%s","name":"%s/%s"}}`, id, stage, stage, id, object)
	}
	const stranger = "00000000000000000000000000" // no request's id
	b.put(b.storageURL(), "inbox-filter", stranger+"/input", photo)
	for _, body := range []string{`{}`, `{"stage":"filter"}`, input(done, pipeline.Filter, "none"), input(stranger, pipeline.Filter, "input"), input(done, pipeline.Filter, "input"),
		input(again.RequestID, pipeline.Train, "depth.manifest.json")} {
		d.call(ask{operation: "POST /enqueue", body: body})
	}
	for _, id := range []string{again.RequestID, done, canceled} {
		d.call(ask{operation: "POST /redeliver/{id}", query: of("POST /redeliver/{id}", id)})
	}
	set := "PUT /status/{id}"
	d.call(ask{operation: set, query: of(set, done), body: `{"status":"QUEUED"}`})
	d.call(ask{operation: set, query: of(set, done), body: `{"status":"CANCELED"}`})
	d.call(ask{operation: set, query: of(set, again.RequestID), body: `{"status":"CANCELED"}`})
	d.call(ask{operation: "GET /status/{id}"})
	d.call(ask{operation: "GET /trace/{id}"})
	d.call(ask{operation: "GET /objects/{id}"})
	for _, bad := range []string{`{"older_than_s":1}`, `{"request_id":"x"}`, `{"cancel":true,"older_than_s":1e9}`, `{"keys":true}`} {
		d.call(ask{operation: "POST /purge", body: bad})
	}
	d.call(ask{operation: "POST /purge", body: `{"older_than_s":1e9,"dry_run":true}`})
	d.call(ask{operation: "POST /purge", body: `{"older_than_s":1e9}`})
	d.call(ask{operation: "POST /rebuild"})
	d.call(ask{operation: "POST /reap"})
}

// checkKeys gets every answer about API keys. The last ones are those of a storage that holds something else in a key's place.
func (b *backend) checkKeys(d *driven) {
	b.t.Helper()
	for _, bad := range []string{`{"name":"/"}`, `{"name":"app","scopes":["all"]}`, `{"name":"app","expires_in_s":-1}`} {
		d.call(ask{operation: "POST /keys", body: bad})
	}
	added := decoded[struct {
		Secret string
		Key    struct{ ID string }
	}](b.t, d.call(ask{operation: "POST /keys", body: `{"name":"app"}`}), http.StatusCreated)
	b.secrets = append(b.secrets, added.Secret)
	d.call(ask{operation: "GET /keys"})
	revoke := ask{operation: "DELETE /keys/{id}", query: "/keys/" + added.Key.ID}
	d.call(revoke)
	b.put(b.storageURL(), "artifacts", "keys/app/broken.json", "{")
	for _, a := range []ask{revoke, {operation: "GET /keys"}, {operation: "POST /keys", body: `{"name":"app"}`}} {
		d.call(a)
	}
}

// driven is the request API by the document that it serves.
func (b *backend) driven(done accepted) *driven {
	b.t.Helper()
	d := &driven{t: b.t, base: b.url, path: strings.NewReplacer("{request_id}", done.RequestID, "{kind}", "splat", "{share_id}", "unknown"),
		client:   &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		optional: map[string][]string{postTrigger: {"Idempotency-Replayed"}, "GET /status": {"Retry-After"}}}
	d.read()
	return d
}

// drivenByOperators is the operators' API by the document that it serves.
func (b *backend) drivenByOperators(done accepted) *driven {
	b.t.Helper()
	socket := b.logged(`"unix_socket":"([^"]+)"`)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	d := &driven{t: b.t, base: "http://operators", path: strings.NewReplacer("{id}", done.RequestID), client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
	d.read()
	return d
}

// read fetches the document.
func (d *driven) read() {
	d.t.Helper()
	resp, err := d.client.Get(d.base + "/openapi.json")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %v", resp.Status, err)
	}
	if d.contract, err = servetest.New(body); err != nil {
		d.t.Fatal(err)
	}
}
