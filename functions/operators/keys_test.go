package operators_test

import (
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
)

type keyRow struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
	UsedAt    time.Time `json:"used_at"`
}

type keyRows struct {
	Asked bool     `json:"asked"`
	Keys  []keyRow `json:"keys"`
}

type addedKey struct {
	Secret string `json:"secret"`
	Key    keyRow `json:"key"`
}

// TestKeysOfOperators: a key is added, opens, is listed with its use, expires or is revoked; its secret is in one answer and nowhere else.
func TestKeysOfOperators(t *testing.T) {
	w := newWorld(t)
	if got := w.call("GET", "/keys", "").Body.String(); strings.TrimSpace(got) != `{"asked":false,"keys":[]}` {
		t.Error(got)
	}
	for body, code := range map[string]string{`{"name":"No Name"}`: "invalid_name", `{}`: "invalid_name", `{"name":"a/../b"}`: "invalid_name", `{"name":"app","scopes":["operate"]}`: "invalid_scopes",
		`{"name":"app","expires_in_s":-1}`: "invalid_expiry", `{"name":"app","expires_in_s":0.5}`: "invalid_expiry", `{"name":"app","expires_in_s":1e12}`: "invalid_expiry",
		`{"name":"app","hash":"x"}`: "invalid_body"} {
		w.refused("POST", "/keys", body, 400, code)
	}
	w.refused("POST", "/keys", strings.Repeat(" ", 70_000), 413, "body_too_large")
	forever := get[addedKey](w, "POST", "/keys", `{"name":"app"}`, 201)
	brief := get[addedKey](w, "POST", "/keys", `{"name":"app","scopes":["read","read"],"expires_in_s":60}`, 201)
	if strings.Join(forever.Key.Scopes, " ") != "submit read" || !forever.Key.ExpiresAt.IsZero() || strings.Join(brief.Key.Scopes, " ") != "read" || !brief.Key.ExpiresAt.Equal(w.time.Add(time.Minute)) {
		t.Errorf("%+v %+v", forever, brief)
	}
	ring := tenant.NewRing(nil, tenant.Register{Store: w.store, Bucket: "artifacts"}, w.now, w.service.Log)
	if caller, err := ring.Caller(t.Context(), brief.Secret, tenant.Read); err != nil || caller != "key:app" {
		t.Errorf("%s %v", caller, err)
	}
	used := w.time
	w.time = w.time.Add(time.Minute)
	rows := map[string]keyRow{}
	for _, k := range get[keyRows](w, "GET", "/keys", "", 200).Keys {
		rows[k.ID] = k
	}
	if k := rows[brief.Key.ID]; len(rows) != 2 || k.State != "expired" || !k.UsedAt.Equal(used) || rows[forever.Key.ID].State != "active" || !rows[forever.Key.ID].UsedAt.IsZero() {
		t.Errorf("%+v", rows)
	}
	w.refused("DELETE", "/keys/unknown", "", 404, "unknown_key")
	w.refused("DELETE", "/keys/"+forever.Secret, "", 404, "unknown_key")
	for range 2 {
		if k := get[keyRow](w, "DELETE", "/keys/"+forever.Key.ID, "", 200); k.State != "revoked" {
			t.Errorf("%+v", k)
		}
	}
	for _, secret := range []string{forever.Secret, brief.Secret} {
		if found := w.traceOf(secret); len(found) > 0 || strings.Contains(w.call("GET", "/keys", "").Body.String(), secret) {
			t.Errorf("the secret is in %v", found)
		}
	}
	w.put("artifacts", artifacts.KeyName("app", "broken"), "{")
	w.refused("GET", "/keys", "", 503, "unavailable")
	w.refused("POST", "/keys", `{"name":"app"}`, 503, "unavailable")
	w.refused("DELETE", "/keys/"+brief.Key.ID, "", 503, "unavailable")
}
