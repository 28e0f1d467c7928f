package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
)

// Summary is what Inspect finds in a file.
type Summary struct {
	IR, Opset int64
	Inputs    []Value // those that are no constants: what a caller has to give
	Outputs   []Value
	Nodes     int
	Bytes     int64 // of the constants' values
}

// Bounds of what a depth network may be: several times the largest one known (ViT-g, 3157 nodes for ViT-L).
const (
	maxNodes    = 50_000
	maxTensors  = 50_000
	maxName     = 4096
	maxRank     = 16
	maxNested   = 4
	maxElements = 1 << 28 // of one tensor that the graph says to make: 1 GiB of float32
	maxFile     = math.MaxInt32
)

// refused are operators that no depth network needs and that would make the time or the memory of a run anybody's guess:
// loops, files, random tensors of a given size.
var refused = []string{"Loop", "Scan", "SequenceMap", "RandomNormal", "RandomUniform", "ImageDecoder", "StringConcat", "EyeLike"}

// growing are operators whose output can be larger than their inputs by what constants say.
var growing = []string{"ConstantOfShape", "Expand", "Tile", "Resize", "Upsample", "Pad", "Range", "Reshape", "OneHot"}

// Inspect reads an ONNX file of the given size without trusting it and says what it is. An error names what is damaged or
// what the graph must not have: values in other files, loops, functions, operators of unknown domains, sizes out of all
// proportion. What it accepts can be handed to a runtime.
func Inspect(file io.ReaderAt, size int64) (*Summary, error) {
	if size > maxFile {
		return nil, fmt.Errorf("the file has %d bytes; a protobuf message has at most %d", size, maxFile)
	}
	r := &reader{in: bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 64<<10), end: size}
	i := &inspection{constants: make(map[string][]int64), named: make(map[string]bool)}
	if err := r.fields(size, i.model); err != nil {
		return nil, err
	}
	return i.finish()
}

type inspection struct {
	s         Summary
	graphs    int
	nested    int
	inputs    []Value
	grows     []Node
	ops       int
	tensors   int
	named     map[string]bool
	constants map[string][]int64 // the small integer ones
}

func (i *inspection) finish() (*Summary, error) {
	switch {
	case i.graphs != 1:
		return nil, fmt.Errorf("the file holds %d graphs, not one: it is no ONNX model", i.graphs)
	case i.s.IR < 3 || i.s.IR > 20:
		return nil, fmt.Errorf("the file's IR version is %d", i.s.IR)
	case i.ops == 0:
		return nil, errors.New("the graph is empty")
	}
	for _, n := range i.grows {
		for _, name := range n.Inputs {
			if c, ok := i.constants[name]; ok && !modest(n.Op, c) {
				return nil, fmt.Errorf("a %s makes a tensor by %v: more than %d elements", n.Op, c, maxElements)
			}
		}
	}
	for _, v := range i.inputs {
		if !i.named[v.Name] {
			i.s.Inputs = append(i.s.Inputs, v)
		}
	}
	i.s.Nodes = i.ops
	return &i.s, nil
}

// modest says whether constants that an operator multiplies sizes by stay within maxElements.
func modest(op string, c []int64) bool {
	if op == "Range" || op == "Pad" || op == "OneHot" {
		for _, v := range c {
			if v > maxElements || v < -maxElements {
				return false
			}
		}
		return true
	}
	product := uint64(1)
	for _, v := range c {
		if v <= 0 { // "as it is", "the rest"
			continue
		}
		hi, lo := bits.Mul64(product, uint64(v))
		if hi != 0 || lo > maxElements {
			return false
		}
		product = lo
	}
	return true
}

