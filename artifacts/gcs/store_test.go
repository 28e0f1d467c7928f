package gcs_test

import (
	"net/http/httptest"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/artifacts/storetest"
	emulator "github.com/splatworks/splatworks/infra/local/gcs"
)

// emulated starts an emulator over HTTP with one bucket, and a store that talks to it.
func emulated(t *testing.T, o gcs.Options) (*gcs.Store, *emulator.Server, string) {
	t.Helper()
	s, err := emulator.Open(t.TempDir(), emulator.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket(t.Context(), "bucket", nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o.Endpoint = server.URL
	store, err := gcs.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store, s, server.URL
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (artifacts.Store, string) {
		s, _, _ := emulated(t, gcs.Options{ChunkBytes: 256 << 10, PageSize: 3})
		return s, "bucket"
	})
}
