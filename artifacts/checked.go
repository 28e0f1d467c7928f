package artifacts

import (
	"fmt"
	"hash/crc32"
	"io"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checked reads an object of size bytes and, unless it is 0, this CRC32C. It yields no byte beyond the size, and fails with
// ErrDamaged where the end should be when size or checksum differ. Every Store's Open returns such a reader.
func Checked(r io.ReadCloser, size int64, crc32c uint32) io.ReadCloser {
	return &checked{ReadCloser: r, left: size, want: crc32c}
}

type checked struct {
	io.ReadCloser
	left      int64 // bytes to come
	sum, want uint32
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if int64(n) > c.left {
		return int(c.left), fmt.Errorf("%w: it has more bytes than its size", ErrDamaged)
	}
	c.left -= int64(n)
	c.sum = crc32.Update(c.sum, castagnoli, p[:n])
	switch {
	case err == io.EOF && c.left > 0:
		return n, fmt.Errorf("%w: %d bytes are missing", ErrDamaged, c.left)
	case err != nil && c.left == 0 && c.want != 0 && c.sum != c.want:
		return n, fmt.Errorf("%w: its CRC32C is %08x, not %08x", ErrDamaged, c.sum, c.want)
	}
	return n, err
}
