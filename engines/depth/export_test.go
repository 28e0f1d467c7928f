//go:build cgo && (linux || darwin)

package depth

import (
	"context"
	"time"
)

// What Auto does is tested without a GPU: any session may take the place of one.

// Outdoes is how Auto judges a GPU's session.
func (s *Session) Outdoes(ctx context.Context, reference *Session, clock func() time.Time) (bool, error) {
	return s.outdoes(ctx, reference, clock)
}

// InPlaceOfGPU has the session, of whichever provider, pass for one that Auto has chosen, and gives it other options for when
// it is loaded again.
func (s *Session) InPlaceOfGPU(o Options) { s.provider, s.o = CUDA, o }

// Sizes is how many sizes of input WebGPU keeps memory for.
func (s *Session) Sizes() int { return len(s.sizes) }
