package train_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/train"
)

// card is the PTX interpreter with the faults of a card.
type card struct {
	gpu.Device
	left  int     // launches until it fails; negative: it never does
	shift float32 // to what is drawn
	full  bool
	quick bool // what it does takes no time
	busy  bool // it did something since the clock was looked at
}

func (c *card) Launch(k gpu.Kernel, groups int, args ...any) error {
	if c.left == 0 {
		return fmt.Errorf("%w: fallen off the bus", gpu.ErrFailed)
	}
	c.left--
	c.busy = true
	if k.Name == "blend_forward" {
		for i, arg := range args {
			if v, ok := arg.(float32); ok {
				args[i] = v + c.shift
			}
		}
	}
	return c.Device.Launch(k, groups, args...)
}

func (c *card) Alloc(bytes int) (gpu.Buffer, error) {
	if c.full {
		return nil, gpu.ErrMemory
	}
	return c.Device.Alloc(bytes)
}

// on lets the stage train for a moment where a card is at hand, or none. The clock moves by 20 milliseconds whenever it is looked
// at, but not for what a quick card did.
func on(t *testing.T, folder string, driver cards.Driver, o pipeline.Options, c *card) (*stagetest.World, *pipeline.Failure) {
	t.Helper()
	var looks atomic.Int64
	now := func() time.Time {
		if c == nil || !c.quick || !c.busy {
			looks.Add(1)
		} else {
			c.busy = false
		}
		return time.UnixMilli(20 * looks.Load())
	}
	o.TrainBudgetS, o.LongEdgePx = 0.1, 32
	w := stagetest.New(t, o, train.Stage(train.Config{
		Threads: 2, Device: driver, Now: now, Expected: true,
		OpenCard: func(asked cards.Driver) (gpu.Device, error) {
			if asked != driver {
				t.Errorf("%q is opened, asked for %q", asked, driver)
			}
			if c == nil {
				return nil, cards.ErrNone
			}
			d, err := ptx.Open(kernels.PTX)
			c.Device = d
			return c, err
		},
	}))
	w.Give(artifacts.Scene, folder)
	w.Work()
	state, err := w.Queue.Lookup(t.Context(), w.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	return w, state.Failure
}

// The report says what trained and why; what was asked for and cannot be is a failure that says so, never another device.
func TestTheDeviceIsChosen(t *testing.T) {
	folder := sceneOf(t, 6, false)
	for name, test := range map[string]struct {
		driver         cards.Driver
		options        pipeline.Options
		card           *card
		device, reason string // of the report
		code           string // of the failure
	}{
		"asked for":         {cards.OpenCL, pipeline.Options{}, &card{left: -1}, "PTX interpreter", "a view takes it 20 ms, the processor 20 ms", ""},
		"the processor":     {cards.CPU, pipeline.Options{}, nil, artifacts.ProcessorTrained, "settings", ""},
		"auto, none":        {cards.Auto, pipeline.Options{}, nil, artifacts.ProcessorTrained, "No graphics card can train here", ""},
		"auto, not quicker": {cards.Auto, pipeline.Options{}, &card{left: -1}, artifacts.ProcessorTrained, "PTX interpreter: a view takes it 20 ms", ""},
		"auto, quicker":     {cards.Auto, pipeline.Options{}, &card{left: -1, quick: true}, "PTX interpreter", "a view takes it 0 ms, the processor 20 ms", ""},
		"none":              {cards.CUDA, pipeline.Options{}, nil, "", "", "card_missing"},
		"wrong":             {cards.CUDA, pipeline.Options{}, &card{left: -1, shift: 0.1}, "", "", "card_wrong"},
		"full":              {cards.CUDA, pipeline.Options{}, &card{left: -1, full: true}, "", "", "card_memory"},
		"with poses":        {cards.CUDA, pipeline.Options{RefinePoses: true}, &card{left: -1}, "PTX interpreter", "a view takes it 20 ms", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, failure := on(t, folder, test.driver, test.options, test.card)
			if test.code != "" {
				if failure == nil || failure.Code != test.code || failure.Advice == "" {
					t.Errorf("failure %+v, want %s", failure, test.code)
				}
				return
			}
			if failure != nil {
				t.Fatal(failure)
			}
			r := w.Report()
			if r.Training.Device != test.device || !strings.Contains(r.Training.DeviceReason, test.reason) {
				t.Errorf("trained on %q because %q", r.Training.Device, r.Training.DeviceReason)
			}
			// A card that is paid for and idle is to be noticed, unless the settings want it so.
			idle := test.device == artifacts.ProcessorTrained && test.driver == cards.Auto
			if said := warned(r, "card_unused"); said != nil != idle || idle && !strings.Contains(said.Message, test.reason) {
				t.Errorf("warned %+v", said)
			}
		})
	}
}

