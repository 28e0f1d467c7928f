package trigger_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

const mailed = `{"session_id":"s","email":"ada.lovelace@example.org"}`

// kept is the address that is kept for requests, by their id.
func (w *world) kept() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for o, err := range w.store.List(context.Background(), "artifacts", "webhooks/") {
		var target struct{ Address string }
		if err == nil {
			err = artifacts.GetJSON(context.Background(), w.store, o, &target, 1<<20)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		all[strings.Split(o.Name, "/")[1]] = target.Address
	}
	return all
}

func TestAddressIsKeptForTheMailAndNowhereElse(t *testing.T) {
	w := newWorld(t)
	w.fail("register", true)
	problem(t, w.call("POST", "/trigger-reconstruction", mailed), 503, "storage_unavailable")
	w.fail("register", false)
	w.fail("put", true) // of the record, after the address
	problem(t, w.call("POST", "/trigger-reconstruction", mailed), 503, "storage_unavailable")
	w.fail("put", false)
	if kept := w.kept(); len(kept) != 0 {
		t.Errorf("kept for submissions that failed: %v", kept)
	}
	for _, bad := range []string{"x", "ada.lovelace@example.org\r\nBcc: b@example.net", strings.Repeat("lovelace", 5000)} {
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s","email":"`+strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(bad)+`"}`)
		problem(t, rec, 400, "invalid_email")
	}
	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", mailed))
	if kept := w.kept(); len(kept) != 1 || kept[a.RequestID] != "ada.lovelace@example.org" {
		t.Errorf("kept %v", kept)
	}
	w.finish(a.RequestID)
	seen := w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken).Body.String() + w.log.String()
	for o, err := range w.store.List(t.Context(), "artifacts", "") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Name != artifacts.MailTargetName(a.RequestID) {
			seen += o.Name + w.content(o)
		}
	}
	if strings.Contains(strings.ToLower(seen), "lovelace") {
		t.Error("the address is in a document, an object or the log")
	}
}

// content is what an object holds.
func (w *world) content(o pipeline.Object) string {
	w.t.Helper()
	r, err := w.store.Open(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func TestDeploymentWithoutMails(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.Mails = nil })
	problem(t, w.call("POST", "/trigger-reconstruction", mailed), 400, "invalid_email")
	problem(t, w.call("POST", "/unsubscribe?token", ""), 404, "no_such_path")
	if d := decode[api.Deployment](t, w.call("GET", "/deployment", "")); d.Email {
		t.Errorf("%+v", d)
	}
	if d := decode[api.Deployment](t, newWorld(t).call("GET", "/deployment", "")); !d.Email || d.APIKeys {
		t.Errorf("%+v", d)
	}
}

// TestNobodyFloodsAnAddress: requests that name one address are limited, however many callers make them.
func TestNobodyFloodsAnAddress(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) {
		c.PerAddress = ratelimittest.NewMemory(ratelimit.Limit{Calls: 1, Window: time.Hour}, c.Now)
	})
	decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", mailed))
	problem(t, w.call("POST", "/trigger-reconstruction", strings.Replace(mailed, "ada", "Ada", 1)), 429, "rate_limited")
	decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", strings.NewReplacer("ada", "bob", `"s"`, `"t"`).Replace(mailed)))
}

func TestUnsubscribeNeedsTheButtonAndTheToken(t *testing.T) {
	w := newWorld(t)
	page := w.call("GET", "/unsubscribe?anything", "")
	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), `<form method="post">`) || strings.Contains(page.Body.String(), "anything") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	for _, rec := range []http.Header{page.Header(), w.call("POST", "/unsubscribe?token", "").Header()} {
		if csp := rec.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || rec.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v", rec)
		}
	}
	one := w.call("POST", "/unsubscribe?token", "List-Unsubscribe=One-Click", "Content-Type: application/x-www-form-urlencoded")
	if one.Code != http.StatusOK || !strings.Contains(one.Body.String(), "no further mails") {
		t.Errorf("%d %s", one.Code, one.Body)
	}
	if rec := w.call("POST", "/unsubscribe?forged", ""); rec.Code != http.StatusNotFound {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.fail("register", true)
	problem(t, w.call("POST", "/unsubscribe?token", ""), 503, "storage_unavailable")
	if strings.Contains(w.log.String(), "?token") {
		t.Error("the token is logged")
	}
	limited := newWorld(t, func(c *trigger.Config) {
		c.Changes = ratelimittest.NewMemory(ratelimit.Limit{Calls: 1, Window: time.Hour}, c.Now)
	})
	limited.call("POST", "/unsubscribe?forged", "")
	problem(t, limited.call("POST", "/unsubscribe?forged", ""), 429, "rate_limited")
}
