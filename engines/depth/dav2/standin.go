package dav2

import "github.com/splatworks/splatworks/engines/depth/onnx"

// StandIn is a model with the signature of the real ones that reads the inverse depth from the image's red channel: it
// undoes the normalisation by mean and std and answers Gain·red + Shift, red from 0 to 1. An image painted with its own
// inverse depth thus has an exactly known answer, through everything around a model.
func StandIn(mean, std [3]float32) *onnx.Model {
	node := func(op string, out string, attrs []onnx.Attr, inputs ...string) onnx.Node {
		return onnx.Node{Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: attrs}
	}
	float := func(name string, v float32) onnx.Tensor { return onnx.Tensor{Name: name, Floats: []float32{v}} }
	return &onnx.Model{Producer: "splatworks", Opset: 17, Name: "stand_in",
		Inputs:  []onnx.Value{{Name: InputName, Element: onnx.Float, Dims: []onnx.Dim{{Name: "batch"}, {Size: 3}, {Name: "height"}, {Name: "width"}}}},
		Outputs: []onnx.Value{{Name: OutputName, Element: onnx.Float, Dims: []onnx.Dim{{Name: "batch"}, {Name: "height"}, {Name: "width"}}}},
		Nodes: []onnx.Node{
			node("Gather", "normalised", []onnx.Attr{axis(1)}, InputName, "red"),
			node("Mul", "spread", nil, "normalised", "std"),
			node("Add", "value", nil, "spread", "mean"),
			node("Mul", "scaled", nil, "value", "gain"),
			node("Add", "shifted", nil, "scaled", "shift"),
			node("Relu", OutputName, nil, "shifted"),
		},
		Tensors: []onnx.Tensor{{Name: "red", Ints: []int64{0}}, float("mean", mean[0]), float("std", std[0]), float("gain", Gain), float("shift", Shift)},
	}
}

// What StandIn does to the inverse depth: a real model's scale and shift are just as arbitrary.
const (
	Gain  = 37
	Shift = 3
)