// warned is the report's warning with a code, nil where there is none.
func warned(r *artifacts.ReportDocument, code string) *pipeline.Warning {
	for i, w := range r.Warnings {
		if w.Code == code {
			return &r.Warnings[i]
		}
	}
	return nil
}

// A card that fails ends the attempt as a passing fault.
func TestAFailedCardIsPassing(t *testing.T) {
	_, failure := on(t, sceneOf(t, 6, false), cards.OpenCL, pipeline.Options{}, &card{left: 130})
	if failure == nil || failure.Kind != pipeline.Transient || failure.Code != "card_failed" {
		t.Errorf("failure %+v", failure)
	}
}

// fragile is the PTX interpreter on which something happens once, as soon as ready says so.
type fragile struct {
	gpu.Device
	memory  int64 // it says that it has
	ready   func() bool
	fault   error
	happens *int // times left
}

func (f *fragile) Memory() int64 { return f.memory }

func (f *fragile) Launch(k gpu.Kernel, groups int, args ...any) error {
	if *f.happens > 0 && f.ready() {
		*f.happens--
		return fmt.Errorf("launch: %w", f.fault)
	}
	return f.Device.Launch(k, groups, args...)
}

// A card that fails in the midst of training costs what was done since the last checkpoint: the next attempt continues there, on
// the processor with auto. After a full card it continues with half of the memory.
func TestTheAttemptAfterACard(t *testing.T) {
	const memory = 1 << 24 // room for some thousand Gaussians
	for name, test := range map[string]struct {
		driver   cards.Driver
		fault    error
		code     string
		openings int
		device   string
		most     int // Gaussians
	}{
		"failed": {cards.Auto, gpu.ErrFailed, "card_failed", 1, artifacts.ProcessorTrained, trainer.GaussiansFor(3 * time.Second)},
		"full":   {cards.CUDA, gpu.ErrMemory, "card_memory", 2, "PTX interpreter", trainer.MostOnCard(memory) / 2},
	} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int64
			var w *stagetest.World
			openings, faults := 0, 1
			saved := func() bool {
				_, err := w.Store.Stat(t.Context(), w.Buckets.Artifacts, artifacts.Path(w.Request.ID, pipeline.Train, 1, artifacts.Checkpoint))
				return err == nil
			}
			quick := &card{left: -1, quick: true}
			w = stagetest.New(t, pipeline.Options{TrainBudgetS: 3, LongEdgePx: 32}, train.Stage(train.Config{
				Threads: 2, Device: test.driver,
				Now: func() time.Time {
					if !quick.busy {
						looks.Add(1)
					}
					quick.busy = false
					return time.UnixMilli(300 * looks.Load())
				},
				OpenCard: func(cards.Driver) (gpu.Device, error) {
					openings++
					d, err := ptx.Open(kernels.PTX)
					quick.Device = &fragile{Device: d, memory: memory, ready: saved, fault: test.fault, happens: &faults}
					return quick, err
				},
			}))
			w.Give(artifacts.Scene, sceneOf(t, 4, false))
			w.Work()
			state, err := w.Queue.Lookup(t.Context(), w.Request.ID)
			if err != nil || state.Failure == nil || state.Failure.Code != test.code {
				t.Fatalf("after the first attempt: %+v, %v", state.Failure, err)
			}
			w.Later(time.Hour)
			w.Work()
			r := w.Report()
			history := w.Manifest().History
			at, resumed := history[len(history)-1].Metrics["resumed_at"]
			if !resumed || !(at > 0) {
				t.Errorf("resumed at %v: %t", at, resumed)
			}
			if r.Training.Device != test.device || openings != test.openings || faults != 0 {
				t.Errorf("trained on %q because %q; %d openings", r.Training.Device, r.Training.DeviceReason, openings)
			}
			var report struct{ Config trainer.Config }
			if err := json.Unmarshal(w.Body(artifacts.TrainReport), &report); err != nil || report.Config.MaxGaussians != test.most {
				t.Errorf("at most %d Gaussians, want %d; %v", report.Config.MaxGaussians, test.most, err)
			}
			for _, warning := range r.Warnings {
				if warning.Code == "checkpoint_unusable" {
					t.Errorf("warned %+v", warning)
				}
			}
		})
	}
}
