package depth

import (
	"context"
	"fmt"
	"image"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/engines/fault"
)

// Result is what Run found out about one image.
type Result struct {
	Index         int
	Width, Height int // of the image
	Map           Map
	Err           error // why there is no map: of the decoder, or a *fault.Failure
}

// RunOptions shape the pipeline of Run. The zero value of a field means its default.
type RunOptions struct {
	Batch    int // images of one size that the model gets at once (1)
	Decoders int // images that are decoded at once (half of the processors)
	Handlers int // maps that are handled at once (1)
	Ahead    int // images between decoding and the end of handling, all stages together (Decoders + Handlers + 3·Batch)
	// Clock measures Stats; without one they stay 0.
	Clock func() time.Time
}

// Stats say where the time of a Run went.
type Stats struct {
	Wall  time.Duration // from the first decoding to the last handling
	Model time.Duration // within the estimator
}

// Run estimates n images. It decodes ahead while the model works and handles maps while it works on: the model waits for
// nobody who can keep up. At most Ahead images are in memory.
//
// decode is called from several goroutines, handle from Handlers at a time, in no particular order of images. An image
// that cannot be decoded, or whose map is empty, reaches handle with its Err; that is no reason to stop. Run stops at
// the first error of handle or of the model itself, and soon after ctx ends; handle is then not called again, and its calls
// under way end.
func Run(ctx context.Context, e Estimator, n int, decode func(ctx context.Context, i int) (image.Image, error),
	handle func(ctx context.Context, r Result) error, o RunOptions) (Stats, error) {
	o = o.withDefaults()
	d := e.Descriptor()
	now := func() time.Duration { return 0 }
	if o.Clock != nil {
		start := o.Clock()
		now = func() time.Duration { return o.Clock().Sub(start) }
	}
	group, ctx := errgroup.WithContext(ctx)
	room := make(chan struct{}, o.Ahead)
	prepared := make(chan pending, o.Ahead) // never blocks: room bounds it
	results := make(chan Result, o.Ahead)

	var next atomic.Int64
	var decoding sync.WaitGroup
	for range min(o.Decoders, max(n, 1)) {
		decoding.Add(1)
		group.Go(func() error {
			defer decoding.Done()
			for {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				i := int(next.Add(1)) - 1
				if i >= n {
					<-room
					return nil
				}
				prepared <- prepare(ctx, d, i, decode)
			}
		})
	}
	group.Go(func() error {
		decoding.Wait()
		close(prepared)
		return nil
	})
	var inModel time.Duration
	group.Go(func() error {
		defer close(results)
		return infer(ctx, e, o.Batch, prepared, results, func(work func()) {
			from := now()
			work()
			inModel += now() - from
		})
	})
	for range o.Handlers {
		group.Go(func() error {
			for r := range results {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := handle(ctx, r); err != nil {
					return err
				}
				<-room
			}
			return ctx.Err()
		})
	}
	err := group.Wait()
	return Stats{Wall: now(), Model: inModel}, err
}

func (o RunOptions) withDefaults() RunOptions {
	o.Batch = max(o.Batch, 1)
	if o.Decoders <= 0 {
		o.Decoders = max(runtime.NumCPU()/2, 1)
	}
	o.Handlers = max(o.Handlers, 1)
	// Less than this and a batch could wait for images that wait for room.
	o.Ahead = max(o.Ahead, o.Decoders+o.Batch)
	if o.Ahead == o.Decoders+o.Batch {
		o.Ahead += 2*o.Batch + o.Handlers - 1
	}
	return o
}

// pending is an image on its way to the model.
type pending struct {
	result Result
	input  Input
}

func prepare(ctx context.Context, d Descriptor, i int, decode func(ctx context.Context, i int) (image.Image, error)) pending {
	p := pending{result: Result{Index: i}}
	img, err := decode(ctx, i)
	if err == nil {
		p.result.Width, p.result.Height = img.Bounds().Dx(), img.Bounds().Dy()
		p.input, err = d.Prepare(img)
	}
	p.result.Err = err
	return p
}

// infer gathers images of one size into batches. A batch goes to the model when it is full, when an image of another size
// comes, or when the decoders have nothing ready: a model that waits for a full batch would be idle.
func infer(ctx context.Context, e Estimator, most int, in <-chan pending, out chan<- Result, timed func(work func())) error {
	var batch []pending
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		inputs := make([]Input, len(batch))
		for i := range batch {
			inputs[i] = batch[i].input
		}
		var maps []Map
		var err error
		timed(func() { maps, err = e.Estimate(ctx, inputs) })
		if err == nil && len(maps) != len(batch) {
			err = fmt.Errorf("the model gave %d maps for %d images", len(maps), len(batch))
		}
		if err != nil {
			return err
		}
		for i, p := range batch {
			p.result.Map = maps[i]
			p.result.Err = maps[i].Check()
			out <- p.result
		}
		batch = batch[:0]
		return nil
	}
	for {
		var p pending
		var open bool
		select {
		case p, open = <-in:
		default:
			if err := flush(); err != nil {
				return err
			}
			select {
			case p, open = <-in:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !open {
			return flush()
		}
		if p.result.Err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out <- p.result
			continue
		}
		if len(batch) > 0 && (batch[0].input.Width != p.input.Width || batch[0].input.Height != p.input.Height) {
			if err := flush(); err != nil {
				return err
			}
		}
		if batch = append(batch, p); len(batch) == most {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// Check says whether a map says anything at all. Networks in half precision overflow into NaN, and drivers that lack an
// operator have been seen to answer zeros or one value everywhere, without an error.
func (m Map) Check() error {
	bad := func(what, advice string) error {
		return &fault.Failure{Code: BadOutput, Message: "The depth model answered " + what + ".", Advice: advice}
	}
	if m.Width <= 0 || m.Height <= 0 || len(m.Values) != m.Width*m.Height {
		return bad(fmt.Sprintf("%d values for %d x %d", len(m.Values), m.Width, m.Height), "Use the weights that the descriptor belongs to.")
	}
	notNumbers := 0
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range m.Values {
		if v-v != 0 { // NaN or infinite
			notNumbers++
			continue
		}
		low, high = min(low, v), max(high, v)
	}
	largest := max(-low, high)
	switch {
	case notNumbers > 0:
		return bad(fmt.Sprintf("no number for %d of %d pixels", notNumbers, len(m.Values)),
			"Use weights in full precision (float32): half precision overflows in this network.")
	case largest == 0:
		return bad("0 for every pixel", "Use other weights or the provider cpu: these do not work here.")
	case !(high-low > 1e-5*largest):
		return bad(fmt.Sprintf("%g for every pixel", high), "Leave the image out if it shows a bare wall; if all are like this, use the provider cpu.")
	}
	return nil
}
