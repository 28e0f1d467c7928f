// Package fault is how every engine reports that it could not do its work, or that its result is worse than it could be. Engines
// know nothing of retries and requests: they give the kind and the code of a failure, and internal/stage decides what follows.
package fault

import (
	"errors"
	"fmt"

	"github.com/splatworks/splatworks/engines/tool"
)

// Kind is what a failure is about.
type Kind int

const (
	Broken    Kind = iota // the program, a tool or a model: other images do not help
	Input                 // the capture: a retry does not help
	Exhausted             // the machine was too small: less work may succeed
	Late                  // time ran out: a faster machine, or less work, may succeed
	Missing               // a tool is not installed or cannot start: a retry does not help before somebody mends that
)

// Failure says why there is no result and what can be done about it. Neither a cancellation by the caller nor an error of the file
// system is a Failure: they are returned as they are.
type Failure struct {
	Kind    Kind   `json:"-"`
	Code    string `json:"code"`    // stable; each engine lists its own
	Message string `json:"message"` // what happened, in a sentence
	Advice  string `json:"advice"`  // what to do, in a sentence
	Err     error  `json:"-"`       // the cause, for logs
}

// New formats the message, which may quote what a tool or a file says: control characters are replaced.
func New(kind Kind, code, advice, message string, args ...any) *Failure {
	return &Failure{Kind: kind, Code: code, Message: tool.Printable(fmt.Sprintf(message, args...)), Advice: advice}
}

// Because sets the cause.
func (f *Failure) Because(err error) *Failure {
	f.Err = err
	return f
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s (%s): %v", f.Message, f.Code, f.Err)
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

func (f *Failure) Unwrap() error { return f.Err }

// Of is the Failure in err, or nil.
func Of(err error) *Failure {
	var f *Failure
	errors.As(err, &f)
	return f
}

// CodeOf is the code of the Failure in err, or "".
func CodeOf(err error) string {
	if f := Of(err); f != nil {
		return f.Code
	}
	return ""
}

// Warning is what the owner of a capture should know although the work continues.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

// Warn formats the message as New does.
func Warn(code, advice, message string, args ...any) Warning {
	return Warning{Code: code, Message: tool.Printable(fmt.Sprintf(message, args...)), Advice: advice}
}
