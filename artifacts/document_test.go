package artifacts_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/pipeline"
)

// A document is read to its end, with a limit: what is left of a longer one is not taken for it.
func TestDocumentsAreReadToTheirEnd(t *testing.T) {
	store := memory.New()
	o, err := artifacts.PutJSON(t.Context(), store, "b", "d.json", map[string]int{"a": 1}, artifacts.PutOptions{})
	if err != nil || o.ContentType != "application/json" {
		t.Fatal(o, err)
	}
	body := "{\n  \"a\": 1\n}"
	for name, c := range map[string]struct {
		stored string
		limit  int64
		want   error
	}{
		"whole":                {body, 100, nil},
		"as long as the limit": {body, int64(len(body)), nil},
		"longer":               {body, int64(len(body)) - 1, artifacts.ErrDamaged},
		"other bytes":          {strings.Replace(body, "1", "7", 1), 100, artifacts.ErrDamaged},
		"no JSON":              {strings.Repeat("x", len(body)), 100, artifacts.ErrDamaged},
		"something behind it":  {body + "x", 100, artifacts.ErrDamaged},
	} {
		store.Spoil(o, []byte(c.stored), "")
		var got map[string]int
		err := artifacts.GetJSON(t.Context(), store, o, &got, c.limit)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && got["a"] != 1 {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	if err := artifacts.GetJSON(t.Context(), store, pipeline.Object{Bucket: "b", Name: "none"}, new(any), 100); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("a document that is not there: %v", err)
	}
}
