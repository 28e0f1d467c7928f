package cost

import (
	"slices"

	"github.com/splatworks/splatworks/pipeline"
)

// Plan is one way to run a reconstruction.
type Plan struct {
	Name    string
	Stages  []Stage
	LeftGiB float64 // upload and artifacts
}

// Sizes of the stages' workers as terraform gives them; a test compares them with terraform/variables_stages.tf.
var (
	sizes = map[string]Machine{
		"filter":     {VCPU: 8, MemoryGiB: 16},
		"preprocess": {VCPU: 8, MemoryGiB: 16},
		"depth":      {VCPU: 8, MemoryGiB: 16},
		"train":      {VCPU: 8, MemoryGiB: 16},
		"export":     {VCPU: 2, MemoryGiB: 8},
	}
	// continued is the stage in whose execution another one is done, as terraform's machines say; not on a GPU.
	continued = map[string]string{"preprocess": "filter", "export": "train"}
	slots     = map[string]int{"filter": 4, "preprocess": 2, "depth": 1, "train": 2, "export": 4}
	gpuSizes  = map[string]Machine{
		"depth": {VCPU: 4, MemoryGiB: 16, L4: true},
		"train": {VCPU: 4, MemoryGiB: 16, L4: true},
	}
)

// work50 is what the fox capture takes (50 frames of 640 px, standard preset): processor seconds from the report.json of
// one run on two busy cores. Training is a budget of wall time. Depth is Depth-Anything-V2 Small at 518 px, 1.11 processor
// seconds an image, measured apart.
var work50 = map[string]Work{
	"filter":     {CPUS: 1.1},
	"preprocess": {CPUS: 82},
	"depth":      {CPUS: 50 * 1.11},
	"train":      {WallS: 75},
	"export":     {CPUS: 4.4},
}

// scaled is the work of more frames: everything before training grows with their number (the matcher is sequential).
func scaled(frames float64, trainS float64) map[string]Work {
	grown := map[string]Work{}
	for stage, w := range work50 {
		grown[stage] = Work{CPUS: w.CPUS * frames / 50, WallS: w.WallS}
	}
	grown["train"] = Work{WallS: trainS}
	return grown
}

// Plans are the rows of the table: a small and a large capture on CPUs, which is what a first deployment runs on, and the
// large one with depth, and with training too, on an L4. A preset's training time is the same on a GPU: it makes more of it.
func Plans() []Plan {
	plan := func(name string, leftGiB float64, work map[string]Work, gpus ...string) Plan {
		p := Plan{Name: name, LeftGiB: leftGiB}
		for _, s := range pipeline.Stages() {
			stage := string(s)
			m := sizes[stage]
			if slices.Contains(gpus, stage) {
				m = gpuSizes[stage]
			}
			before, continues := continued[stage]
			if continues = continues && !slices.Contains(gpus, before); continues {
				m = sizes[before]
			}
			p.Stages = append(p.Stages, Stage{Name: stage, Machine: m, Work: work[stage], Continues: continues})
		}
		return p
	}
	gpu := scaled(300, 300)
	// Ten milliseconds an image is what others report for this model on larger cards; loading it dominates.
	gpu["depth"] = Work{WallS: 300 * 0.02}
	return []Plan{
		plan("50 frames, CPU", 0.2, work50),
		plan("300 frames, CPU, high", 1, scaled(300, 300)),
		plan("300 frames, depth on L4, high", 1, gpu, "depth"),
		plan("300 frames, depth and training on L4, high", 1, gpu, "depth", "train"),
	}
}

// What the idle bill counts: the images at their compressed sizes, ten builds kept (thirty versions of each), the layers of the
// last builds, and the alert policies.
const (
	ImageGiB = 10 * 0.5
	CacheGiB = 3
	Alerts   = 8
)

// What a deployment takes on the build machine: assumptions, to be replaced by the first build's log.
const (
	FirstBuildMin = 40
	LaterBuildMin = 15
)
