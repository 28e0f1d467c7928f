package memory_test

import (
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/artifacts/storetest"
	"github.com/splatworks/splatworks/pipeline"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Fixture {
		s := memory.New()
		return storetest.Fixture{Store: s, Bucket: "bucket", Spoil: func(_ *testing.T, o pipeline.Object, body []byte, encoding string) { s.Spoil(o, body, encoding) }}
	})
}

func TestFinalizedHearsOfEachWriteOnce(t *testing.T) {
	s := memory.New()
	var heard []pipeline.Object
	s.Finalized = func(o pipeline.Object) {
		if got, err := s.Stat(t.Context(), o.Bucket, o.Name); err != nil || got != o {
			t.Errorf("notified of %v before it was visible: %v, %v", o, got, err)
		}
		heard = append(heard, o)
	}
	first, err := s.Put(t.Context(), "b", "n", strings.NewReader("x"), artifacts.PutOptions{DoesNotExist: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "b", "n", strings.NewReader("y"), artifacts.PutOptions{DoesNotExist: true}); err == nil {
		t.Fatal("second write of a DoesNotExist object succeeded")
	}
	if len(heard) != 1 || heard[0] != first {
		t.Fatalf("heard %v, want only %v", heard, first)
	}
}
