package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// FailureKind decides what happens after a failure; Code says what went wrong.
type FailureKind string

const (
	InvalidInput       FailureKind = "invalid_input"       // never retried: the client must change something
	Transient          FailureKind = "transient"           // retried with backoff
	ExhaustedResources FailureKind = "exhausted_resources" // retried once, with a smaller plan
	CanceledByClient   FailureKind = "canceled"            // never retried
	Internal           FailureKind = "internal"            // retried, then FAILED
	MissingTool        FailureKind = "missing_tool"        // never retried: the machine lacks a program, or it cannot start
)

// Failure is the one form in which a stage reports to a person or a program that it could not continue.
type Failure struct {
	Kind    FailureKind `json:"kind"`
	Code    string      `json:"code"`            // stable, lower_snake_case; programs may switch on it
	Stage   Stage       `json:"stage,omitempty"` // empty before the first stage
	Message string      `json:"message"`         // what happened, in one sentence
	Advice  string      `json:"advice"`          // what the reader should do, in one sentence
	Err     error       `json:"-"`               // the cause, for logs; never shown to clients
}

func (f *Failure) Error() string {
	s := f.Message
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	if f.Stage != "" {
		return fmt.Sprintf("%s: %s (%s)", f.Stage, s, f.Code)
	}
	return fmt.Sprintf("%s (%s)", s, f.Code)
}

func (f *Failure) Unwrap() error { return f.Err }

// Codes of failures that any stage may have; the others are a stage's own.
const (
	DiskFull        = "disk_full"        // a file system has no room: errors.Is(err, syscall.ENOSPC)
	OutOfMemory     = "out_of_memory"    // the machine has no memory for it: errors.Is(err, syscall.ENOMEM)
	ArtifactGone    = "artifact_gone"    // what an earlier stage left is no longer in the storage: no retry brings it back
	ArtifactDamaged = "artifact_damaged" // what is stored reads with another checksum, or not as what it should be
	StorageAway     = "storage_unavailable"
	MachineBusy     = "machine_busy" // no more processes or open files
	StageDeadline   = "deadline_exceeded"
	ProgramMissing  = "program_missing" // the machine has no such program
	QuotaExceeded   = "quota_exceeded"  // what the caller, or all together, may use in 24 hours
	InternalError   = "internal"        // a bug: nothing below explains it
)

// Retryable reports whether another attempt of the stage may succeed. The queue asks this.
func (f *Failure) Retryable() bool {
	return f.Code != ArtifactGone && (f.Kind == Transient || f.Kind == ExhaustedResources || f.Kind == Internal)
}

// Waits reports that somebody other than the client has to put something right, and that the same attempt will do then: a disk that
// others have filled. The stage is retried until the request's deadline.
func (f *Failure) Waits() bool { return f.Kind == Transient && f.Code == DiskFull }

// Resubmittable reports whether the client may get a result by submitting the same input again, once the request has FAILED.
// A bug would only be met again; what was used up is there again on another day.
func (f *Failure) Resubmittable() bool {
	return f.Code == ArtifactGone || f.Code == QuotaExceeded || f.Kind == Transient || f.Kind == ExhaustedResources
}

// Invalid reports input that no retry can help.
func Invalid(code, message, advice string) *Failure {
	return &Failure{Kind: InvalidInput, Code: code, Message: message, Advice: advice}
}

// FailureOf turns any error into the Failure of a stage. A full disk and missing memory come first, whatever a stage made of
// the consequences; an error that explains nothing is internal. It never returns nil for a non-nil error. The advice is
// for the time when the request has FAILED: while it is retried there is nothing to do.
func FailureOf(err error, stage Stage) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	known := errors.As(err, &f)
	switch {
	case known && f.Kind == ExhaustedResources: // it says what ran out
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return diskFull(err, stage)
	case errors.Is(err, syscall.ENOMEM):
		return &Failure{Kind: ExhaustedResources, Code: OutOfMemory, Stage: stage, Err: err,
			Message: "The memory of the machine did not suffice.",
			Advice:  "Use fewer images (max_images) or smaller ones (long_edge_px), or a machine with more memory."}
	}
	if known {
		g := *f
		if g.Stage == "" {
			g.Stage = stage
		}
		return &g
	}
	for _, busy := range []error{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, busy) {
			return &Failure{Kind: Transient, Code: MachineBusy, Stage: stage, Err: err,
				Message: "The machine could not start another process or open another file.",
				Advice:  "Submit the request again when less is running there."}
		}
	}
	var missing *exec.Error
	if errors.As(err, &missing) {
		return &Failure{Kind: MissingTool, Code: ProgramMissing, Stage: stage, Err: err,
			Message: fmt.Sprintf("The stage needs %q, which the machine does not have.", missing.Name),
			Advice:  "Install it where the stage runs, or report it with the request id."}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Failure{Kind: Transient, Code: StageDeadline, Stage: stage, Err: err,
			Message: "The stage did not finish in its time.",
			Advice:  "Submit the request again; if this repeats, send a shorter or smaller capture."}
	}
	return &Failure{Kind: Internal, Code: InternalError, Stage: stage, Err: err,
		Message: "Something went wrong inside the stage.",
		Advice:  "This is a fault of the service: report it with the request id."}
}

// FullDisk is an error of another machine whose disk is full, in its own sentence.
type FullDisk struct{ Sentence string }

func (e *FullDisk) Error() string { return e.Sentence }

// Unwrap makes errors.Is(err, syscall.ENOSPC) hold.
func (e *FullDisk) Unwrap() error { return syscall.ENOSPC }

// diskFull names the folder that has no room, when the error does.
func diskFull(err error, stage Stage) *Failure {
	message := "A disk is full."
	var elsewhere *FullDisk
	if errors.As(err, &elsewhere) {
		message = elsewhere.Sentence
	} else if folder := fullFolder(err); folder != "" {
		message = fmt.Sprintf("The disk is full: there is no room in %s.", folder)
	}
	return &Failure{Kind: ExhaustedResources, Code: DiskFull, Stage: stage, Err: err, Message: message,
		Advice: "Free some room and submit the request again, or send a smaller capture."}
}

// fullFolder is where the write failed for want of room.
func fullFolder(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) && file.Path != "" {
		return filepath.Dir(file.Path)
	}
	var link *os.LinkError
	if errors.As(err, &link) && link.New != "" {
		return filepath.Dir(link.New)
	}
	return ""
}

// Warning is something a client should know about a request that continues anyway.
type Warning struct {
	Code    string `json:"code"`
	Stage   Stage  `json:"stage,omitempty"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}
