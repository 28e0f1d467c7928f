package depth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/onnx"
	"github.com/splatworks/splatworks/engines/fault"
)

// stand makes a small model, changed.
func stand(change func(m *onnx.Model)) []byte {
	m := dav2.StandIn(descriptor.Mean, descriptor.Std)
	if change != nil {
		change(m)
	}
	var file bytes.Buffer
	if err := m.Write(&file); err != nil {
		panic(err)
	}
	return file.Bytes()
}

// behind puts nodes between the stand-in's last value and its output.
func behind(nodes []onnx.Node, tensors ...onnx.Tensor) []byte {
	return stand(func(m *onnx.Model) {
		m.Nodes[len(m.Nodes)-1].Outputs[0] = "before"
		m.Nodes = append(m.Nodes, nodes...)
		m.Tensors = append(m.Tensors, tensors...)
	})
}

func one(op string, inputs ...string) []onnx.Node {
	return []onnx.Node{{Op: op, Inputs: inputs, Outputs: []string{dav2.OutputName}}}
}

// A file that is no model, not the model, or a trap gives one clear failure, and the process lives on.
func TestHostileModels(t *testing.T) {
	good := stand(nil)
	for name, c := range map[string]struct {
		body   []byte
		change func(d *depth.Descriptor)
		code   string
	}{
		"empty":           {body: nil, code: depth.ModelDamaged},
		"truncated":       {body: good[:len(good)-7], code: depth.ModelDamaged},
		"half":            {body: good[:len(good)/2], code: depth.ModelDamaged},
		"text":            {body: []byte("<html><body>404 Not Found</body></html>"), code: depth.ModelDamaged},
		"zeros":           {body: make([]byte, 4096), code: depth.ModelDamaged},
		"wrong hash":      {body: good, change: func(d *depth.Descriptor) { d.SHA256 = fmt.Sprintf("%064x", 1) }, code: depth.ModelDamaged},
		"wrong size":      {body: good, change: func(d *depth.Descriptor) { d.Bytes = 5 }, code: depth.ModelDamaged},
		"endless message": {body: append([]byte{8, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, good...), code: depth.ModelDamaged},
		"other input":     {body: stand(func(m *onnx.Model) { m.Inputs[0].Name = "image" }), code: depth.ModelUnsuitable},
		"other output":    {body: good, change: func(d *depth.Descriptor) { d.OutputName = "normal" }, code: depth.ModelUnsuitable},
		"four channels":   {body: stand(func(m *onnx.Model) { m.Inputs[0].Dims[1].Size = 4 }), code: depth.ModelUnsuitable},
		"three axes":      {body: stand(func(m *onnx.Model) { m.Inputs[0].Dims = m.Inputs[0].Dims[1:] }), code: depth.ModelUnsuitable},
		"whole numbers":   {body: stand(func(m *onnx.Model) { m.Inputs[0].Element = onnx.Int64 }), code: depth.ModelUnsuitable},
		"one size":        {body: stand(func(m *onnx.Model) { m.Inputs[0].Dims = onnx.Fixed(1, 3, 518, 518) }), code: depth.ModelUnsuitable},
		"batch of three":  {body: stand(func(m *onnx.Model) { m.Inputs[0].Dims[0] = onnx.Dim{Size: 3} }), code: depth.ModelUnsuitable},
		"unknown input": {body: stand(func(m *onnx.Model) {
			m.Inputs = append(m.Inputs, onnx.Value{Name: "mask", Element: onnx.Float, Dims: onnx.Fixed(1)})
		}), code: depth.ModelUnsuitable},
		"missing constant": {body: good, change: func(d *depth.Descriptor) { d.Constants = map[string]int64{"num_tokens": 1} }, code: depth.ModelUnsuitable},
		"no descriptor":    {body: good, change: func(d *depth.Descriptor) { d.InputName = "" }, code: depth.ModelUnsuitable},
		"loop":             {body: behind(one("Loop", "", "", "before")), code: depth.ModelDamaged},
		"foreign operator": {body: stand(func(m *onnx.Model) { m.Nodes[0].Domain = "evil" }), code: depth.ModelDamaged},
		"unknown operator": {body: stand(func(m *onnx.Model) { m.Nodes[0].Op = "Explode" }), code: depth.ModelUnsuitable},
		"undefined value":  {body: stand(func(m *onnx.Model) { m.Nodes[1].Inputs[0] = "nothing" }), code: depth.ModelUnsuitable},
		"cycle":            {body: stand(func(m *onnx.Model) { m.Nodes[0].Inputs[0] = "shifted" }), code: depth.ModelUnsuitable},
		"a terabyte": {body: behind([]onnx.Node{
			{Op: "ConstantOfShape", Inputs: []string{"huge"}, Outputs: []string{"zeros"}},
			{Op: "Add", Inputs: []string{"before", "zeros"}, Outputs: []string{dav2.OutputName}},
		}, onnx.Tensor{Name: "huge", Dims: []int64{3}, Ints: []int64{1 << 12, 1 << 13, 1 << 13}}), code: depth.ModelDamaged},
		"a terabyte by an attribute": {body: behind([]onnx.Node{
			{Op: "Constant", Outputs: []string{"huge"}, Attrs: []onnx.Attr{{Name: "value_ints", Value: []int64{1 << 12, 1 << 13, 1 << 13}}}},
			{Op: "ConstantOfShape", Inputs: []string{"huge"}, Outputs: []string{"zeros"}},
			{Op: "Add", Inputs: []string{"before", "zeros"}, Outputs: []string{dav2.OutputName}},
		}), code: depth.ModelDamaged},
		"constant of a false size": {body: stand(func(m *onnx.Model) { m.Tensors[1].Dims = []int64{1 << 20} }), code: depth.ModelDamaged},
		"negative size":            {body: stand(func(m *onnx.Model) { m.Tensors[1].Dims = []int64{-1} }), code: depth.ModelDamaged},
		"overflowing size":         {body: stand(func(m *onnx.Model) { m.Tensors[1].Dims = []int64{1 << 40, 1 << 40} }), code: depth.ModelDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			d := descriptor
			if c.change != nil {
				c.change(&d)
			}
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, c.body, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := depth.Open(t.Context(), path, d, depth.Options{Library: library(t), Provider: depth.CPU})
			var f *fault.Failure
			if !errors.As(err, &f) || f.Code != c.code || f.Message == "" || f.Advice == "" {
				t.Errorf("says %v, want %s", err, c.code)
			}
		})
	}
	var f *fault.Failure
	if _, err := depth.Open(t.Context(), filepath.Join(t.TempDir(), "none"), descriptor, depth.Options{Library: library(t)}); !errors.As(err, &f) || f.Code != depth.ModelMissing {
		t.Errorf("no file: %v", err)
	}
	if _, err := depth.Open(t.Context(), t.TempDir(), descriptor, depth.Options{Library: library(t)}); !errors.As(err, &f) || f.Code != depth.ModelDamaged {
		t.Errorf("a folder: %v", err)
	}
}

