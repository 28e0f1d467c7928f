package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

func listByNameUnderPrefix(t *testing.T, f fixture) {
	all := []string{"a", "a/", "a/b", "a/b/c", "a0", "b/1", "b/10", "b/2", "é", "日本"}
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, name := range shuffled {
		f.put(t, name, name)
	}
	for prefix, want := range map[string][]string{
		"": all, "a": all[:5], "a/": all[1:4], "b/1": all[5:7], "é": {"é"}, "nothing": nil, "b/1/": nil,
	} {
		if got := f.names(t, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q: %q, want %q", prefix, got, want)
		}
	}
}

func listStopsWhenAsked(t *testing.T, f fixture) {
	for i := range 5 {
		f.put(t, fmt.Sprintf("n%d", i), "")
	}
	seen := 0
	for _, err := range f.List(t.Context(), f.bucket, "n") {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Errorf("saw %d objects, want 2", seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for o, err := range f.List(ctx, f.bucket, "n") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("list with a canceled context yields %v, %v; want context.Canceled", o, err)
		}
		return
	}
	t.Error("list with a canceled context ended without an error")
}

func deleteTheGenerationNamed(t *testing.T, f fixture) {
	first := f.put(t, "n", "first")
	second := f.put(t, "n", "second")
	if err := f.Delete(t.Context(), first); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("delete of a generation that was replaced: %v; want ErrNotFound", err)
	}
	if got := f.read(t, second); got != "second" {
		t.Errorf("after it the object reads %q", got)
	}
	if err := f.Delete(t.Context(), second); err != nil {
		t.Errorf("delete: %v", err)
	}
	f.absent(t, "n")
	if err := f.Delete(t.Context(), second); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("second delete: %v; want ErrNotFound", err)
	}
	f.put(t, "n", "third")
	if err := f.Delete(t.Context(), pipeline.Object{Bucket: f.bucket, Name: "n"}); err != nil {
		t.Errorf("delete of the newest generation: %v", err)
	}
	f.absent(t, "n")
}

// oddNames are legal names that careless code turns into paths, queries or patterns.
var oddNames = []string{
	"dir", "dir/", "dir/child", "/leading", "double//slash", "../../x", "a/../b", "a/./b", "...", "trailing.",
	"space name", "tab\tname", "plus+name", "percent%name", "percent%2Fname", "quest?name", "hash#name", "amp&name=1",
	"quote\"name", "apostrophe'name", "back\\slash", "colon:name", "semi;name", "star*[x]{y}", "comma,name", "at@name",
	"tilde~name", "pipe|<name>", "$dollar^`", "é", "e\u0301", "日本語/映像.mp4", "emoji😀", "CON", "nul",
	strings.Repeat("n", 1024), strings.Repeat("é", 512), strings.Repeat("seg/", 256),
}

func namesAreOpaque(t *testing.T, f fixture) {
	for _, name := range oddNames {
		if o := f.put(t, name, "body of "+name); o.Name != name {
			t.Errorf("put %q wrote %q", name, o.Name)
		}
	}
	for _, name := range oddNames {
		o, err := f.Stat(t.Context(), f.bucket, name)
		if err != nil || o.Name != name {
			t.Errorf("stat %q: %v, %v", name, o, err)
			continue
		}
		if got := f.read(t, o); got != "body of "+name {
			t.Errorf("%q reads %q", name, got)
		}
	}
	want := slices.Sorted(slices.Values(oddNames))
	if got := f.names(t, ""); !slices.Equal(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
	for _, name := range oddNames {
		if err := f.Delete(t.Context(), pipeline.Object{Bucket: f.bucket, Name: name}); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	if got := f.names(t, ""); len(got) != 0 {
		t.Errorf("left after deleting all: %q", got)
	}
}

func badNamesAreRefused(t *testing.T, f fixture) {
	for _, name := range []string{"", strings.Repeat("n", 1025), "bad\xffutf8"} {
		o, err := f.Put(t.Context(), f.bucket, name, strings.NewReader("x"), artifacts.PutOptions{})
		if err == nil {
			t.Errorf("put %.20q succeeded: %v", name, o)
		}
	}
	if got := f.names(t, ""); len(got) != 0 {
		t.Errorf("refused names left %q", got)
	}
}
