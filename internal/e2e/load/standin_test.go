package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// TestMain is the main of the workers, too: the launcher starts this program as `worker --stage STAGE`.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "worker" {
		os.Exit(workerMain(pipeline.Stage(os.Args[3])))
	}
	os.Exit(m.Run())
}

// The variables by which the rig speaks to its workers.
const (
	engineVariable = "LOAD_ENGINE" // an engine as JSON
	skewVariable   = "LOAD_SKEW"   // how far the worker's clock is off
)

// engine is what stands in for the engines of every stage.
type engine struct {
	Duration time.Duration // of a stage
	Bytes    int           // of its largest artifact
}

// workerMain does what the mains of services do, with a stand-in where they have engines.
func workerMain(s pipeline.Stage) int {
	log := serve.NewLogger(os.Stderr, "", slog.LevelInfo)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runWorker(ctx, log, s); err != nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

func runWorker(ctx context.Context, log *slog.Logger, s pipeline.Stage) error {
	var e engine
	if err := json.Unmarshal([]byte(os.Getenv(engineVariable)), &e); err != nil {
		return fmt.Errorf("%s: %w", engineVariable, err)
	}
	c, err := app.Load(ctx, envconfig.OsLookuper())
	if err != nil {
		return err
	}
	if skew, err := time.ParseDuration(os.Getenv(skewVariable)); err == nil {
		c.Now = func() time.Time { return time.Now().Add(skew) }
	}
	parts, err := c.Open(ctx, log)
	if err != nil {
		return err
	}
	defer parts.Close()
	return parts.Work(ctx, e.stage(s))
}

// products are what each stage leaves: the first is what the next one reads.
var products = map[pipeline.Stage][]artifacts.Kind{
	pipeline.Filter:     {artifacts.Selection, artifacts.CaptureReport},
	pipeline.Preprocess: {artifacts.Scene, artifacts.SparseModel},
	pipeline.Depth:      {artifacts.DepthMaps, artifacts.DepthReport},
	pipeline.Train:      {artifacts.Trained, artifacts.TrainReport},
	pipeline.Export:     {artifacts.Splat, artifacts.Report},
}

// stage is a stage whose engine waits, and whose artifacts are filled with the chain of what was read: what the last one leaves
// says through which stages of which request it came, and that each read what the one before it wrote.
func (e engine) stage(s pipeline.Stage) stage.Definition {
	d := stage.Definition{Stage: s, Budget: time.Minute, Saves: s == pipeline.Train}
	d.Run = func(ctx context.Context, job *stage.Job) error {
		chain, err := e.read(ctx, job, s)
		if err != nil {
			return err
		}
		if err := e.work(ctx, job, s); err != nil {
			return err
		}
		chain += "/" + string(s)
		for i, kind := range products[s] {
			body := []byte(chain)
			if i == 0 {
				body = filled(chain, e.Bytes)
			}
			if err := job.PublishFrom(ctx, kind, bytes.NewReader(body)); err != nil {
				return err
			}
		}
		job.Metric("stood_in", 1)
		return nil
	}
	return d
}

// filled is a text that begins with chain and has n bytes or more.
func filled(chain string, n int) []byte {
	return append([]byte(chain+"\n"), make([]byte, max(0, n-len(chain)-1))...)
}

func (e engine) read(ctx context.Context, job *stage.Job, s pipeline.Stage) (chain string, err error) {
	job.Progress(pipeline.Progress{Step: "reading", Percent: 1})
	var path string
	if previous, ok := s.Previous(); ok {
		path, err = job.Fetch(ctx, products[previous][0])
	} else {
		path, err = job.FetchUpload(ctx)
	}
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	chain, _, _ = strings.Cut(string(body), "\n")
	if !strings.HasPrefix(chain, job.Request.SessionID) {
		return "", fmt.Errorf("the input of %s is another's: %.80s", job.Request.SessionID, chain)
	}
	return chain, nil
}

// work waits as the engine would work: preprocess in a child, train with a saved state.
func (e engine) work(ctx context.Context, job *stage.Job, s pipeline.Stage) error {
	switch s {
	case pipeline.Preprocess:
		return e.child(ctx, job)
	case pipeline.Train:
		return e.train(ctx, job)
	}
	return e.steps(ctx, job, 1)
}

// steps waits for a share of the duration.
func (e engine) steps(ctx context.Context, job *stage.Job, share float64) error {
	const steps = 3
	for i := range steps {
		job.Progress(pipeline.Progress{Step: "working", Percent: 10 + 80*float64(i)/steps})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-job.Stopping():
			return stage.ErrStopped
		case <-time.After(time.Duration(share * float64(e.Duration) / steps)):
		}
	}
	return nil
}

// childMark is in the command line of the children, with the request and the attempt.
const childMark = "load-engine"

// child runs a program, as COLMAP is run; one that the system kills needed too much memory.
func (e engine) child(ctx context.Context, job *stage.Job) error {
	job.Progress(pipeline.Progress{Step: "working", Percent: 10})
	scratch := job.Dir + "/scratch"
	if err := os.WriteFile(scratch, make([]byte, e.Bytes), 0o600); err != nil {
		return err
	}
	_, err := tool.Run(ctx, tool.Command{Path: "sh", Args: []string{"-c", `sleep "$3"; exit 0`, childMark, job.Request.ID, strconv.Itoa(job.Attempt),
		strconv.FormatFloat(e.Duration.Seconds(), 'f', 3, 64)}})
	var failed *tool.Error
	if errors.As(err, &failed) && failed.Signal == syscall.SIGKILL && ctx.Err() == nil {
		return &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: "out_of_memory", Stage: pipeline.Preprocess, Message: "The stand-in needed too much memory.",
			Advice: "Send fewer images.", Err: err}
	}
	return err
}

// train saves its state half-way and continues from there.
func (e engine) train(ctx context.Context, job *stage.Job) error {
	saved, err := job.OpenCheckpoint(ctx)
	switch {
	case err == nil:
		_, err = io.Copy(io.Discard, saved)
		if err := errors.Join(err, saved.Close()); err != nil {
			return err
		}
	case !errors.Is(err, artifacts.ErrNotFound):
		return err
	default:
		if err := e.steps(ctx, job, 0.5); err != nil {
			return err
		}
		if err := job.SaveCheckpoint(ctx, bytes.NewReader(make([]byte, e.Bytes))); err != nil {
			return err
		}
	}
	return e.steps(ctx, job, 0.5)
}
