package colmap

import "sync"

// phase is one part of Reconstruct.
type phase int

const (
	phaseExtract phase = iota
	phaseMatch
	phaseMap
	phaseUndistort
	numPhases
)

// phaseWeights are the parts of the whole time that phases take where nothing is known of the images (measured: 50 frames of 640
// pixels on 2 cores).
var phaseWeights = [numPhases]float64{phaseExtract: 0.22, phaseMatch: 0.53, phaseMap: 0.22, phaseUndistort: 0.03}

// overall turns the progress of single commands into the fraction of Reconstruct that is done, which never falls.
type overall struct {
	mu       sync.Mutex
	listener func(Progress)
	current  phase
	share    int                // commands of the phase that run at the same time
	parts    map[string]float64 // fraction of each command of the phase
	weights  [numPhases]float64 // of the whole, 1 together; zero: phaseWeights
	wholeS   float64            // that the phases are expected to take
	within   [2]float64         // where the current command begins and ends in the phase; zero: it is all of it
	base     float64            // of the whole that was done before some of it had to be done again
	fraction float64
}

// expect sets what the phases are expected to take, seconds. What is done stays done.
func (o *overall) expect(phases [numPhases]float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := 0.0
	for _, s := range phases {
		sum += s
	}
	if !(sum > 0) {
		return
	}
	o.wholeS = sum
	for p, s := range phases {
		o.weights[p] = s / sum
	}
}

// phase begins a part.
func (o *overall) phase(p phase) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current, o.share, o.parts, o.within = p, 1, make(map[string]float64), [2]float64{}
}

// next says that the next command does the phase from where the one before it ended up to a fraction of it.
func (o *overall) next(to float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.within, o.parts = [2]float64{o.within[1], to}, make(map[string]float64)
}

// again says that phases are gone through once more: they share what is left.
func (o *overall) again() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.base = o.fraction
}

// parallel says that n commands of this phase run at the same time.
func (o *overall) parallel(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.share = n
}

// aside are commands that take little of their phase, before the one that does the work: that they end says nothing about it.
var aside = map[string]bool{"view_graph_calibrator": true, "vocab_tree_builder": true, "rotation_averager": true}

// report is the listener of the commands.
func (o *overall) report(p Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.Total > 0 && !aside[p.Command] {
		o.parts[p.Command] = float64(p.Step) / float64(p.Total)
	}
	sum := 0.0
	for _, part := range o.parts {
		sum += part
	}
	weights := o.weights
	if weights == [numPhases]float64{} {
		weights = phaseWeights
	}
	done := 0.0
	for _, weight := range weights[:o.current] {
		done += weight
	}
	part := min(sum/float64(o.share), 1)
	if o.within[1] > 0 {
		part = o.within[0] + (o.within[1]-o.within[0])*part
	}
	done += weights[o.current] * part
	o.fraction = max(o.fraction, o.base+(1-o.base)*min(done, 1))
	p.Fraction, p.ExpectedS = o.fraction, o.wholeS
	if o.listener != nil {
		o.listener(p)
	}
}

// finish says that everything is done.
func (o *overall) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fraction = 1
	if o.listener != nil {
		o.listener(Progress{Command: "image_undistorter", Step: 1, Total: 1, Message: "done", Fraction: 1})
	}
}
