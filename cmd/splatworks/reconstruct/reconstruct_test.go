package reconstruct

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// The stages of these tests leave a note of every attempt in the folder that this variable names, and behave in training as the
// other one says.
const notesVariable, behaviourVariable = "RECONSTRUCT_TEST_NOTES", "RECONSTRUCT_TEST_BEHAVIOUR"

// TestMain plays the process of an attempt, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildCommand {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := Child(ctx, define, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// define is a stage that publishes one small artifact.
func define(s pipeline.Stage) (stage.Definition, error) {
	return stage.Definition{Stage: s, Budget: time.Minute, Saves: true, Run: func(ctx context.Context, job *stage.Job) error {
		line := string(s)
		if job.Smaller {
			line += " smaller"
		}
		if r, err := job.OpenCheckpoint(ctx); err == nil {
			state, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			line += " from " + string(state)
		}
		attempts, err := note(line)
		if err != nil {
			return err
		}
		job.Progress(pipeline.Progress{Step: "working", Percent: 50})
		if s == pipeline.Train {
			if err := behave(ctx, job, attempts); err != nil {
				return err
			}
		}
		return job.PublishFrom(ctx, artifacts.Splat, strings.NewReader(string(s)))
	}}, nil
}

// behave is what training does in its nth attempt.
func behave(ctx context.Context, job *stage.Job, attempts int) error {
	switch behaviour := os.Getenv(behaviourVariable); {
	case behaviour == "dies once" && attempts == 1, behaviour == "dies":
		if err := job.SaveCheckpoint(ctx, strings.NewReader("half")); err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case behaviour == "no memory":
		if _, err := os.Stderr.WriteString("fatal error: runtime: out of memory\n"); err != nil {
			return err
		}
		os.Exit(2)
	case behaviour == "refuses":
		return pipeline.Invalid("no_good", "It is no good.", "Send another.")
	case behaviour == "waits" && attempts == 1:
		<-job.Stopping()
		return errors.Join(job.SaveCheckpoint(ctx, strings.NewReader("half")), stage.ErrStopped)
	}
	return nil
}

// note appends a line and says how often its first word has been noted.
func note(line string) (times int, err error) {
	path := filepath.Join(os.Getenv(notesVariable), "notes")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.WriteString(line + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(path)
	word, _, _ := strings.Cut(line, " ")
	return strings.Count(string(text), word), err
}

// world is a folder for reconstructions.
type world struct {
	t     *testing.T
	dir   string
	notes string
}

func newWorld(t *testing.T, behaviour string) world {
	w := world{t, t.TempDir(), t.TempDir()}
	t.Setenv(notesVariable, w.notes)
	t.Setenv(behaviourVariable, behaviour)
	return w
}

// attempts are the stages in the order in which they were begun.
func (w world) attempts() string {
	text, err := os.ReadFile(filepath.Join(w.notes, "notes"))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", ")
}

func (w world) prepare(input string, change func(*Options)) (*Reconstruction, error) {
	w.t.Helper()
	output, err := os.OpenFile(filepath.Join(w.notes, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { output.Close() })
	o := Options{Dir: w.dir, Input: strings.NewReader(input), Size: int64(len(input)), Random: rand.Reader, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Output: output, Define: define, Uploaded: func(int64, int64) {}, Progress: func(pipeline.Progress) {}, Retry: func(*pipeline.Failure, time.Duration) {}}
	if change != nil {
		change(&o)
	}
	return Prepare(w.t.Context(), o)
}

// run prepares and runs a reconstruction.
func (w world) run(ctx context.Context, input string, change func(*Options)) (r *Reconstruction, m *artifacts.Manifest, err error) {
	w.t.Helper()
	if r, err = w.prepare(input, change); err != nil {
		w.t.Fatal(err)
	}
	m, err = r.Run(ctx)
	if err := r.Close(); err != nil {
		w.t.Fatal(err)
	}
	return r, m, err
}

var (
	everyStage = listed(pipeline.Stages())
	upToTrain  = listed(pipeline.Stages()[:slices.Index(pipeline.Stages(), pipeline.Train)+1])
	afterTrain = strings.TrimPrefix(everyStage, upToTrain)
)

func listed(stages []pipeline.Stage) string {
	var names []string
	for _, s := range stages {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func TestEveryStageRunsOnce(t *testing.T) {
	for name, inProcess := range map[string]bool{"in children": false, "in this process": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			var reported []pipeline.Stage
			r, m, err := w.run(t.Context(), "input", func(o *Options) {
				o.InProcess = inProcess
				o.Progress = func(p pipeline.Progress) {
					if p.Percent == 50 && !slices.Contains(reported, p.Stage) {
						reported = append(reported, p.Stage)
					}
				}
			})
			if err != nil || w.attempts() != everyStage || !slices.Equal(reported, pipeline.Stages()) {
				t.Fatalf("%v: %s, reported %v", err, w.attempts(), reported)
			}
			for _, record := range m.History {
				if !(record.PeakRSSBytes > 0) || !(record.CPUS > 0) || record.Attempt != 1 {
					t.Errorf("%+v", record)
				}
			}
			o, _ := m.Find(artifacts.Splat)
			result, err := r.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer result.Close()
			if text, err := io.ReadAll(result); err != nil || string(text) != "export" {
				t.Errorf("the result is %q, %v", text, err)
			}
			if err := r.Remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder stays: %v", err)
			}
		})
	}
}

