package pipeline

import (
	"context"
	"errors"
	"fmt"
)

// FailureKind decides what happens after a failure; Code says what went wrong.
type FailureKind string

const (
	InvalidInput       FailureKind = "invalid_input"       // never retried: the client must change something
	Transient          FailureKind = "transient"           // retried with backoff
	ExhaustedResources FailureKind = "exhausted_resources" // retried once, with a smaller plan
	CanceledByClient   FailureKind = "canceled"            // never retried
	Internal           FailureKind = "internal"            // retried, then FAILED
)

// Failure is the one form in which a stage tells a person or a program that it could not go on.
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

// Retryable says whether the same work may succeed when it is tried again.
func (f *Failure) Retryable() bool {
	return f.Kind == Transient || f.Kind == ExhaustedResources || f.Kind == Internal
}

// Invalid reports input that no retry can help.
func Invalid(code, message, advice string) *Failure {
	return &Failure{Kind: InvalidInput, Code: code, Message: message, Advice: advice}
}

// FailureOf turns any error into the Failure of a stage. An error that is no Failure yet is transient when a deadline
// passed and internal otherwise. It never returns nil for a non-nil error.
func FailureOf(err error, stage Stage) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	if errors.As(err, &f) {
		g := *f
		if g.Stage == "" {
			g.Stage = stage
		}
		return &g
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Failure{Kind: Transient, Code: "deadline_exceeded", Stage: stage, Err: err,
			Message: "The stage did not finish in its time.",
			Advice:  "It is tried again by itself; if this repeats, send a shorter or smaller capture."}
	}
	return &Failure{Kind: Internal, Code: "internal", Stage: stage, Err: err,
		Message: "Something went wrong inside the stage.",
		Advice:  "It is tried again by itself; if this repeats, report it with the request id."}
}

// Warning is something a client should know about a request that goes on all the same.
type Warning struct {
	Code    string `json:"code"`
	Stage   Stage  `json:"stage,omitempty"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}
