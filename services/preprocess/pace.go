package preprocess

import (
	"math"
	"sync"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// pace makes steady progress of what commands report in jumps: between two reports it continues at the planned speed, ever slower
// the farther it is ahead of them, so that it neither stands still nor runs away.
type pace struct {
	tell func(pipeline.Progress)
	at   span

	mu      sync.Mutex
	step    pipeline.Progress // that runs
	spentS  float64
	reached float64 // fraction of the try that was reported
	shown   float64
	wholeS  float64 // what the try takes as far as is known, in seconds: by the plan, later by what reports say
	leftS   float64 // of the try, as it was reported; 0 at first
}

// LeftMetric names the seconds that are left of a stage, among the metrics of its progress.
const LeftMetric = "left_s"

const (
	tickEvery = time.Second
	// reach is how far ahead of the reports progress has a third of its speed left.
	reach = 0.1
	// knownFrom is the fraction from which the speed so far says more than the plan: extraction counts for its share whether it
	// takes a second or a minute, so some of what follows must have been seen.
	knownFrom = extractShare + 0.05
)

// report takes what a command says: fraction of the try is done.
func (p *pace) report(step pipeline.Progress, fraction float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = max(p.reached, fraction)
	if p.reached > knownFrom && p.spentS > 0 {
		p.wholeS = p.spentS / p.reached
	}
	p.step, p.shown = step, max(p.shown, p.reached)
	// The time left falls as time goes by. It is reported anew where that has become clearly wrong, not for every doubt.
	const clearly, atLeastS = 1.3, 5
	if left := (1 - p.reached) * p.wholeS; left < p.leftS/clearly || left > p.leftS*clearly && left > p.leftS+atLeastS {
		p.leftS = left
	}
	p.show()
}

// tick continues for some seconds in which nothing was reported.
func (p *pace) tick(seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spentS += seconds
	p.leftS = max(0, p.leftS-seconds)
	if whole := p.wholeS; whole > 0 {
		// Never all of what is left: the end is for the command to report.
		p.shown += min(seconds/whole*math.Exp(-(p.shown-p.reached)/reach), (1-p.shown)/10)
	}
	p.show()
}

func (p *pace) show() {
	if p.step.Step == "" {
		return
	}
	if p.leftS < 1 && p.shown < 1 { // longer than was expected, and nothing is reported
		p.leftS = (1 - p.shown) * p.wholeS
	}
	p.step.Percent = p.at.at(p.shown)
	p.step.Metrics = map[string]float64{LeftMetric: math.Round(p.leftS)}
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
