package preprocess

import (
	"math"
	"sync"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// pace makes steady progress of what commands report in jumps: between two reports it continues at the speed so far, ever slower
// the farther it is ahead of them, so that it neither stands still nor runs away.
type pace struct {
	tell func(pipeline.Progress)
	at   span

	mu      sync.Mutex
	step    pipeline.Progress // that runs
	posing  bool              // images are extracted, and poses are looked for
	planS   float64           // what that takes by the plan, seconds
	spentS  float64           // since the images began to be extracted, or poses to be looked for
	reached float64           // fraction of the try that was reported
	heardS  float64           // spentS when it was
	shown   float64
	known   bool    // what is left was reported
	leftS   float64 // of the try, as it was reported
	sinceS  float64 // that was raised the last time
}

// LeftMetric names the seconds that are left of a stage, among the metrics of its progress.
const LeftMetric = "left_s"

const (
	tickEvery = time.Second
	// reach is how far ahead of the reports progress has a third of its speed left.
	reach = 0.1
	// planWeightS is how many seconds of work must be done before the speed so far counts as much as the plan's: a first image or
	// a first pair says little of the others.
	planWeightS = 5
	// The time left is raised by at most this share, and again after riseEveryS at the earliest.
	mostRise   = 0.2
	riseEveryS = 5
	// clearlyLess is the factor from which on it is lowered beyond what the clock does.
	clearlyLess = 1.3
	atLeastS    = 2 // less than that is no reason to raise it
)

// extracting takes how much of the images is extracted.
func (p *pace) extracting(step pipeline.Progress, fraction float64) {
	p.report(step, extractShare*fraction)
}

// looking takes what a command says: fraction of all that is done for poses is done, which is expected to take a number of seconds
// together; 0: as before.
func (p *pace) looking(step pipeline.Progress, fraction, expectedS float64) {
	p.mu.Lock()
	if !p.posing {
		p.posing, p.spentS, p.heardS = true, 0, 0
	}
	if expectedS > 0 {
		p.planS = expectedS
	}
	p.mu.Unlock()
	p.report(step, extractShare+(1-extractShare)*fraction)
}

func (p *pace) report(step pipeline.Progress, fraction float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fraction > p.reached {
		p.reached, p.heardS = fraction, p.spentS
	}
	p.step, p.shown = step, max(p.shown, p.reached)
	p.settle()
	p.show()
}

// tick continues for some seconds in which nothing was reported.
func (p *pace) tick(seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spentS += seconds
	p.sinceS += seconds
	p.leftS = max(p.leftS-seconds, min(p.leftS, p.expectedS()))
	if whole := p.expectedS() / max(1-p.shown, 1e-9); whole > 0 {
		// Never all of what is left: the end is for the command to report.
		p.shown += min(seconds/whole*math.Exp(-(p.shown-p.reached)/reach), (1-p.shown)/10)
	}
	p.settle()
	p.show()
}

// expectedS is what is left by the plan and the speed so far.
func (p *pace) expectedS() float64 {
	if !p.posing {
		extract, part := 0.0, p.reached/extractShare
		if part > extractShare {
			extract = p.spentS * (1 - part) / part
		}
		return extract + p.planS
	}
	of := func(fraction float64) float64 { return max(fraction-extractShare, 0) / (1 - extractShare) }
	slower := (p.heardS + planWeightS) / (of(p.reached)*p.planS + planWeightS)
	return (1 - of(p.shown)) * p.planS * slower
}

// settle brings the time left towards what is expected: at once where it is clearly less, step by step where it is more.
func (p *pace) settle() {
	switch expected := p.expectedS(); {
	case !p.known, expected < p.leftS/clearlyLess:
		p.leftS, p.known = expected, p.step.Step != ""
	case expected > p.leftS+atLeastS && p.sinceS >= riseEveryS:
		p.leftS, p.sinceS = min(expected, (1+mostRise)*p.leftS+1), 0
	}
}

func (p *pace) show() {
	if p.step.Step == "" {
		return
	}
	p.step.Percent = p.at.at(p.shown)
	// Something is left until the end is reported; 0 would mean that nothing is known of it.
	p.step.Metrics = map[string]float64{LeftMetric: max(math.Round(p.leftS), 1)}
	p.tell(p.step)
}

// start ticks until stop is called.
func (p *pace) start() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				p.tick(tickEvery.Seconds())
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