func (i *inspection) model(r *reader, field, wire int, n int64) error {
	switch {
	case field == 1 && wire == 0:
		i.s.IR = n
		return nil
	case field == 7 && wire == 2:
		i.graphs++
		return r.fields(n, i.graph)
	case field == 8 && wire == 2:
		var domain string
		var version int64
		err := r.fields(n, func(r *reader, field, wire int, n int64) (err error) {
			switch {
			case field == 1 && wire == 2:
				domain, err = r.name(n)
				return err
			case field == 2 && wire == 0:
				version = n
				return nil
			}
			return r.skip(wire, n)
		})
		// Exporters declare every domain that they know; what is used is at the nodes.
		if domain == "" || domain == "ai.onnx" {
			i.s.Opset = version
		}
		return err
	case field == 20 || field == 25:
		return errors.New("the file has training steps or functions of its own")
	}
	return r.skip(wire, n)
}

func (i *inspection) graph(r *reader, field, wire int, n int64) error {
	if wire != 2 {
		return r.skip(wire, n)
	}
	switch field {
	case 1:
		return i.node(r, n)
	case 5:
		name, ints, err := i.tensor(r, n)
		if err != nil {
			return err
		}
		i.named[name] = true
		if ints != nil {
			i.constants[name] = ints
		}
		return nil
	case 11, 12:
		v, err := value(r, n)
		if err != nil {
			return err
		}
		if field == 11 {
			i.inputs = append(i.inputs, v)
		} else {
			i.s.Outputs = append(i.s.Outputs, v)
		}
		if len(i.inputs) > maxTensors || len(i.s.Outputs) > 64 {
			return errors.New("the graph has too many inputs or outputs")
		}
		return nil
	case 15:
		return errors.New("the graph has sparse constants")
	}
	return r.skip(wire, n)
}

// branch reads a graph within the graph: its nodes count, its inputs and outputs are nobody's.
func (i *inspection) branch(r *reader, field, wire int, n int64) error {
	switch field {
	case 1, 5, 15:
		return i.graph(r, field, wire, n)
	}
	return r.skip(wire, n)
}

func (i *inspection) node(r *reader, n int64) error {
	if i.ops++; i.ops > maxNodes {
		return fmt.Errorf("the graph has more than %d nodes", maxNodes)
	}
	var node Node
	var constant []int64
	err := r.fields(n, func(r *reader, field, wire int, n int64) error {
		if wire != 2 {
			return r.skip(wire, n)
		}
		switch field {
		case 1, 2, 4, 7:
			s, err := r.name(n)
			if err != nil {
				return err
			}
			switch field {
			case 1:
				node.Inputs = append(node.Inputs, s)
			case 2:
				node.Outputs = append(node.Outputs, s)
			case 4:
				node.Op = s
			case 7:
				node.Domain = s
			}
			if len(node.Inputs)+len(node.Outputs) > 4096 {
				return errors.New("a node has thousands of inputs")
			}
			return nil
		case 5:
			return r.fields(n, func(r *reader, field, wire int, n int64) error {
				switch {
				case (field == 5 || field == 10) && wire == 2:
					_, ints, err := i.tensor(r, n)
					constant = ints
					return err
				case field == 8 && wire == 0 && len(constant) < 16: // a Constant may say its values as an attribute
					constant = append(constant, n)
					return nil
				case field == 8 && wire == 2 && n <= 160:
					return r.varints(n, 16, &constant)
				case field == 6 && wire == 2: // a branch of an If
					if i.nested++; i.nested > maxNested {
						return errors.New("the graph nests graphs too deeply")
					}
					err := r.fields(n, i.branch)
					i.nested--
					return err
				case field == 11:
					return errors.New("the graph holds a list of graphs")
				}
				return r.skip(wire, n)
			})
		}
		return r.skip(wire, n)
	})
	switch {
	case err != nil:
		return err
	case node.Domain != "" && node.Domain != "ai.onnx" && node.Domain != "com.microsoft":
		return fmt.Errorf("the graph uses %q of the domain %q", node.Op, node.Domain)
	case slices.Contains(refused, node.Op):
		return fmt.Errorf("the graph uses the operator %s", node.Op)
	case node.Op == "Constant" && len(node.Outputs) == 1 && constant != nil:
		i.constants[node.Outputs[0]] = constant
	case slices.Contains(growing, node.Op):
		i.grows = append(i.grows, node)
	}
	return nil
}
