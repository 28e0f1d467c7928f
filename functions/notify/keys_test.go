package notify_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/functions/notify"
)

func TestKeysAreDrawnOnceAndCanBeReplaced(t *testing.T) {
	store := memory.New()
	first, err := notify.StoredKeys(store, "b", rand.Reader)(t.Context())
	if err != nil || len(first) != 1 || len(first[0]) != 32 {
		t.Fatal(first, err)
	}
	keys := notify.StoredKeys(store, "b", rand.Reader)
	again, err := keys(t.Context())
	if err != nil || !bytes.Equal(again[0], first[0]) {
		t.Fatal("instances differ", err)
	}
	put := func(body string) {
		t.Helper()
		if _, err := store.Put(t.Context(), "b", artifacts.WebhookKeysName, strings.NewReader(body), artifacts.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"keys":["bmV3IGtleSwgbmV3IGtleSwgbmV3IGtleQ==","b2xkIGtleSwgb2xkIGtleSwgb2xkIGtleQ=="]}`)
	if replaced, err := keys(t.Context()); err != nil || len(replaced) != 2 || string(replaced[0][:7]) != "new key" {
		t.Fatal(replaced, err)
	}
	for _, bad := range []string{`{"keys":[]}`, `{"keys":["c2hvcnQ="]}`, `{`} {
		put(bad)
		if got, err := keys(t.Context()); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}
