// Package onnx writes ONNX model files and looks into foreign ones, as far as depth networks need it: float32 and int64
// tensors, nodes with simple attributes, one graph. Field numbers are those of onnx.proto (onnx/onnx, IR version 8).
package onnx

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Element types of TensorProto.DataType.
const (
	Float = 1
	Int64 = 7
)

// Model is one graph of the default operator set.
type Model struct {
	Producer string
	Opset    int64
	Name     string
	Inputs   []Value
	Outputs  []Value
	Nodes    []Node
	Tensors  []Tensor // the constants: weights and small parameters
}

// Value is an input or output of the graph. A dimension is a fixed number or, if that is 0, a name for any number.
type Value struct {
	Name    string
	Element int
	Dims    []Dim
}

// Dim is one dimension of a Value.
type Dim struct {
	Size int64
	Name string
}

// Fixed gives Dims of fixed sizes.
func Fixed(sizes ...int64) []Dim {
	dims := make([]Dim, len(sizes))
	for i, s := range sizes {
		dims[i].Size = s
	}
	return dims
}

// Node is one operator.
type Node struct {
	Op      string
	Domain  string // empty: the default
	Inputs  []string
	Outputs []string
	Attrs   []Attr
}

// Attr is an attribute of a Node. Value is an int64, a float32, a string or an []int64.
type Attr struct {
	Name  string
	Value any
}

// Tensor is a named constant, of float32 or int64.
type Tensor struct {
	Name   string
	Dims   []int64
	Floats []float32
	Ints   []int64 // used when Floats is nil
}

// Write writes the model as a .onnx file.
func (m *Model) Write(w io.Writer) error {
	graph, err := m.graph()
	if err != nil {
		return err
	}
	heads := make([][]byte, len(m.Tensors))
	size := len(graph)
	for i := range m.Tensors {
		heads[i] = m.Tensors[i].head()
		size += len(heads[i]) + m.Tensors[i].bytes()
	}
	var head []byte
	head = number(head, 1, 8) // IR version
	head = text(head, 2, m.Producer)
	var opset []byte
	opset = number(opset, 2, uint64(m.Opset))
	head = message(head, 8, opset)
	head = protowire.AppendTag(head, 7, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(size))

	out := bufio.NewWriterSize(w, 1<<20)
	out.Write(head)
	out.Write(graph)
	var scratch [8]byte
	for i := range m.Tensors {
		out.Write(heads[i])
		t := &m.Tensors[i]
		for _, v := range t.Floats {
			binary.LittleEndian.PutUint32(scratch[:], math.Float32bits(v))
			out.Write(scratch[:4])
		}
		if t.Floats == nil {
			for _, v := range t.Ints {
				binary.LittleEndian.PutUint64(scratch[:], uint64(v))
				out.Write(scratch[:])
			}
		}
	}
	return out.Flush() // reports the first error of all
}

// graph is GraphProto without its tensors.
func (m *Model) graph() ([]byte, error) {
	var b []byte
	for _, n := range m.Nodes {
		var node []byte
		for _, name := range n.Inputs {
			node = text(node, 1, name)
		}
		for _, name := range n.Outputs {
			node = text(node, 2, name)
		}
		node = text(node, 4, n.Op)
		for _, a := range n.Attrs {
			attr, err := a.encode()
			if err != nil {
				return nil, fmt.Errorf("writing the node %s: %w", n.Op, err)
			}
			node = message(node, 5, attr)
		}
		if n.Domain != "" {
			node = text(node, 7, n.Domain)
		}
		b = message(b, 1, node)
	}
	b = text(b, 2, m.Name)
	for _, v := range m.Inputs {
		b = message(b, 11, v.encode())
	}
	for _, v := range m.Outputs {
		b = message(b, 12, v.encode())
	}
	return b, nil
}

func (v Value) encode() []byte {
	var shape []byte
	for _, d := range v.Dims {
		var dim []byte
		if d.Name != "" {
			dim = text(dim, 2, d.Name)
		} else {
			dim = number(dim, 1, uint64(d.Size))
		}
		shape = message(shape, 1, dim)
	}
	var tensor []byte
	tensor = number(tensor, 1, uint64(v.Element))
	tensor = message(tensor, 2, shape)
	var b []byte
	b = text(b, 1, v.Name)
	return message(b, 2, message(nil, 1, tensor))
}

func (a Attr) encode() ([]byte, error) {
	b := text(nil, 1, a.Name)
	switch v := a.Value.(type) {
	case float32:
		b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(v))
		return number(b, 20, 1), nil
	case int64:
		b = number(b, 3, uint64(v))
		return number(b, 20, 2), nil
	case string:
		b = text(b, 4, v)
		return number(b, 20, 3), nil
	case []int64:
		for _, n := range v {
			b = number(b, 8, uint64(n))
		}
		return number(b, 20, 7), nil
	}
	return nil, fmt.Errorf("the attribute %s has a value of type %T", a.Name, a.Value)
}

func (t *Tensor) bytes() int {
	if t.Floats != nil {
		return 4 * len(t.Floats)
	}
	return 8 * len(t.Ints)
}

// head is everything of the graph's field for a tensor up to its values, which come last.
func (t *Tensor) head() []byte {
	element := uint64(Int64)
	if t.Floats != nil {
		element = Float
	}
	var b []byte
	for _, d := range t.Dims {
		b = number(b, 1, uint64(d))
	}
	b = number(b, 2, element)
	b = text(b, 8, t.Name)
	b = protowire.AppendTag(b, 9, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(t.bytes()))

	var head []byte
	head = protowire.AppendTag(head, 5, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(b)+t.bytes()))
	return append(head, b...)
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}
