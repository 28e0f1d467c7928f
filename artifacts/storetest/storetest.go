// Package storetest is the contract of artifacts.Store as a suite of tests. Every store runs it: the one in memory, the
// one in Cloud Storage against the local emulator, and, by hand, against a real bucket.
package storetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Large is the size of the suite's largest object. A store that uploads in chunks should be given chunks well below it.
const Large = 1<<20 + 12345

// Fixture is a store to be tested.
type Fixture struct {
	artifacts.Store
	Bucket string // exists and is empty
	// Spoil replaces the stored bytes of an object, but not its size and checksum. When encoding is not empty it sets that as
	// the object's content encoding instead, which a client can do that uploads by a signed link.
	Spoil func(t *testing.T, o pipeline.Object, body []byte, encoding string)
}

// Run runs the suite. open is called once per test.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		test func(*testing.T, fixture)
	}{
		{"PutDescribesWhatItWrote", putDescribesWhatItWrote},
		{"OverwriteMakesNewGeneration", overwriteMakesNewGeneration},
		{"DoesNotExist", doesNotExist},
		{"DoesNotExistHasOneWinner", doesNotExistHasOneWinner},
		{"FailedReaderLeavesNothing", failedReaderLeavesNothing},
		{"CanceledPutLeavesNothing", canceledPutLeavesNothing},
		{"MissingIsErrNotFound", missingIsErrNotFound},
		{"OpenReadsTheGenerationNamed", openReadsTheGenerationNamed},
		{"OverwriteWhileReading", overwriteWhileReading},
		{"CloseBeforeTheEnd", closeBeforeTheEnd},
		{"ReadAt", readAt},
		{"DamageIsNoticedAtTheEnd", damageIsNoticedAtTheEnd},
		{"EncodedObjectsAreRefused", encodedObjectsAreRefused},
		{"CopyKeepsBytes", copyKeepsBytes},
		{"CopyIsRepeated", copyIsRepeated},
		{"CopyOfAGenerationThatIsGone", copyOfAGenerationThatIsGone},
		{"ListByNameUnderPrefix", listByNameUnderPrefix},
		{"ListStopsWhenAsked", listStopsWhenAsked},
		{"DeleteTheGenerationNamed", deleteTheGenerationNamed},
		{"NamesAreOpaque", namesAreOpaque},
		{"BadNamesAreRefused", badNamesAreRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			c.test(t, fixture{f.Store, f.Bucket, f.Spoil})
		})
	}
}

type fixture struct {
	artifacts.Store
	bucket string
	spoil  func(t *testing.T, o pipeline.Object, body []byte, encoding string)
}

func (f fixture) put(t *testing.T, name, body string) pipeline.Object {
	t.Helper()
	o, err := f.Put(t.Context(), f.bucket, name, strings.NewReader(body), artifacts.PutOptions{ContentType: "text/plain"})
	if err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
	return o
}

func (f fixture) read(t *testing.T, o pipeline.Object) string {
	t.Helper()
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open %v: %v", o, err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %v: %v", o, err)
	}
	return string(body)
}

func (f fixture) names(t *testing.T, prefix string) []string {
	t.Helper()
	var names []string
	for o, err := range f.List(t.Context(), f.bucket, prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		names = append(names, o.Name)
	}
	return names
}

// absent fails unless the object is nowhere to be seen.
func (f fixture) absent(t *testing.T, name string) {
	t.Helper()
	if o, err := f.Stat(t.Context(), f.bucket, name); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("stat %q: %v, %v; want ErrNotFound", name, o, err)
	}
	if names := f.names(t, ""); slices.Contains(names, name) {
		t.Errorf("%q is listed: %q", name, names)
	}
}

func checksum(body string) uint32 {
	return crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
}

func random(n int) string {
	body := make([]byte, n)
	stream := rand.NewChaCha8([32]byte{1})
	_, _ = stream.Read(body) // never fails
	return string(body)
}

