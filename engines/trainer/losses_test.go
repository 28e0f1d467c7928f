package trainer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
)

// A step waits for its instances and for nothing else; the losses come later, in their order, and are those of a training that waits for
// each. What a visit needs at once is waited for.
func TestLossesAreNotWaitedFor(t *testing.T) {
	full := slices.Repeat([]int{1}, gpu.MostLosses+3)
	full[0], full[gpu.MostLosses] = 2, 2 // the first loss, to have one; then all that there is room for
	d := wavy(9)
	for name, expected := range map[string][]int{"plain": full, "exposure": {2, 2, 2}, "poses": {3, 2, 2}} {
		cfg := testConfig(len(expected))
		cfg.MaxGaussians, cfg.Exposure, cfg.RefinePoses = 16, name == "exposure", name == "poses"
		var want []float64
		var mean float64
		for _, waits := range []bool{true, false} {
			device := &reads{Device: interpreted(t)}
			run := newTraining(cfg, d, Hooks{Clock: ticking(1), Device: device})
			run.schedule.QuarterUntil, run.schedule.QuarterEpochs = 2, cfg.Iterations // small pictures
			var losses []float64
			run.machine = &listening{run.machine, &losses}
			run.start()
			if err := run.begin(); err != nil {
				t.Fatal(err)
			}
			var perStep []int
			for ; run.iteration < cfg.Iterations; run.iteration++ {
				before := device.count
				if err := run.step(run.fraction()); err != nil {
					t.Fatal(err)
				}
				perStep = append(perStep, device.count-before)
				if waits {
					if err := run.hear(true); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := run.hear(true); err != nil {
				t.Fatal(err)
			}
			run.machine.close()
			if waits {
				want, mean = losses, run.lossMean
				continue
			}
			if len(losses) != cfg.Iterations || !slices.Equal(losses, want) || run.lossMean != mean {
				t.Errorf("%s: other losses than those of a training that waits for each:\n%v\n%v", name, losses, want)
			}
			if !slices.Equal(perStep, expected) {
				t.Errorf("%s: waits of each step: %v, want %v", name, perStep, expected)
			}
		}
	}
}

// listening notes the losses that the training gets.
type listening struct {
	machine
	heard *[]float64
}

func (l *listening) losses(all bool) ([]float64, error) {
	losses, err := l.machine.losses(all)
	*l.heard = append(*l.heard, losses...)
	return losses, err
}

// reads is a device that notes what is read back, how often and how much at once, and the most memory in use.
type reads struct {
	gpu.Device
	count          int
	largest        int64
	used, mostUsed int64
}

type readBuffer struct {
	gpu.Buffer
	d     *reads
	bytes int64
}

func (b *readBuffer) Read(at int, data []byte) error {
	b.d.count++
	b.d.largest = max(b.d.largest, int64(len(data)))
	return b.Buffer.Read(at, data)
}

func (b *readBuffer) Free() {
	b.d.used -= b.bytes
	b.bytes = 0
	b.Buffer.Free()
}

func (d *reads) Alloc(bytes int) (gpu.Buffer, error) {
	b, err := d.Device.Alloc(bytes)
	if err != nil {
		return nil, err
	}
	d.used += int64(bytes)
	d.mostUsed = max(d.mostUsed, d.used)
	return &readBuffer{b, d, int64(bytes)}, nil
}

func (d *reads) Launch(k gpu.Kernel, groups int, args ...any) error {
	args = slices.Clone(args)
	for i, arg := range args {
		if b, wrapped := arg.(*readBuffer); wrapped {
			args[i] = b.Buffer
		}
	}
	if err := d.Device.Launch(k, groups, args...); err != nil {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	return nil
}
