//go:build cgo && (linux || darwin)

package depth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// auto says whether the provider is ours to choose.
func (s *Session) auto() bool { return s.o.Provider == "" || s.o.Provider == Auto }

// choose opens the session where the model is fastest: see Auto.
func (s *Session) choose(ctx context.Context) error {
	var failed []string
	if hasCUDA(s.o.Library) {
		s.provider = CUDA
		err := s.open()
		if err == nil {
			return nil
		}
		failed = append(failed, err.Error())
	}
	s.provider = CPU
	if err := s.open(); err != nil {
		return err
	}
	if name, ok := hardwareGPU(); ok && s.o.Clock != nil {
		gpu := &Session{d: s.d, g: s.g, path: s.path, o: s.o, provider: WebGPU}
		gpu.o.Provider = WebGPU
		better := false
		err := gpu.open()
		if err == nil {
			better, err = gpu.outdoes(ctx, s, s.o.Clock)
		}
		if better {
			s.session, gpu.session = gpu.session, s.session
			s.provider, s.sizes = WebGPU, gpu.sizes
		}
		if err != nil {
			failed = append(failed, name+": "+err.Error())
		}
		if gpu.session != nil {
			_ = gpu.session.Destroy()
		}
	}
	s.fallback = strings.Join(failed, "; ")
	return ctx.Err()
}

// reopen releases all that the session holds and loads the model anew. The caller holds s.mu.
func (s *Session) reopen(p Provider) error {
	environment.Lock()
	defer environment.Unlock()
	if s.session != nil {
		_ = s.session.Destroy()
		environment.sessions--
	}
	s.session, s.provider, s.sizes = nil, p, nil
	if err := s.open(); err != nil {
		s.session = nil
		return fmt.Errorf("loading %s again: %w", s.d.Name, err)
	}
	environment.sessions++
	return nil
}

// mostSizes bounds the memory that WebGPU keeps, which grows with every size that it meets: by half a gigabyte to one for
// a small model. A capture rarely has more than two.
const mostSizes = 4

// admit makes room for one more size.
func (s *Session) admit(batch, width, height int) error {
	size := [3]int{batch, width, height}
	if s.provider != WebGPU || s.sizes[size] {
		return nil
	}
	if len(s.sizes) == mostSizes {
		if err := s.reopen(WebGPU); err != nil {
			return err
		}
	}
	if s.sizes == nil {
		s.sizes = make(map[[3]int]bool)
	}
	s.sizes[size] = true
	return nil
}

// outdoes says whether the session gives the maps that the reference gives, which else is an error, and gives them sooner.
// One image of the model's own size says so; the first inference compiles and allocates, the second counts.
func (s *Session) outdoes(ctx context.Context, reference *Session, clock func() time.Time) (bool, error) {
	width, height := s.d.Size(1, 1)
	in := Input{Width: width, Height: height, Values: make([]float32, 3*width*height)}
	for i := range in.Values { // slopes with a grain
		in.Values[i] = float32(i%(width*height))/float32(width*height)*3 - 1.5 + float32(i*7919%101)/101
	}
	measure := func(s *Session) (m Map, took time.Duration, err error) {
		for range 2 {
			started := clock()
			maps, err := s.Estimate(ctx, []Input{in})
			if err != nil {
				return m, 0, err
			}
			m, took = maps[0], clock().Sub(started)
		}
		return m, took, nil
	}
	got, took, err := measure(s)
	if err != nil {
		return false, err
	}
	want, limit, err := measure(reference)
	if err != nil {
		return false, err
	}
	if off := got.furthest(want); !(off < mostProviderDifference) {
		return false, fmt.Errorf("its maps are off by %.2g of the largest value", off)
	}
	return took < limit, nil
}

// hasCUDA says whether the runtime's own CUDA part is beside it.
func hasCUDA(library string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(library), "libonnxruntime_providers_cuda.so"))
	return err == nil
}
