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

// StageRow is a row of the table of stages. Every list of stages comes from it, or a test compares it with it.
type StageRow struct {
	Stage Stage
	Share float64 // of a whole request's time, in percent: rough, for a bar that moves evenly
	Slots int     // workers at once where a deployment does not say; Terraform's stages have their own
	// Machine names what a worker of the stage runs on. One that has finished a stage continues with the next on the same machine.
	Machine string
}

// table has the stages in the order in which a request passes through them.
var table = []StageRow{
	{Filter, 5, 4, "images"},
	{Preprocess, 30, 2, "images"},
	{Depth, 15, 1, "images"},
	{Train, 45, 1, "splats"},
	{Export, 5, 4, "splats"},
}

var stages = names(table)

func names(rows []StageRow) (list []Stage) {
	for _, row := range rows {
		list = append(list, row.Stage)
	}
	return list
}

// StageTable lists the rows of all stages in the order in which a request passes through them.
func StageTable() []StageRow { return slices.Clone(table) }

// Stages lists every stage in the order in which a request passes through them.
func Stages() []Stage { return slices.Clone(stages) }

// First is the stage that an upload starts.
func First() Stage { return stages[0] }

// Last is the stage whose manifest completes a request.
func Last() Stage { return stages[len(stages)-1] }

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
