package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/pipeline"
)

func TestFailuresOfEnginesGetTheirKind(t *testing.T) {
	for kind, want := range map[fault.Kind]pipeline.FailureKind{
		fault.Broken: pipeline.Internal, fault.Input: pipeline.InvalidInput, fault.Exhausted: pipeline.ExhaustedResources, fault.Late: pipeline.Transient,
		fault.Missing: pipeline.MissingTool,
	} {
		engine := fault.New(kind, "code", "Do this.", "That happened.").Because(fs.ErrNotExist)
		f := new(Worker).failureOf(fmt.Errorf("reading: %w", engine), pipeline.Preprocess)
		if f.Kind != want || f.Code != "code" || f.Message != "That happened." || f.Advice != "Do this." || f.Stage != pipeline.Preprocess || !errors.Is(f, fs.ErrNotExist) {
			t.Errorf("kind %d became %+v", kind, f)
		}
	}
	// What a stage has made of it stays.
	own := &pipeline.Failure{Kind: pipeline.Transient, Code: "own", Err: fault.New(fault.Input, "code", "", "")}
	if got := FromEngine(own); got != error(own) {
		t.Errorf("a stage's own failure became %v", got)
	}
	if got := FromEngine(fs.ErrClosed); got != fs.ErrClosed || FromEngine(nil) != nil {
		t.Errorf("another error became %v", got)
	}
}
