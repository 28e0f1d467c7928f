package client

import (
	"fmt"
	"testing"
)

// FuzzRange: a range that is understood is one that the storage can have meant.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-262143")
	f.Add("bytes=0-9223372036854775807")
	f.Fuzz(func(t *testing.T, header string) {
		n, err := nextByte(header)
		var last int64
		if err == nil && n != 0 {
			if _, scanErr := fmt.Sscanf(header, "bytes=0-%d", &last); scanErr != nil || last != n-1 {
				t.Fatalf("%q is byte %d", header, n)
			}
		}
		if n < 0 {
			t.Fatalf("%q is byte %d", header, n)
		}
	})
}
