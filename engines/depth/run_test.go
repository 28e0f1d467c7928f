package depth_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
	"github.com/splatworks/splatworks/engines/fault"
)

func TestContract(t *testing.T) {
	t.Run("stand-in", func(t *testing.T) {
		depthtest.Contract(t, func(*testing.T) depth.Estimator { return &depthtest.StandIn{D: depthtest.Descriptor()} })
	})
	t.Run("runtime", func(t *testing.T) {
		path := write(t, dav2.StandIn(descriptor.Mean, descriptor.Std))
		depthtest.Contract(t, func(t *testing.T) depth.Estimator {
			return open(t, path, descriptor, depth.Options{Provider: depth.CPU})
		})
	})
}

func standIn() *depthtest.StandIn { return &depthtest.StandIn{D: depthtest.Descriptor()} }

// shade is an image of one known red, with something in it.
func shade(i int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 40+i%3*10, 40))
	for p := range m.Bounds().Dx() * 40 {
		m.Pix[4*p], m.Pix[4*p+3] = uint8(50+i+p%2), 255
	}
	return m
}

// Every image comes through once, with its own map, whatever the batches are; a picture that cannot be decoded or shows
// nothing stops nobody; no more images are under way than allowed, and as many maps are handled at once as asked for.
func TestRun(t *testing.T) {
	const n = 60
	for _, o := range []depth.RunOptions{{}, {Batch: 4, Decoders: 3}, {Batch: 1, Decoders: 1, Ahead: 1}, {Batch: 8, Decoders: 2, Ahead: 30}, {Batch: 2, Decoders: 3, Handlers: 3}} {
		var under, most, handling atomic.Int64
		var mu sync.Mutex
		var together sync.WaitGroup // of the first handlers
		together.Add(max(o.Handlers, 1))
		seen := make(map[int]bool)
		broken := errors.New("broken file")
		_, err := depth.Run(t.Context(), standIn(), n, func(_ context.Context, i int) (image.Image, error) {
			if now := under.Add(1); now > most.Load() {
				most.Store(now)
			}
			switch i {
			case 7:
				return nil, broken
			case 11:
				return image.NewUniform(color.Black), nil // without bounds
			case 13:
				return image.NewGray(image.Rect(0, 0, 50, 50)), nil // one colour
			}
			return shade(i), nil
		}, func(_ context.Context, r depth.Result) error {
			under.Add(-1)
			if handling.Add(1) <= int64(max(o.Handlers, 1)) {
				together.Done()
				together.Wait()
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[r.Index] {
				t.Errorf("image %d twice", r.Index)
			}
			seen[r.Index] = true
			var f *fault.Failure
			switch r.Index {
			case 7:
				if !errors.Is(r.Err, broken) {
					t.Errorf("a broken file: %v", r.Err)
				}
			case 11:
				if !errors.As(r.Err, &f) || f.Code != depth.UnreadableImage {
					t.Errorf("an endless image: %v", r.Err)
				}
			case 13:
				if !errors.As(r.Err, &f) || f.Code != depth.BadOutput {
					t.Errorf("one colour: %v", r.Err)
				}
			default:
				want := depthtest.Gain*(50.5+float64(r.Index))/255 + depthtest.Shift
				if r.Err != nil || r.Width != 40+r.Index%3*10 || !(math.Abs(mean(r.Map.Values)-want) < 0.05) {
					t.Errorf("image %d: %v, mean %v, want %v", r.Index, r.Err, mean(r.Map.Values), want)
				}
			}
			return nil
		}, o)
		bound := int64(o.Ahead)
		if bound == 0 {
			bound = 64
		}
		if err != nil || len(seen) != n || most.Load() > max(bound, int64(o.Decoders+o.Handlers+3*o.Batch)) {
			t.Errorf("%+v: %d of %d images, %d at once, %v", o, len(seen), n, most.Load(), err)
		}
	}
	if _, err := depth.Run(t.Context(), standIn(), 0, nil, nil, depth.RunOptions{}); err != nil {
		t.Errorf("no images: %v", err)
	}
}

func mean(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(len(values))
}

// answering gives every image the same answer, or the same error.
type answering struct {
	depthtest.StandIn
	value func(i int) float32
	err   error
}

func (a *answering) Estimate(_ context.Context, inputs []depth.Input) (maps []depth.Map, _ error) {
	for _, in := range inputs {
		m := depth.Map{Width: in.Width, Height: in.Height, Values: make([]float32, in.Width*in.Height)}
		for i := range m.Values {
			m.Values[i] = a.value(i)
		}
		maps = append(maps, m)
	}
	return maps, a.err
}

// Answers that say nothing are caught and named.
func TestEmptyAnswers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		value func(int) float32
		says  string
	}{
		"all NaN":        {func(int) float32 { return nan }, "no number for 4900 of 4900 pixels"},
		"one NaN":        {func(i int) float32 { return map[bool]float32{true: nan, false: float32(i)}[i == 77] }, "no number for 1 of 4900"},
		"infinite":       {func(i int) float32 { return map[bool]float32{true: inf, false: float32(i)}[i%2 == 0] }, "no number for 2450"},
		"all zero":       {func(int) float32 { return 0 }, "0 for every pixel"},
		"constant":       {func(int) float32 { return 0.9741 }, "0.9741 for every pixel"},
		"minus constant": {func(int) float32 { return -3 }, "-3 for every pixel"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := depth.Run(t.Context(), &answering{StandIn: *standIn(), value: c.value}, 1,
				func(context.Context, int) (image.Image, error) { return shade(0), nil },
				func(_ context.Context, r depth.Result) error {
					var f *fault.Failure
					if !errors.As(r.Err, &f) || f.Code != depth.BadOutput || !strings.Contains(f.Message, c.says) || f.Advice == "" {
						t.Errorf("says %v", r.Err)
					}
					return nil
				}, depth.RunOptions{})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := (depth.Map{Width: 2, Height: 1, Values: []float32{1, 2}}).Check(); err != nil {
		t.Error(err)
	}
	if err := (depth.Map{Width: 2, Height: 2, Values: []float32{1, 2}}).Check(); err == nil {
		t.Error("half a map passes")
	}
}

// waiting never answers.
type waiting struct {
	depthtest.StandIn
	reached chan struct{}
	once    sync.Once
}

func (w *waiting) Estimate(ctx context.Context, _ []depth.Input) ([]depth.Map, error) {
	w.once.Do(func() { close(w.reached) })
	<-ctx.Done()
	return nil, ctx.Err()
}

// Run ends with what ended it: the caller, the model, or the one who handles maps.
func TestRunEnds(t *testing.T) {
	decode := func(_ context.Context, i int) (image.Image, error) { return shade(i), nil }
	none := func(context.Context, depth.Result) error {
		t.Error("a map where there is none")
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &waiting{StandIn: *standIn(), reached: make(chan struct{})}
	go func() {
		<-w.reached
		cancel()
	}()
	if _, err := depth.Run(ctx, w, 100, decode, none, depth.RunOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	failed := errors.New("out of order")
	if _, err := depth.Run(t.Context(), &answering{StandIn: *standIn(), err: failed, value: func(int) float32 { return 1 }}, 100, decode, none, depth.RunOptions{}); !errors.Is(err, failed) {
		t.Errorf("the model failed: %v", err)
	}
	full := errors.New("disk full")
	handled := 0
	_, err := depth.Run(t.Context(), standIn(), 100, decode, func(context.Context, depth.Result) error {
		handled++
		return full
	}, depth.RunOptions{})
	if !errors.Is(err, full) || handled != 1 {
		t.Errorf("after an error of its own it handled %d: %v", handled, err)
	}
	decodeAfter := func(ctx context.Context, _ int) (image.Image, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := depth.Run(ctx, standIn(), 100, decodeAfter, none, depth.RunOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v", err)
	}
}
