package client

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
)

// ErrCorrupt means that what was downloaded is not what the service stored: throw it away and download again.
var ErrCorrupt = errors.New("size or checksum differs from the stored object")

// Download writes a result to w and checks its size and checksum. After an error w holds nothing of use.
func (c *Client) Download(ctx context.Context, result Result, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, result.URL, nil)
	if err != nil {
		return fmt.Errorf("download %s: %w", result.FileName, err)
	}
	resp, err := c.http().Do(r)
	if err != nil {
		return fmt.Errorf("download %s: %w", result.FileName, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download %s: %w", result.FileName, problemOf(resp))
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(resp.Body, result.Size+1))
	if err != nil {
		return fmt.Errorf("download %s: %w", result.FileName, err)
	}
	got := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	if n != result.Size || (result.CRC32C != "" && got != result.CRC32C) {
		return fmt.Errorf("download %s: %d bytes, checksum %s: %w", result.FileName, n, got, ErrCorrupt)
	}
	return nil
}