// TestAnInterruptedRunContinues: what had finished is not done again, and training continues from its checkpoint.
func TestAnInterruptedRunContinues(t *testing.T) {
	for name, inProcess := range map[string]bool{"in children": false, "in this process": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "waits")
			ctx, interrupt := context.WithCancel(t.Context())
			_, _, err := w.run(ctx, "input", func(o *Options) {
				o.InProcess = inProcess
				o.Progress = func(p pipeline.Progress) {
					if p.Stage == pipeline.Train {
						interrupt()
					}
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			r, m, err := w.run(t.Context(), "input", func(o *Options) { o.InProcess = inProcess })
			if want := upToTrain + ", train from half" + afterTrain; err != nil || w.attempts() != want || !r.Resumed || len(m.History) != len(pipeline.Stages()) {
				t.Errorf("%v, %s, want %s", err, w.attempts(), want)
			}
		})
	}
}

func TestOtherWorkBeginsAnew(t *testing.T) {
	for name, change := range map[string]struct {
		input   string
		options func(*Options)
	}{
		"another input": {"inpuT", nil},
		"other options": {"input", func(o *Options) { o.Options.Seed = 7 }},
		"a day later":   {"input", func(o *Options) { o.Now = func() time.Time { return time.Now().Add(TimeLimit) } }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "refuses")
			if _, _, err := w.run(t.Context(), "input", nil); err == nil {
				t.Fatal("training was to fail")
			}
			t.Setenv(behaviourVariable, "")
			r, _, err := w.run(t.Context(), change.input, change.options)
			if err != nil || r.Resumed || w.attempts() != upToTrain+", "+everyStage {
				t.Errorf("resumed %v, %v: %s", r.Resumed, err, w.attempts())
			}
		})
	}
}

func TestAFailureOfAStageEndsTheRun(t *testing.T) {
	w := newWorld(t, "refuses")
	_, _, err := w.run(t.Context(), "input", nil)
	var f *pipeline.Failure
	if !errors.As(err, &f) || f.Code != "no_good" || f.Stage != pipeline.Train || w.attempts() != upToTrain {
		t.Errorf("%v: %s", err, w.attempts())
	}
}

// TestAStageThatIsKilledIsRetried: its process goes alone, and the next one continues from the checkpoint.
func TestAStageThatIsKilledIsRetried(t *testing.T) {
	w := newWorld(t, "dies once")
	var why []string
	_, _, err := w.run(t.Context(), "input", func(o *Options) {
		o.Retry = func(f *pipeline.Failure, _ time.Duration) { why = append(why, f.Code) }
	})
	if want := upToTrain + ", train from half" + afterTrain; err != nil || w.attempts() != want || !slices.Equal(why, []string{stageDied}) {
		t.Errorf("%v, retried for %v: %s", err, why, w.attempts())
	}
}

// TestAStageThatIsKilledAgainRanOutOfMemory: it is planned smaller once, and then it is a failure with advice.
func TestAStageThatIsKilledAgainRanOutOfMemory(t *testing.T) {
	for behaviour, want := range map[string]string{
		"dies":      upToTrain + ", train from half, train smaller from half",
		"no memory": upToTrain + ", train smaller",
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t, behaviour)
			_, _, err := w.run(t.Context(), "input", nil)
			var f *pipeline.Failure
			if !errors.As(err, &f) || f.Code != pipeline.OutOfMemory || f.Stage != pipeline.Train || f.Advice == "" {
				t.Errorf("%v", err)
			}
			if w.attempts() != want {
				t.Errorf("%s, want %s", w.attempts(), want)
			}
		})
	}
}

func TestASecondProgramIsRefused(t *testing.T) {
	w := newWorld(t, "")
	r, err := w.prepare("input", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if second, err := w.prepare("other", nil); err == nil {
		t.Errorf("it works on %s", errors.Join(second.Close(), errors.New(second.Request.ID)))
	}
}

type brokenInput struct{}

func (brokenInput) ReadAt(p []byte, at int64) (int, error) {
	if at > 0 {
		return 0, errors.New("the disk was pulled out")
	}
	return copy(p, "i"), nil
}

// TestOnlyAForgottenRunIsDoneAgain: until its results are safe elsewhere, a finished run is one to continue.
func TestOnlyAForgottenRunIsDoneAgain(t *testing.T) {
	w := newWorld(t, "")
	for i, want := range []string{everyStage, everyStage, everyStage + ", " + everyStage} {
		r, _, err := w.run(t.Context(), "input", nil)
		if err != nil || w.attempts() != want {
			t.Fatalf("run %d: %v: %s, want %s", i, err, w.attempts(), want)
		}
		if i == 1 {
			if err := r.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAHalfCopiedInputBeginsAnew: what was interrupted before the input was whole holds nothing to continue from.
func TestAHalfCopiedInputBeginsAnew(t *testing.T) {
	w := newWorld(t, "")
	if _, _, err := w.run(t.Context(), "input", func(o *Options) { o.Input = brokenInput{} }); err == nil {
		t.Fatal("half of the input was enough")
	}
	r, _, err := w.run(t.Context(), "input", nil)
	if err != nil || r.Resumed || w.attempts() != everyStage {
		t.Errorf("resumed %v, %v", r.Resumed, err)
	}
}
