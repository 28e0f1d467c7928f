package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

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
