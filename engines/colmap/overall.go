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

// phaseWeights are the parts of the whole time that phases take (measured: 50 frames of 640 pixels on 2 cores).
var phaseWeights = [numPhases]float64{phaseExtract: 0.22, phaseMatch: 0.53, phaseMap: 0.22, phaseUndistort: 0.03}

// overall turns the progress of single commands into the fraction of Reconstruct that is done, which never falls.
type overall struct {
	mu       sync.Mutex
	listener func(Progress)
	current  phase
	share    int                // commands of the phase that run at the same time
	parts    map[string]float64 // fraction of each command of the phase
	fraction float64
}

// phase begins a part.
func (o *overall) phase(p phase) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current, o.share, o.parts = p, 1, make(map[string]float64)
}

// parallel says that n commands of this phase run at the same time.
func (o *overall) parallel(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.share = n
}

// report is the listener of the commands.
func (o *overall) report(p Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// view_graph_calibrator takes a tenth of global_mapper's time, before it.
	if p.Total > 0 && p.Command != "view_graph_calibrator" {
		o.parts[p.Command] = float64(p.Step) / float64(p.Total)
	}
	sum := 0.0
	for _, part := range o.parts {
		sum += part
	}
	done := 0.0
	for _, weight := range phaseWeights[:o.current] {
		done += weight
	}
	done += phaseWeights[o.current] * min(sum/float64(o.share), 1)
	o.fraction = max(o.fraction, min(done, 1))
	p.Fraction = o.fraction
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