// What can only be seen while it runs: an output that is no map, or growth by what is in the image.
func TestHostileGraphsAtRunTime(t *testing.T) {
	for name, body := range map[string][]byte{
		"a number": behind([]onnx.Node{{Op: "ReduceMax", Inputs: []string{"before"}, Outputs: []string{dav2.OutputName}}}),
		"growth without end": behind([]onnx.Node{
			{Op: "Concat", Inputs: []string{"before", "before", "before", "before", "before", "before", "before", "before"}, Outputs: []string{"x8"}, Attrs: []onnx.Attr{{Name: "axis", Value: int64(0)}}},
			{Op: "Tile", Inputs: []string{"x8", "thousand"}, Outputs: []string{"x8k"}},
			{Op: "Tile", Inputs: []string{"x8k", "thousand"}, Outputs: []string{dav2.OutputName}},
		}, onnx.Tensor{Name: "thousand", Dims: []int64{3}, Ints: []int64{1, 1000, 1}}),
		"shapes that do not meet": behind([]onnx.Node{{Op: "MatMul", Inputs: []string{"before", "before"}, Outputs: []string{dav2.OutputName}}}),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, body, 0o644); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, descriptor, depth.Options{Provider: depth.CPU, MemoryBytes: 64 << 20})
			_, err := s.Estimate(t.Context(), []depth.Input{noise(98, 70, 1)})
			var f *fault.Failure
			if !errors.As(err, &f) || f.Code != depth.ModelUnsuitable && f.Code != depth.OutOfMemory {
				t.Errorf("says %v", err)
			}
		})
	}
}

// Damage at random, where no hash guards the file: an error or a map, never the end of the process.
func TestDamagedModels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	good := stand(nil)
	path := filepath.Join(t.TempDir(), "model.onnx")
	opened, refused := 0, 0
	for range 400 {
		body := bytes.Clone(good)
		for range 1 + rng.IntN(4) {
			switch at := rng.IntN(len(body)); rng.IntN(3) {
			case 0:
				body[at] ^= 1 << rng.IntN(8)
			case 1:
				body[at] = byte(rng.Uint32())
			case 2:
				body = append(body[:at:at], body[min(at+1+rng.IntN(8), len(body)):]...)
			}
			if len(body) == 0 {
				body = []byte{0}
			}
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := depth.Open(context.Background(), path, descriptor, depth.Options{Library: library(t), Provider: depth.CPU, Threads: 1, MemoryBytes: 64 << 20})
		if err != nil {
			refused++
			continue
		}
		opened++
		_, _ = s.Estimate(t.Context(), []depth.Input{noise(28, 14, 1)})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 400 damaged files were refused, %d could be loaded", refused, opened)
	if refused == 0 || opened == 0 {
		t.Error("the damage tests nothing")
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(stand(nil))
	f.Add(stand(func(m *onnx.Model) { m.Nodes[0].Op = "If" }))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = onnx.Inspect(bytes.NewReader(body), int64(len(body)))
	})
}
