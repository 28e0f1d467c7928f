package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/pipeline"
)

// FromEngine gives the failure of an engine its kind; any other error is returned as it is. Stages need it only where they add to what
// a failure says: the worker does the same with what they return.
func FromEngine(err error) error {
	var known *pipeline.Failure
	f := fault.Of(err)
	if f == nil || errors.As(err, &known) {
		return err
	}
	return &pipeline.Failure{Kind: kinds[f.Kind], Code: f.Code, Message: f.Message, Advice: f.Advice, Err: f.Err}
}

var kinds = map[fault.Kind]pipeline.FailureKind{
	fault.Broken:    pipeline.Internal,
	fault.Input:     pipeline.InvalidInput,
	fault.Exhausted: pipeline.ExhaustedResources,
	fault.Late:      pipeline.Transient,
	fault.Missing:   pipeline.MissingTool,
}

// failureOf is pipeline.FailureOf for a worker: it knows what the storage's errors mean, and which folder is full.
func (w *Worker) failureOf(err error, name pipeline.Stage) *pipeline.Failure {
	err = FromEngine(err)
	var known *pipeline.Failure
	f := &pipeline.Failure{Stage: name, Err: err}
	switch {
	case errors.As(err, &known), errors.Is(err, syscall.ENOSPC):
		f = pipeline.FailureOf(w.inFolder(err), name)
		if f.Code == pipeline.DiskFull && w.othersFill(err) {
			f.Kind = pipeline.Transient
		}
		return f
	case errors.Is(err, artifacts.ErrNotFound):
		f.Kind, f.Code = pipeline.Internal, pipeline.ArtifactGone
		f.Message = "A file that an earlier stage left is no longer in the storage."
		f.Advice = adviceAgain
	case errors.Is(err, artifacts.ErrDamaged):
		f.Kind, f.Code = pipeline.Transient, pipeline.ArtifactDamaged
		f.Message = "A file that an earlier stage left is damaged."
		f.Advice = adviceAgain
	case errors.Is(err, artifacts.ErrUnavailable):
		f.Kind, f.Code = pipeline.Transient, pipeline.StorageAway
		f.Message = "The storage did not answer."
		f.Advice = "Submit the request again in some minutes."
	default:
		return pipeline.FailureOf(err, name)
	}
	return f
}

// othersFill says whether a full disk is so for what others have on it: then a smaller plan is no help, and more room is. The files of
// the task are gone by now.
func (w *Worker) othersFill(err error) bool {
	var elsewhere *pipeline.FullDisk
	if errors.As(err, &elsewhere) {
		return true // the storage's, which keeps everybody's files
	}
	if w.Room == nil {
		return false
	}
	space, err := w.Room()
	return err == nil && space.Crowded()
}

// adviceAgain is for what is lost: the operators' API can begin at an earlier stage, a client can only begin anew.
const adviceAgain = "Submit the capture again; an operator can also retry the request from an earlier stage."

// inFolder names the folder that all work is done in where an error of a full disk names none, or one that is removed afterwards.
func (w *Worker) inFolder(err error) error {
	var at *fs.PathError
	var elsewhere *pipeline.FullDisk
	named := errors.As(err, &at) && !strings.HasPrefix(at.Path, w.WorkDir)
	if !errors.Is(err, syscall.ENOSPC) || named || errors.As(err, &elsewhere) {
		return err
	}
	return &fs.PathError{Op: "work in", Path: filepath.Clean(w.WorkDir), Err: err}
}

// uploadFailure is what the client has to put right about its capture. Only a damaged one may have been damaged on its way to here.
func uploadFailure(err error) error {
	switch {
	case errors.Is(err, artifacts.ErrNotFound):
		return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "upload_gone", Err: err, Message: "The capture is no longer where it was.",
			Advice: "Ask for the reconstruction again and leave the capture in place until it has ended."}
	case errors.Is(err, artifacts.ErrDamaged):
		return &pipeline.Failure{Kind: pipeline.Transient, Code: pipeline.ArtifactDamaged, Err: err, Message: "The uploaded capture is damaged: its checksum is not the one that it was stored with.",
			Advice: "Upload it again, with a new request."}
	case errors.Is(err, artifacts.ErrEncoded):
		return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "encoded_upload", Err: err,
			Message: "The capture was uploaded with a Content-Encoding, such as gzip.",
			Advice:  "Upload the file as it is, without the header Content-Encoding."}
	}
	return err
}

// missing reports an artifact that no earlier stage left although this one needs it.
func missing(kind artifacts.Kind) error {
	return fmt.Errorf("no earlier stage left a %s", kind)
}
