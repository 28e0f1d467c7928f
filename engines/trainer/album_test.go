package trainer

import (
	"bytes"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// counting is a device that counts the pictures that are copied to it, and those of them that are late: copied only at their own visit.
type counting struct {
	*ptx.Device
	visits, copies, late int
}

type countedBuffer struct {
	gpu.Buffer
	d      *counting
	visits int // when it was copied to
}

func (c *counting) Alloc(bytes int) (gpu.Buffer, error) {
	b, err := c.Device.Alloc(bytes)
	if err != nil {
		return nil, err
	}
	return &countedBuffer{Buffer: b, d: c, visits: -1}, nil
}

func (b *countedBuffer) WriteAhead(parts ...[]byte) error {
	if len(parts) == 3 { // the channels of a picture
		b.d.copies++
		b.visits = b.d.visits
	}
	return b.Buffer.WriteAhead(parts...)
}

func (c *counting) Launch(k gpu.Kernel, groups int, args ...any) error {
	for i, arg := range args {
		b, buffer := arg.(*countedBuffer)
		if !buffer {
			continue
		}
		if k.Name == "loss_windows" && b.visits == c.visits {
			c.late++
		}
		args[i] = b.Buffer
	}
	if k.Name == "loss_windows" {
		c.visits++
	}
	return c.Device.Launch(k, groups, args...)
}

// A card on which not all pictures fit beside the model trains to the same bytes as one on which they do, within its memory, and what
// does not stay is copied once for each visit, before it.
func TestPicturesThatDoNotFitTheCard(t *testing.T) {
	cfg, d := testConfig(21), laden(t, wavy(9))
	cfg.MaxGaussians, cfg.BackgroundMode, cfg.Exposure = 100, BackgroundFixed, true // one that changes is another picture at each visit
	images := len(d.Train)
	each := bytesOnCard(&d.Train[1].Levels[0], d.Train[1].prior(0))
	enough := int64(1 << 30)
	short := enough - roomOnCard(enough, &cfg, d) // what no picture gets, but for an eighth of the memory
	short = (short - enough/8) * 8 / 7
	var want []byte
	for _, test := range []struct {
		name         string
		memory       int64
		stay         int // pictures of full size
		copies, late int
	}{
		// The first epoch's seven visits are three at a quarter of the size, at which two more pictures are copied ahead, and four at
		// half of it; two epochs at full size follow. In the last one picture is in its slot from the one before. Nothing knows
		// the first of a level or an epoch before its visit.
		{"enough", enough, images, 3 + 2 + 4 + images, 3},
		{"three stay", short + (3+ahead+1)*each*8/7 + 16, 3, 3 + 2 + 4 + images + (images - 3 - 1), 3},
		{"none stays", short + (ahead+1)*each*8/7 - 16, 0, 3 + 2 + 4 + images + (images - 1), 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			card := &counting{Device: interpreted(t)}
			card.Bytes = test.memory
			run := newTraining(cfg, d, Hooks{Clock: ticking(1), Device: card})
			defer run.machine.close()
			run.start()
			res, err := run.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := plyOf(t, res.Cloud); want == nil {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Error("another PLY is written")
			}
			a := &run.machine.(*device).album
			if len(a.kept) != test.stay || a.used > a.stay {
				t.Errorf("%d pictures of %d bytes stay, want %d in %d", len(a.kept), a.used, test.stay, a.stay)
			}
			if card.visits != cfg.Iterations || card.copies != test.copies || card.late != test.late {
				t.Errorf("%d pictures were copied, %d of them only at their visits; want %d and %d", card.copies, card.late, test.copies, test.late)
			}
		})
	}
}
