// Package depthtest holds an estimator that needs neither a runtime nor weights, and the contract that every estimator
// has to keep.
package depthtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
)

// What StandIn makes of the red channel, as dav2.StandIn does in the runtime.
const (
	Gain  = dav2.Gain
	Shift = dav2.Shift
)

// Descriptor is that of Depth-Anything-V2 with a small input.
func Descriptor() depth.Descriptor {
	return depth.Descriptor{Name: "stand-in", File: "stand-in.onnx", Output: depth.InverseDepth, InputMultiple: 14, ShortSide: 70,
		Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225},
		InputName: dav2.InputName, OutputName: dav2.OutputName, License: "Apache-2.0"}
}

// StandIn answers max(0, Gain·red + Shift), red from 0 to 1: an image whose red channel is its inverse depth has an
// exactly known answer.
type StandIn struct {
	D      depth.Descriptor
	closed bool
}

// Descriptor of the model.
func (s *StandIn) Descriptor() depth.Descriptor { return s.D }

// Estimate reads the red planes.
func (s *StandIn) Estimate(ctx context.Context, inputs []depth.Input) ([]depth.Map, error) {
	if s.closed {
		return nil, errors.New("the stand-in is closed")
	}
	var maps []depth.Map
	for _, in := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if in.Width != inputs[0].Width || in.Height != inputs[0].Height || len(in.Values) != 3*in.Width*in.Height {
			return nil, fmt.Errorf("an input of %d x %d with %d values", in.Width, in.Height, len(in.Values))
		}
		m := depth.Map{Width: in.Width, Height: in.Height, Values: slices.Clone(in.Values[:in.Width*in.Height])}
		for i, v := range m.Values {
			m.Values[i] = max(0, Gain*(v*s.D.Std[0]+s.D.Mean[0])+Shift)
		}
		maps = append(maps, m)
	}
	return maps, nil
}

// Close ends it.
func (s *StandIn) Close() error {
	s.closed = true
	return nil
}

// Contract runs what every estimator has to keep. open gives one that takes inputs of 70 x 70 and 98 x 70, in batches.
func Contract(t *testing.T, open func(t *testing.T) depth.Estimator) {
	input := func(w, h, seed int) depth.Input {
		in := depth.Input{Width: w, Height: h, Values: make([]float32, 3*w*h)}
		for i := range in.Values {
			in.Values[i] = float32((i*seed+i%7*31)%101)/50 - 1
		}
		return in
	}
	t.Run("one map per input, each as large as it", func(t *testing.T) {
		e := open(t)
		for _, w := range []int{70, 98} {
			maps, err := e.Estimate(t.Context(), []depth.Input{input(w, 70, 3), input(w, 70, 5), input(w, 70, 3)})
			if err != nil || len(maps) != 3 {
				t.Fatalf("%d maps, %v", len(maps), err)
			}
			for _, m := range maps {
				if err := m.Check(); err != nil || m.Width != w || m.Height != 70 {
					t.Errorf("a map of %d x %d: %v", m.Width, m.Height, err)
				}
			}
			if !slices.Equal(maps[0].Values, maps[2].Values) || slices.Equal(maps[0].Values, maps[1].Values) {
				t.Error("the maps are not in the order of the inputs")
			}
		}
	})
	t.Run("no input, no map", func(t *testing.T) {
		if maps, err := open(t).Estimate(t.Context(), nil); err != nil || len(maps) != 0 {
			t.Errorf("%d maps, %v", len(maps), err)
		}
	})
	t.Run("inputs are left as they are", func(t *testing.T) {
		in := input(70, 70, 3)
		before := slices.Clone(in.Values)
		if _, err := open(t).Estimate(t.Context(), []depth.Input{in}); err != nil || !slices.Equal(before, in.Values) {
			t.Errorf("changed, or %v", err)
		}
	})
	t.Run("a canceled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := open(t).Estimate(ctx, []depth.Input{input(70, 70, 3)}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("inputs that do not fit", func(t *testing.T) {
		short := input(70, 70, 3)
		short.Values = short.Values[:100]
		for _, inputs := range [][]depth.Input{{input(70, 70, 3), input(98, 70, 3)}, {short}} {
			if _, err := open(t).Estimate(t.Context(), inputs); err == nil {
				t.Error("accepted")
			}
		}
	})
	t.Run("closed", func(t *testing.T) {
		e := open(t)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Estimate(t.Context(), []depth.Input{input(70, 70, 3)}); err == nil {
			t.Error("a closed estimator answers")
		}
		if err := e.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}