func putDescribesWhatItWrote(t *testing.T, f fixture) {
	for name, body := range map[string]string{
		"empty": "", "small": "hello", "large": random(Large), "chunks": random(1 << 20),
	} {
		o, err := f.Put(t.Context(), f.bucket, name, iotest.OneByteReader(bytes.NewBufferString(body)),
			artifacts.PutOptions{ContentType: "application/x-tar"})
		if err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
		want := pipeline.Object{Bucket: f.bucket, Name: name, Generation: o.Generation, Size: int64(len(body)),
			CRC32C: checksum(body), ContentType: "application/x-tar"}
		if o != want || o.Generation <= 0 {
			t.Errorf("put %q returned %+v, want %+v with a generation", name, o, want)
		}
		if got, err := f.Stat(t.Context(), f.bucket, name); err != nil || got != want {
			t.Errorf("stat %q: %+v, %v; want %+v", name, got, err, want)
		}
		if f.read(t, o) != body {
			t.Errorf("%q reads differently from what was put", name)
		}
		for listed, err := range f.List(t.Context(), f.bucket, name) {
			if err != nil || listed != want {
				t.Errorf("list %q: %+v, %v; want %+v", name, listed, err, want)
			}
		}
	}
}

func overwriteMakesNewGeneration(t *testing.T, f fixture) {
	first := f.put(t, "n", "first")
	second := f.put(t, "n", "second")
	if second.Generation <= first.Generation {
		t.Errorf("generations do not grow: %d, then %d", first.Generation, second.Generation)
	}
	if got, err := f.Stat(t.Context(), f.bucket, "n"); err != nil || got != second {
		t.Errorf("stat: %+v, %v; want %+v", got, err, second)
	}
	if names := f.names(t, ""); !slices.Equal(names, []string{"n"}) {
		t.Errorf("list: %q; want the newest generation only", names)
	}
	if err := f.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if third := f.put(t, "n", "third"); third.Generation <= second.Generation {
		t.Errorf("generations do not grow over a deletion: %d, then %d", second.Generation, third.Generation)
	}
}

func doesNotExist(t *testing.T, f fixture) {
	once := artifacts.PutOptions{ContentType: "application/json", DoesNotExist: true}
	first, err := f.Put(t.Context(), f.bucket, "m", strings.NewReader("first"), once)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"second", random(Large)} {
		if o, err := f.Put(t.Context(), f.bucket, "m", strings.NewReader(body), once); !errors.Is(err, artifacts.ErrExists) {
			t.Errorf("second put of %d bytes: %v, %v; want ErrExists", len(body), o, err)
		}
	}
	if got := f.read(t, first); got != "first" {
		t.Errorf("the object now reads %q", got)
	}
	if err := f.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(t.Context(), f.bucket, "m", strings.NewReader("again"), once); err != nil {
		t.Errorf("put after the object was deleted: %v", err)
	}
}

func doesNotExistHasOneWinner(t *testing.T, f fixture) {
	const writers = 8
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		won   []pipeline.Object
		start = make(chan struct{})
	)
	for i := range writers {
		wg.Go(func() {
			<-start
			o, err := f.Put(t.Context(), f.bucket, "race", strings.NewReader(fmt.Sprint(i)), artifacts.PutOptions{DoesNotExist: true})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, o)
			} else if !errors.Is(err, artifacts.ErrExists) {
				t.Errorf("writer %d: %v; want ErrExists", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of %d writers believe they wrote it: %v", len(won), writers, won)
	}
	if got, err := f.Stat(t.Context(), f.bucket, "race"); err != nil || got.Generation != won[0].Generation {
		t.Errorf("the object is %+v, %v; the winner wrote %+v", got, err, won[0])
	}
}

func failedReaderLeavesNothing(t *testing.T, f fixture) {
	broken := errors.New("the disk went away")
	for _, n := range []int{0, 10, Large} {
		r := io.MultiReader(strings.NewReader(random(n)), iotest.ErrReader(broken))
		name := fmt.Sprintf("broken-%d", n)
		if o, err := f.Put(t.Context(), f.bucket, name, r, artifacts.PutOptions{}); !errors.Is(err, broken) {
			t.Errorf("put of a reader that fails after %d bytes: %v, %v; want its error", n, o, err)
		}
		f.absent(t, name)
	}
	kept := f.put(t, "kept", "as it was")
	r := io.MultiReader(strings.NewReader("not"), iotest.ErrReader(broken))
	if _, err := f.Put(t.Context(), f.bucket, "kept", r, artifacts.PutOptions{}); !errors.Is(err, broken) {
		t.Errorf("overwriting put: %v; want the reader's error", err)
	}
	if got := f.read(t, pipeline.Object{Bucket: f.bucket, Name: "kept"}); got != "as it was" {
		t.Errorf("a failed overwrite of %v left %q", kept, got)
	}
}

func canceledPutLeavesNothing(t *testing.T, f fixture) {
	for _, n := range []int{0, Large} {
		ctx, cancel := context.WithCancel(t.Context())
		last := readFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF })
		r := io.MultiReader(strings.NewReader(random(n)), last)
		name := fmt.Sprintf("canceled-%d", n)
		if o, err := f.Put(ctx, f.bucket, name, r, artifacts.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("put canceled after %d bytes: %v, %v; want context.Canceled", n, o, err)
		}
		cancel()
		f.absent(t, name)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func missingIsErrNotFound(t *testing.T, f fixture) {
	missing := pipeline.Object{Bucket: f.bucket, Name: "no/such object"}
	f.absent(t, missing.Name)
	if r, err := f.Open(t.Context(), missing); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("open: %v, %v; want ErrNotFound", r, err)
	}
	if err := f.Delete(t.Context(), missing); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("delete: %v; want ErrNotFound", err)
	}
}

