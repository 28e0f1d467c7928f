package pipeline

// Plan is how much work a request is going to be, estimated from its input before the expensive work starts. Once stages
// have finished, what they really took is beside it.
type Plan struct {
	Preset       Preset  `json:"preset"`
	Images       int     `json:"images"`
	Width        int     `json:"width"` // of the images
	Height       int     `json:"height"`
	Features     int     `json:"features"` // most of an image
	Matcher      string  `json:"matcher"`  // how the pairs of images are found
	Pairs        int     `json:"pairs"`    // of images that are compared
	TrainBudgetS float64 `json:"train_budget_s"`
	Iterations   int     `json:"iterations"` // of training that fit into its budget, roughly
	Gaussians    int     `json:"gaussians"`  // at most
	Threads      int     `json:"threads"`
	Smaller      bool    `json:"smaller,omitempty"` // an attempt before this plan ran out of memory

	Stages []StagePlan `json:"stages"`
}

// StagePlan sets what a stage was expected to take beside what it took.
type StagePlan struct {
	Stage              Stage   `json:"stage"`
	PlannedWallS       float64 `json:"planned_wall_s"`
	PlannedMemoryBytes int64   `json:"planned_memory_bytes,omitempty"`
	WallS              float64 `json:"wall_s,omitempty"` // 0 until the stage has finished
	PeakRSSBytes       int64   `json:"peak_rss_bytes,omitempty"`
}

// WallS is the time that all planned stages take together, in seconds.
func (p *Plan) WallS() float64 {
	sum := 0.0
	for _, s := range p.Stages {
		sum += s.PlannedWallS
	}
	return sum
}

// Took notes what a stage really took. A stage that the plan does not name is left out.
func (p *Plan) Took(stage Stage, wallS float64, peakRSSBytes int64) {
	for i := range p.Stages {
		if p.Stages[i].Stage == stage {
			p.Stages[i].WallS, p.Stages[i].PeakRSSBytes = wallS, peakRSSBytes
		}
	}
}

// presets are what a preset stands for, unless an option says otherwise.
var presets = map[Preset]struct {
	longEdgePx     int // of the training images
	cardLongEdgePx int // of those on a graphics card
	features       int // most of an image
	posesS         float64
	trainS         float64 // the trainer's own Budget for the preset: a test of services/train compares them
}{
	Preview:  {longEdgePx: 480, cardLongEdgePx: 960, features: 2000, posesS: 180, trainS: 20},
	Standard: {longEdgePx: 640, cardLongEdgePx: 1280, features: 4096, posesS: 360, trainS: 75},
	High:     {longEdgePx: 960, cardLongEdgePx: 1600, features: 8192, posesS: 900, trainS: 300},
}

// TrainS is how many seconds training takes.
func (o Options) TrainS() float64 {
	if o.TrainBudgetS > 0 {
		return o.TrainBudgetS
	}
	return presets[o.WithDefaults().Preset].trainS
}

// PosesBudgetS is how many seconds further tries for poses may take where the first leaves images out.
func (o Options) PosesBudgetS() float64 { return presets[o.WithDefaults().Preset].posesS }

// Features is how many features are looked for in an image at most.
func (o Options) Features() int { return presets[o.WithDefaults().Preset].features }
