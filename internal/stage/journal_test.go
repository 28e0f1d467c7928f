package stage_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

func sh(ctx context.Context, script string) error {
	_, err := tool.Run(ctx, tool.Command{Path: "sh", Args: []string{"-c", script}})
	return err
}

// TestAttemptsLeaveTheirReports: a failed attempt leaves its failure, the cause and the end of its programs' output for operators; the
// manifest of the attempt that finished names the failed one, without those.
func TestAttemptsLeaveTheirReports(t *testing.T) {
	var w *world
	w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
		w.advance(10 * time.Second)
		if job.Attempt > 1 {
			return sh(ctx, "true")
		}
		if err := sh(ctx, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >&2; echo the last words >&2; exit 3"); err == nil {
			t.Error("no error")
		}
		return &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky", Message: "It failed.", Advice: "Nothing.", Err: errors.New("the cause")}
	})
	w.worker.USDPerS = 0.5
	id := w.submit()
	w.work()
	w.advance(time.Hour)
	w.work()

	reports, err := artifacts.ReadAttempts(t.Context(), w.store, w.buckets, artifacts.StagePrefix(id, pipeline.Filter))
	if err != nil || len(reports) != 1 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	r := reports[0]
	if r.Stage != pipeline.Filter || r.Worker != "worker-1" || r.Failure == nil || r.Failure.Code != "flaky" || !strings.Contains(r.Cause, "the cause") {
		t.Errorf("%+v", r.Failure)
	}
	if a := r.Attempt; a.Attempt != 1 || a.Outcome != artifacts.Failed || a.Code != "flaky" || a.Kind != pipeline.Transient || a.FinishedAt.Sub(a.ClaimedAt) != 10*time.Second ||
		a.CostUSD != 5 || len(a.Programs) != 1 || a.Programs[0].Name != "sh" || a.Programs[0].Runs != 1 {
		t.Errorf("%+v", a)
	}
	if !strings.HasSuffix(r.Log, "sh: line 19999\nsh: the last words") || len(r.Log) > artifacts.MaxLogBytes || len(r.Log) < artifacts.MaxLogBytes-100 {
		t.Errorf("%d bytes of log", len(r.Log))
	}

	m := w.manifest(id, pipeline.Filter)
	if m == nil {
		t.Fatal("no manifest")
	}
	record := m.History[0]
	if len(record.Earlier) != 1 || record.Earlier[0].Code != "flaky" || record.Fence <= record.Earlier[0].Fence || len(record.Programs) != 1 || record.ClaimedAt.IsZero() || record.WorkerAt.IsZero() {
		t.Errorf("%+v", record)
	}
	if record.CostUSD != 5 || record.Cost() != 10 {
		t.Errorf("cost %v of %v", record.CostUSD, record.Cost())
	}
}

// TestReportsOfAttemptsAreNotNeeded: a store that takes none of them fails no attempt.
func TestReportsOfAttemptsAreNotNeeded(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, _ *stage.Job) error { return sh(ctx, "echo words >&2") })
	w.worker.Store = noReports{w.store}
	id := w.submit()
	w.work()
	if m := w.manifest(id, pipeline.Filter); m == nil {
		t.Error("no manifest")
	}
}

// noReports is a store where the reports of attempts can neither be written nor listed.
type noReports struct{ artifacts.Store }

func (s noReports) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if strings.HasSuffix(name, "attempt.json") {
		return pipeline.Object{}, artifacts.ErrUnavailable
	}
	return s.Store.Put(ctx, bucket, name, r, o)
}

func (s noReports) List(context.Context, string, string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) { yield(pipeline.Object{}, artifacts.ErrUnavailable) }
}