func openReadsTheGenerationNamed(t *testing.T, f fixture) {
	first := f.put(t, "n", "first")
	if got := f.read(t, first); got != "first" {
		t.Errorf("generation %d reads %q", first.Generation, got)
	}
	second := f.put(t, "n", "second")
	if r, err := f.Open(t.Context(), first); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("open of a generation that was replaced: %v, %v; want ErrNotFound", r, err)
	}
	if got := f.read(t, second); got != "second" {
		t.Errorf("generation %d reads %q", second.Generation, got)
	}
	if got := f.read(t, pipeline.Object{Bucket: f.bucket, Name: "n"}); got != "second" {
		t.Errorf("the newest generation reads %q", got)
	}
}

func overwriteWhileReading(t *testing.T, f fixture) {
	old, replacement := random(Large), strings.Repeat("x", Large)
	r, err := f.Open(t.Context(), f.put(t, "n", old))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	f.put(t, "n", replacement)
	rest, err := io.ReadAll(r)
	if err == nil && string(head)+string(rest) != old {
		t.Error("a reader mixed two generations without an error")
	}
}

func closeBeforeTheEnd(t *testing.T, f fixture) {
	o := f.put(t, "n", random(Large))
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close after ten bytes: %v", err)
	}
}

// readAt: a store that can read from the middle returns what is there, of the generation named, in any order.
func readAt(t *testing.T, f fixture) {
	store, ok := f.Store.(artifacts.Ranger)
	if !ok {
		t.Skip("this store reads from the beginning only")
	}
	body := random(Large)
	o := f.put(t, "n", body)
	r := artifacts.NewReaderAt(t.Context(), store, o)
	defer r.Close()
	for _, c := range []struct{ at, n int }{{Large - 22, 22}, {0, 10}, {10, 4096}, {5000, 1}, {4000, 20}, {Large - 1, 1}, {0, Large}, {Large / 2, 100}} {
		p := make([]byte, c.n)
		if n, err := r.ReadAt(p, int64(c.at)); n != c.n || err != nil || string(p) != body[c.at:c.at+c.n] {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.at, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 10), Large-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 10), Large); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 0 || err == nil {
		t.Errorf("after Close: %d, %v", n, err)
	}
	f.put(t, "n", random(Large))
	for name, gone := range map[string]pipeline.Object{"missing": {Bucket: f.bucket, Name: "missing", Size: 10}, "overwritten": o} {
		if _, err := artifacts.NewReaderAt(t.Context(), store, gone).ReadAt(make([]byte, 1), 0); !errors.Is(err, artifacts.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	encoded := f.put(t, "encoded", body)
	f.spoil(t, encoded, []byte(body), "gzip")
	if _, err := artifacts.NewReaderAt(t.Context(), store, encoded).ReadAt(make([]byte, 1), 0); !errors.Is(err, artifacts.ErrEncoded) {
		t.Errorf("encoded: %v", err)
	}
}

func damageIsNoticedAtTheEnd(t *testing.T, f fixture) {
	body := random(Large)
	flipped := []byte(body)
	flipped[len(flipped)/2] ^= 1
	for name, spoiled := range map[string][]byte{"flipped": flipped, "longer": []byte(body + body), "shorter": []byte(body[:Large/2])} {
		o := f.put(t, name, body)
		f.spoil(t, o, spoiled, "")
		r, err := f.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, artifacts.ErrDamaged) || n > o.Size {
			t.Errorf("%s: read %d of %d bytes, %v; want ErrDamaged and not a byte more", name, n, o.Size, err)
		}
		_ = r.Close() // it may say so once more
	}
}

