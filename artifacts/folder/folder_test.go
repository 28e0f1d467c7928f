package folder

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/storetest"
	"github.com/splatworks/splatworks/pipeline"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		s := New(t.TempDir(), time.Now)
		return storetest.Fixture{Store: s, Bucket: "bucket", Spoil: func(t *testing.T, o pipeline.Object, body []byte, encoding string) {
			dir := s.path(o.Bucket, o.Name)
			if err := os.WriteFile(generationFile(dir, o.Generation), body, 0o600); err != nil {
				t.Fatal(err)
			}
			if encoding != "" {
				if err := commit(dir, &described{Object: o, Encoding: encoding}, false); err != nil {
					t.Fatal(err)
				}
			}
		}}
	})
}

func TestAnotherProcessSeesWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	wrote, err := New(dir, time.Now).Put(t.Context(), "b", "a/n", strings.NewReader("x"), artifacts.PutOptions{ContentType: "text/plain"})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := New(dir, time.Now).Stat(t.Context(), "b", "a/n"); err != nil || found != wrote {
		t.Errorf("%+v, %v; want %+v", found, err, wrote)
	}
}

// TestGenerationsGrowWithoutAClock: a clock that stops or runs back never gives an old generation to new bytes.
func TestGenerationsGrowWithoutAClock(t *testing.T) {
	s := New(t.TempDir(), func() time.Time { return time.Unix(1, 0) })
	last := int64(0)
	for range 3 {
		o, err := s.Put(t.Context(), "b", "n", strings.NewReader("x"), artifacts.PutOptions{})
		if err != nil || o.Generation <= last {
			t.Fatalf("%d after %d, %v", o.Generation, last, err)
		}
		last = o.Generation
	}
}

func TestAFullDiskNamesTheFolder(t *testing.T) {
	s := New("/data", time.Now)
	err := s.fullDisk(&os.PathError{Op: "write", Path: "/data/b/n@/1", Err: syscall.ENOSPC})
	f := pipeline.FailureOf(err, pipeline.Train)
	if f.Code != pipeline.DiskFull || !strings.Contains(f.Message, "/data.") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%+v", f)
	}
}
