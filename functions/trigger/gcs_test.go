package trigger_test

import (
	"context"

	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/functions/trigger"
)

// gcsSigner is the whole adapter a main needs: the forms are the same field by field.
type gcsSigner struct{ *gcs.Signer }

func (s gcsSigner) SignUpload(ctx context.Context, u trigger.UploadSpec) (trigger.SignedRequest, error) {
	signed, err := s.Signer.SignUpload(ctx, gcs.UploadSpec(u))
	return trigger.SignedRequest(signed), err
}

var _ trigger.Signer = gcsSigner{}
