package frames

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

func TestJoinedCRCs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, length := range []int{0, 1, 2, 3, 8, 255, 256, 4097, 1 << 20} {
		text := make([]byte, length+rng.IntN(1000))
		for i := range text {
			text[i] = byte(rng.Uint32())
		}
		first, second := text[:len(text)-length], text[len(text)-length:]
		got := joinCRC(crc32.Checksum(first, castagnoli), crc32.Checksum(second, castagnoli), int64(length))
		if want := crc32.Checksum(text, castagnoli); got != want {
			t.Errorf("%d and %d bytes: %08x, want %08x", len(first), length, got, want)
		}
	}
}

// A video that reads with another checksum than it was stored with is the storage's fault, whatever can be decoded of it: at the first
// pass, and at a later one when it was damaged in between.
func TestDamageOnTheWayIsNoticed(t *testing.T) {
	tools := ffmpegTools(t)
	body := inSeveralBlocks(t, "beginning")
	dir := filepath.Join(t.TempDir(), "images")
	for _, between := range []bool{false, true} {
		body := bytes.Clone(body)
		in := inputOf(body)
		if !between {
			body[len(body)/2] ^= 0xff
		}
		c, err := OpenFrom(t.Context(), tools, in, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		selection, _, err := c.Choose(t.Context(), choose.Options{}, nil)
		if between && err == nil {
			c.served.from.forget()
			body[len(body)/2] ^= 0xff
			_, err = c.Extract(t.Context(), selection, dir, 0, nil)
		}
		if !errors.Is(err, errSpoiled) || fault.Of(err) != nil {
			t.Errorf("damaged between passes: %t: %v", between, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

var errSpoiled = errors.New("the input has another checksum")

// Verify knows the checksum of the content that the input was made with.
func (e *elsewhere) Verify(crc32c uint32) error {
	if crc32c != e.sum {
		return fmt.Errorf("%w: %08x, not %08x", errSpoiled, crc32c, e.sum)
	}
	return nil
}