// A client may declare that the bytes are compressed. A reader that unpacked them would write a thousand times what was allowed.
func encodedObjectsAreRefused(t *testing.T, f fixture) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"gzip", "br"} {
		o := f.put(t, "encoded", packed.String())
		f.spoil(t, o, packed.Bytes(), encoding)
		if r, err := f.Open(t.Context(), o); !errors.Is(err, artifacts.ErrEncoded) {
			t.Errorf("open of an object with encoding %s: %v, %v; want ErrEncoded", encoding, r, err)
		}
	}
	// The same bytes without the claim are a file like any other, and read as they are.
	if o := f.put(t, "plain.gz", packed.String()); f.read(t, o) != packed.String() {
		t.Error("a compressed file was unpacked")
	}
}

// copyKeepsBytes: a copy is an object of its own, which stays when its source is overwritten and deleted.
func copyKeepsBytes(t *testing.T, f fixture) {
	body := random(Large)
	from := f.put(t, "from", body)
	to, err := f.Copy(t.Context(), from, f.bucket, "to/here")
	want := from
	want.Name, want.Generation = "to/here", to.Generation
	if err != nil || to != want || to.Generation <= 0 {
		t.Fatalf("copied %v as %v, %v", from, to, err)
	}
	newest, err := f.Copy(t.Context(), pipeline.Object{Bucket: f.bucket, Name: "to/here"}, f.bucket, "newest")
	if err != nil || newest.Size != from.Size || newest.CRC32C != from.CRC32C {
		t.Fatalf("copied the newest of %v as %v, %v", to, newest, err)
	}
	if err := f.Delete(t.Context(), f.put(t, "from", "other")); err != nil {
		t.Fatal(err)
	}
	if stat, err := f.Stat(t.Context(), f.bucket, "to/here"); err != nil || stat != to {
		t.Errorf("stat %v, %v; want %v", stat, err, to)
	}
	if f.read(t, to) != body || f.read(t, newest) != body {
		t.Error("a copy has other bytes")
	}
	if names := f.names(t, ""); !slices.Equal(names, []string{"newest", "to/here"}) {
		t.Errorf("%q", names)
	}
}

// copyIsRepeated: a second copy finds the first one, and never replaces another object.
func copyIsRepeated(t *testing.T, f fixture) {
	from, other := f.put(t, "from", "bytes"), f.put(t, "other", "BYTES")
	first, err := f.Copy(t.Context(), from, f.bucket, "to")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.Copy(t.Context(), from, f.bucket, "to"); err != nil || again != first {
		t.Errorf("%v, %v; want %v", again, err, first)
	}
	if o, err := f.Copy(t.Context(), other, f.bucket, "to"); !errors.Is(err, artifacts.ErrExists) {
		t.Errorf("%v, %v; want ErrExists", o, err)
	}
	if body := f.read(t, first); body != "bytes" {
		t.Errorf("%q", body)
	}
}

func copyOfAGenerationThatIsGone(t *testing.T, f fixture) {
	old := f.put(t, "from", "old")
	f.put(t, "from", "new")
	for _, from := range []pipeline.Object{old, {Bucket: f.bucket, Name: "unknown"}} {
		if o, err := f.Copy(t.Context(), from, f.bucket, "to"); !errors.Is(err, artifacts.ErrNotFound) {
			t.Errorf("copy %v: %v, %v; want ErrNotFound", from, o, err)
		}
	}
	f.absent(t, "to")
}

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
