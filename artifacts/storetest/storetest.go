// Package storetest is the contract of artifacts.Store as a suite of tests. Every store runs it: the one in memory, the
// one in Cloud Storage against the local emulator, and, by hand, against a real bucket.
package storetest

import (
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

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
