// Package pipeline is the vocabulary of Splatworks: the words every other package uses for a request, its stages, its
// progress and its failures. It holds values and their rules, no behaviour that waits, reads a clock or touches a network,
// and it imports only the standard library.
package pipeline

import (
	"fmt"
	"slices"
)

// Stage names one step of a reconstruction. The value is the spelling used in events, manifests, paths and Redis keys.
type Stage string

const (
	Filter     Stage = "filter"     // which frames or photos are worth using
	Preprocess Stage = "preprocess" // frames out, COLMAP features, matches, GLOMAP, undistortion
	Depth      Stage = "depth"      // inverse depth per image, aligned to the sparse points
	Train      Stage = "train"      // Gaussian splat training
	Export     Stage = "export"     // files for viewers, and the quality report
)

var stages = []Stage{Filter, Preprocess, Depth, Train, Export}

// Stages lists every stage in the order in which a request passes through them.
func Stages() []Stage { return slices.Clone(stages) }

// ParseStage accepts exactly the spellings above.
func ParseStage(s string) (Stage, error) {
	if i := slices.Index(stages, Stage(s)); i >= 0 {
		return stages[i], nil
	}
	return "", fmt.Errorf("unknown stage %q: use one of %v", s, stages)
}

// Next is the stage that follows s; ok is false after the last one.
func (s Stage) Next() (next Stage, ok bool) {
	i := slices.Index(stages, s)
	if i < 0 || i+1 >= len(stages) {
		return "", false
	}
	return stages[i+1], true
}

// Previous is the stage whose manifest starts s; ok is false for the first one, which an upload starts.
func (s Stage) Previous() (previous Stage, ok bool) {
	i := slices.Index(stages, s)
	if i <= 0 {
		return "", false
	}
	return stages[i-1], true
}

// Status of a request. QUEUED, PROCESSING, COMPLETED and FAILED are the contract with clients; CANCELED is the client's own doing.
type Status string

const (
	Queued     Status = "QUEUED"     // accepted; waiting for its upload or for a worker
	Processing Status = "PROCESSING" // at least one stage was claimed by a worker
	Completed  Status = "COMPLETED"  // the last manifest exists
	Failed     Status = "FAILED"     // Failure says why and what to do
	Canceled   Status = "CANCELED"
)

// Terminal says whether a request in this status will never change again.
func (s Status) Terminal() bool { return s == Completed || s == Failed || s == Canceled }
