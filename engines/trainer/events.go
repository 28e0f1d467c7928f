package trainer

import (
	"time"

	"github.com/splatworks/splatworks/engines/fault"
)

// Event is what training says while it works: one of the types below.
type Event interface{ event() }

// Progress comes about twice a second of the clock.
type Progress struct {
	Fraction         float64 // of the budget, 0..1
	Elapsed          time.Duration
	Remaining        time.Duration // estimate; with a time budget it is exact
	Iteration        int
	TotalIterations  int // estimate with a time budget
	Gaussians        int
	Loss             float64 // mean over the last epoch
	IterationsPerSec float64
	Downscale        int // 4, 2, 1
}

// Evaluated reports the held-out quality.
type Evaluated struct {
	Fraction  float64       `json:"fraction"`
	Elapsed   time.Duration `json:"elapsed"`
	Iteration int           `json:"iteration"`
	Gaussians int           `json:"gaussians"`
	PSNR      float64       `json:"psnr_db"` // mean over images
	SSIM      float64       `json:"ssim"`
}

// Warned is of what the user should know and what did not stop the training.
type Warned fault.Warning

// Checkpointed says that the whole state was saved.
type Checkpointed struct {
	Iteration int
	Fraction  float64
}

func (Progress) event()     {}
func (Evaluated) event()    {}
func (Warned) event()       {}
func (Checkpointed) event() {}
