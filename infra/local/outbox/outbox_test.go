package outbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/infra/local/outbox"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t interface{ Fatal(...any) }, path string) *outbox.Box {
	b, err := outbox.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bodies(b *outbox.Box) []string {
	var list []string
	for _, e := range b.Pending() {
		var s string
		if err := json.Unmarshal(e.Body, &s); err != nil {
			panic(err)
		}
		list = append(list, s)
	}
	return list
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

func put(t interface{ Fatal(...any) }, b *outbox.Box, body string, mark int64) int64 {
	e, err := b.Put("to", at, quoted(body), mark)
	if err != nil {
		t.Fatal(err)
	}
	return e.Seq
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path)
	one := put(t, b, "one\nwith a line end", 5)
	put(t, b, "two", 7)
	if err := b.SetMark(9); err != nil {
		t.Fatal(err)
	}
	if err := b.Done(one); err != nil {
		t.Fatal(err)
	}
	if err := b.Done(one); err != nil {
		t.Errorf("done twice: %v", err)
	}
	again := open(t, path) // without Close: the process was killed
	if got := bodies(again); !slices.Equal(got, []string{"two"}) || again.Mark() != 9 || again.Damaged() != 0 {
		t.Errorf("%q, mark %d, damaged %d", got, again.Mark(), again.Damaged())
	}
	if e := again.Pending()[0]; e.To != "to" || !e.At.Equal(at) || e.Seq != 2 {
		t.Errorf("entry %+v", e)
	}
	if seq := put(t, again, "three", 0); seq != 3 {
		t.Errorf("sequence %d, want 3", seq)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Put("to", at, quoted("late"), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

// TestCutAnywhere cuts the file at every byte: what was whole before the cut is there, and the box continues.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "box")
	b := open(t, path)
	var ends []int64 // of the file after each entry
	for i := range 2 {
		put(t, b, fmt.Sprint(i), int64(10+i))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, info.Size())
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		torn := filepath.Join(dir, fmt.Sprint("cut", cut))
		if err := os.WriteFile(torn, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		var want []string
		mark := int64(0)
		for i, end := range ends {
			if int64(cut) >= end {
				want, mark = append(want, fmt.Sprint(i)), int64(10+i)
			}
		}
		b := open(t, torn)
		if got := bodies(b); !slices.Equal(got, want) || b.Mark() != mark {
			t.Fatalf("cut at %d: %q, mark %d; want %q, %d", cut, got, b.Mark(), want, mark)
		}
		put(t, b, "next", 99)
		b = open(t, torn)
		if got := bodies(b); !slices.Equal(got, append(want, "next")) || b.Damaged() != 0 || b.Mark() != 99 {
			t.Fatalf("cut at %d, then written: %q, damaged %d, mark %d", cut, got, b.Damaged(), b.Mark())
		}
	}
}

func TestDamageLosesOneLineAndTheMarksAfterIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path)
	for i := range 3 {
		put(t, b, fmt.Sprint(i), int64(10+i))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[1] = strings.Replace(lines[1], `"to"`, `"ot"`, 1)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, path)
	if got := bodies(b); !slices.Equal(got, []string{"0", "2"}) || b.Damaged() != 1 || b.Mark() != 10 {
		t.Errorf("%q, damaged %d, mark %d", got, b.Damaged(), b.Mark())
	}
	if b = open(t, path); b.Damaged() != 0 || b.Mark() != 10 { // it was repaired
		t.Errorf("damaged %d, mark %d", b.Damaged(), b.Mark())
	}
}

func TestHistoryIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path)
	kept := put(t, b, "kept", 1)
	big := strings.Repeat("x", 100_000)
	var last int64
	for i := range 50 {
		last = put(t, b, big, int64(i))
		if err := b.Done(last); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 2<<20 {
		t.Errorf("the file has %d bytes for one entry, %v", info.Size(), err)
	}
	b = open(t, path)
	if p := b.Pending(); len(p) != 1 || p[0].Seq != kept || b.Mark() != 49 {
		t.Errorf("pending %v, mark %d", p, b.Mark())
	}
	if seq := put(t, b, "new", 0); seq != last+1 {
		t.Errorf("sequence %d after %d", seq, last)
	}
}

// TestAgainstModel runs random histories, with the process killed at random, against a map.
func TestAgainstModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		b := open(t, path)
		model, mark, seq := map[int64]string{}, int64(0), int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				body := rapid.String().Draw(t, "body")
				m := rapid.Int64Range(0, 20).Draw(t, "mark")
				got := put(t, b, body, m)
				if got <= seq {
					t.Fatalf("sequence %d after %d", got, seq)
				}
				seq, mark = got, max(mark, m)
				model[got] = strings.ToValidUTF8(body, "\ufffd")
			},
			"done": func(t *rapid.T) {
				s := rapid.Int64Range(0, seq+1).Draw(t, "seq")
				if err := b.Done(s); err != nil {
					t.Fatal(err)
				}
				delete(model, s)
			},
			"kill": func(t *rapid.T) { b = open(t, path) },
			"": func(t *rapid.T) {
				p := b.Pending()
				if len(p) != len(model) || b.Mark() != mark {
					t.Fatalf("%d pending, want %d; mark %d, want %d", len(p), len(model), b.Mark(), mark)
				}
				for i, got := range bodies(b) {
					if got != model[p[i].Seq] {
						t.Fatalf("entry %d is %q, want %q", p[i].Seq, got, model[p[i].Seq])
					}
				}
			},
		})
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("00000000 {}\n"))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "box")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		b := open(t, path)
		before := len(b.Pending())
		seq := put(t, b, "after", 0)
		again := open(t, path)
		if p := again.Pending(); len(p) != before+1 || p[before].Seq != seq {
			t.Errorf("lost what was put after damage: %d pending, had %d", len(p), before)
		}
	})
}
