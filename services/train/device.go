package train

import (
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Codes of failures of a graphics card.
const (
	cardMissing = "card_missing" // none can train
	cardWrong   = "card_wrong"   // it does not compute what the processor does
	cardFailed  = "card_failed"  // while it worked
	cardMemory  = "card_memory"  // it is full
)

// device is what trains, and why.
type device struct {
	card         gpu.Device // nil: the processor
	name, reason string
	fast         bool // a card that is worth larger models
	tookOver     bool // from a card that failed
	keeps        bool // the Gaussians of a checkpoint, however many
}

// fit makes the configuration that of the device: on a fast card more Gaussians, unless their number is asked for, and larger images
// fit into the time. After a full card half of everything is planned, of what is kept there too.
func (d *device) fit(cfg *trainer.Config, asked pipeline.Request, smaller bool) {
	switch {
	case d.fast:
		cfg.OnCard(d.card.Memory(), asked.Options.MaxGaussians)
		cfg.MaxSide = asked.CardLongEdgePx()
		if smaller {
			cfg.MaxGaussians /= 2
		}
	case d.tookOver, d.card != nil && !smaller: // which may have been faster when it made the checkpoint
		cfg.Takeover()
		d.keeps = true
	}
	if smaller && d.card != nil {
		d.card = half{d.card}
	}
}

// half of a card's memory is to be used.
type half struct{ gpu.Device }

func (h half) Memory() int64 { return h.Device.Memory() / 2 }

// gaussians that a part of the budget can make use of.
func (d device) gaussians(budget time.Duration) int {
	if d.fast {
		return trainer.GaussiansOnCard(budget)
	}
	return trainer.GaussiansFor(budget)
}

func (d device) close() error {
	if d.card == nil {
		return nil
	}
	return d.card.Close()
}

// warn reports to a client what it does not get: a card that the deployment pays for, Gaussians that it asked for.
func (c Config) warn(job *stage.Job, on device, cfg *trainer.Config) {
	if c.Expected && on.card == nil && c.Device != cards.CPU {
		job.Warn(pipeline.Warning{Code: "card_unused", Message: "There should be a graphics card, but the processor trained: " + on.reason,
			Advice: "Have the operator of this deployment look at its card: 'splatworks doctor --gpu' says what is wrong with it."})
	}
	if asked := job.Options.MaxGaussians; cfg.MaxGaussians < asked {
		job.Warn(pipeline.Warning{Code: "fewer_gaussians", Message: fmt.Sprintf("%d Gaussians were asked for; the memory has room for %d.", asked, cfg.MaxGaussians)})
	}
}

// choose opens the card that trains, if one does. With auto it is one that agrees with the processor about a first view and is
// quicker; what stands against it is the reason, and the processor trains. A card that was asked for by its driver must agree.
func (c Config) choose(job *stage.Job, cfg *trainer.Config, data *trainer.Dataset) (device, error) {
	processor := func(reason string) (device, error) {
		return device{name: artifacts.ProcessorTrained, reason: reason}, nil
	}
	switch auto := c.Device == cards.Auto || c.Device == ""; {
	case c.Device == cards.CPU:
		return processor("as the settings of this machine ask")
	case auto && job.Earlier != nil && job.Earlier.Code == cardFailed:
		d, err := processor("the graphics card failed in the attempt before this one")
		d.tookOver = true
		return d, err
	default:
		d, err := c.open(auto, cfg, data)
		if err != nil && auto {
			return processor(err.Error())
		}
		return d, err
	}
}

// muchQuicker than the processor a card must be to be given the counts of a card: one that is hardly quicker, or is the processor,
// would only grow what it has no time to train.
const muchQuicker = 4

// open returns a card that agrees with the processor and, if it must, outdoes it; the processor with the reason where that is quicker.
func (c Config) open(quicker bool, cfg *trainer.Config, data *trainer.Dataset) (device, error) {
	open := c.OpenCard
	if open == nil {
		open = cards.Open
	}
	driver := c.Device
	if driver == "" {
		driver = cards.Auto
	}
	card, err := open(driver)
	if err != nil {
		return device{}, fault.New(fault.Broken, cardMissing, "Train with 'auto' or 'cpu', or look at what 'splatworks doctor' says about the card.", "No graphics card can train here.").Because(err)
	}
	started := c.Now()
	trial, err := trainer.TryDevice(*cfg, data, card, func() time.Duration { return c.Now().Sub(started) })
	if err != nil {
		return device{}, errors.Join(cardFailure(err), card.Close())
	}
	if !trial.Agrees() {
		return device{}, errors.Join(fault.New(fault.Broken, cardWrong, "Train on the processor; another version of the card's driver may help.",
			"%s does not compute what the processor does: the loss of a view is off by %.1g, its gradient by %.1g, that by the camera by %.1g.", card.Name(), trial.LossApart, trial.GradientApart, trial.PoseApart), card.Close())
	}
	measured := fmt.Sprintf("a view takes it %.3g ms, the processor %.3g ms", milliseconds(trial.Device), milliseconds(trial.Processor))
	if quicker && trial.Device >= trial.Processor {
		return device{name: artifacts.ProcessorTrained, reason: fmt.Sprintf("%s: %s", card.Name(), measured)}, card.Close()
	}
	return device{card: card, name: card.Name(), reason: measured, fast: muchQuicker*trial.Device <= trial.Processor}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cardFailure says in a failure what happened to a card; other errors stay what they are.
func cardFailure(err error) error {
	switch {
	case errors.Is(err, gpu.ErrMemory):
		return fault.New(fault.Exhausted, cardMemory, "Use a card with more memory, a smaller long_edge or a shorter training time.", "The memory of the graphics card is full.").Because(err)
	case errors.Is(err, gpu.ErrFailed):
		return &pipeline.Failure{Kind: pipeline.Transient, Code: cardFailed, Message: "The graphics card failed.", Advice: "Nothing: training continues from its last checkpoint.", Err: err}
	}
	return err
}
