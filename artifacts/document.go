package artifacts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/splatworks/splatworks/pipeline"
)

// Opener is the part of a Store that reads, Putter the part that writes.
type (
	Opener interface {
		Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error)
	}
	Putter interface {
		Put(ctx context.Context, bucket, name string, r io.Reader, o PutOptions) (pipeline.Object, error)
	}
)

// MaxDocumentBytes bounds the documents of one request; a manifest names tens of objects.
const MaxDocumentBytes = 4 << 20

// PutJSON stores v as a JSON document. ErrExists as Put returns it.
func PutJSON(ctx context.Context, s Putter, bucket, name string, v any, o PutOptions) (pipeline.Object, error) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("encode %s: %w", name, err)
	}
	o.ContentType = "application/json"
	return s.Put(ctx, bucket, name, bytes.NewReader(body), o)
}

// GetJSON reads the JSON document in o into v, to its end, where the checksum is verified, and at most maxBytes of it. What
// is longer or no such document is ErrDamaged; ErrNotFound as Open returns it.
func GetJSON(ctx context.Context, s Opener, o pipeline.Object, v any, maxBytes int64) error {
	r, err := s.Open(ctx, o)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("read %v: %w", o, err)
	}
	if int64(len(body)) > maxBytes {
		return fmt.Errorf("read %v: it is longer than %d bytes: %w", o, maxBytes, ErrDamaged)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode %v: %w: %w", o, ErrDamaged, err)
	}
	return nil
}
