package tenant_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/internal/tenant"
)

func newKey(t testing.TB, name string) (secret string, k tenant.Key) {
	t.Helper()
	secret, k, err := tenant.New(name, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return secret, k
}

// TestEntriesThatAreNoKeys: a key itself in place of its hash is refused, and not repeated in the error.
func TestEntriesThatAreNoKeys(t *testing.T) {
	secret, k := newKey(t, "app")
	entry := k.Entry()
	for _, item := range []string{secret, "app:" + secret, "app", ":", "app:", strings.ToUpper(entry[:3]) + entry[3:], entry + "00", entry[:len(entry)-2], "a b:" + entry[4:]} {
		_, err := tenant.ParseEntries([]string{item})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", item, err)
		}
	}
	if _, _, err := tenant.New("No Name", rand.Reader); err == nil {
		t.Error("a strange name was taken")
	}
}

// FuzzKeys: no list of keys and no header leads to a fault, and none but a key of the list opens.
func FuzzKeys(f *testing.F) {
	secret, k := newKey(f, "app")
	f.Add(k.Entry(), secret)
	f.Add("app:", "")
	f.Add(k.Entry()+","+k.Entry(), "x")
	f.Fuzz(func(t *testing.T, list, sent string) {
		keys, err := tenant.ParseEntries(strings.Split(list, ","))
		if err != nil {
			return
		}
		w := newWorld(t, keys...)
		caller, err := w.ring.Caller(t.Context(), sent, tenant.Submit)
		if err == nil && !(sent == secret && strings.Contains(strings.ToLower(list), k.Hash) && strings.HasPrefix(caller, "key:")) {
			t.Fatalf("%q opened as %s", sent, caller)
		}
	})
}
