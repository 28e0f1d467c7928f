package onnx

import (
	"bufio"
	"encoding/binary"
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
		// Exporters declare every domain that they know; what is used stands at the nodes.
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

// tensor reads TensorProto. It gives the values of small integer tensors.
func (i *inspection) tensor(r *reader, n int64) (name string, ints []int64, err error) {
	if i.tensors++; i.tensors > maxTensors {
		return "", nil, fmt.Errorf("the graph has more than %d constants", maxTensors)
	}
	var dims []int64
	var element, raw int64
	hasRaw := false
	err = r.fields(n, func(r *reader, field, wire int, n int64) (err error) {
		switch {
		case field == 1 && wire == 0:
			dims = append(dims, n)
			if len(dims) > maxRank {
				return errors.New("a tensor has too many dimensions")
			}
			return nil
		case field == 1 && wire == 2:
			return r.varints(n, maxRank, &dims)
		case field == 2 && wire == 0:
			element = n
			return nil
		case field == 7 && wire == 0:
			ints = append(ints, n)
			return nil
		case field == 7 && wire == 2 && n <= 160:
			return r.varints(n, 16, &ints)
		case field == 8 && wire == 2:
			name, err = r.name(n)
			return err
		case field == 9 && wire == 2:
			raw, hasRaw = n, true
			if n <= 128 && n%8 == 0 && element == Int64 {
				return r.int64s(n, &ints)
			}
			return r.skip(wire, n)
		case field == 13 || field == 14 && n != 0:
			return errors.New("the graph keeps values in another file")
		}
		return r.skip(wire, n)
	})
	if err != nil {
		return name, nil, err
	}
	count := uint64(1)
	for _, d := range dims {
		hi, lo := bits.Mul64(count, uint64(d))
		if d < 0 || hi != 0 || lo > maxFile {
			return name, nil, fmt.Errorf("the constant %q claims the shape %v", name, dims)
		}
		count = lo
	}
	if width := elementBytes(element); hasRaw && width != 0 && uint64(raw) != (count*uint64(width)+1)/2 {
		return name, nil, fmt.Errorf("the constant %q of shape %v holds %d bytes", name, dims, raw)
	}
	i.s.Bytes += raw
	if element != Int64 || len(ints) > 16 {
		ints = nil
	}
	return name, ints, nil
}

// elementBytes is twice the size of a TensorProto.DataType, 0 if it is unknown: there are elements of half a byte.
func elementBytes(element int64) int {
	switch element {
	case 2, 3, 9, 17, 18, 19, 20:
		return 2
	case 4, 5, 10, 16:
		return 4
	case 1, 6, 12:
		return 8
	case 7, 11, 13, 14:
		return 16
	case 15:
		return 32
	case 21, 22, 23:
		return 1
	}
	return 0
}

// value reads ValueInfoProto of a tensor.
func value(r *reader, n int64) (Value, error) {
	var v Value
	dimension := func(r *reader, field, wire int, n int64) (err error) {
		d := &v.Dims[len(v.Dims)-1]
		switch {
		case field == 1 && wire == 0:
			d.Size = n
			return nil
		case field == 2 && wire == 2:
			d.Name, err = r.name(n)
			return err
		}
		return r.skip(wire, n)
	}
	shape := func(r *reader, field, wire int, n int64) error {
		if field != 1 || wire != 2 {
			return r.skip(wire, n)
		}
		if v.Dims = append(v.Dims, Dim{}); len(v.Dims) > maxRank {
			return errors.New("an input or output has too many dimensions")
		}
		return r.fields(n, dimension)
	}
	tensor := func(r *reader, field, wire int, n int64) error {
		switch {
		case field == 1 && wire == 0:
			v.Element = int(n)
			return nil
		case field == 2 && wire == 2:
			return r.fields(n, shape)
		}
		return r.skip(wire, n)
	}
	kind := func(r *reader, field, wire int, n int64) error {
		if field != 1 || wire != 2 {
			return errors.New("an input or output is no tensor")
		}
		return r.fields(n, tensor)
	}
	err := r.fields(n, func(r *reader, field, wire int, n int64) (err error) {
		switch {
		case field == 1 && wire == 2:
			v.Name, err = r.name(n)
			return err
		case field == 2 && wire == 2:
			return r.fields(n, kind)
		}
		return r.skip(wire, n)
	})
	return v, err
}

// reader walks protobuf's wire format. end is where the innermost message stops; nothing is read beyond it.
type reader struct {
	in      *bufio.Reader
	at, end int64
}

var errDamaged = errors.New("the file is damaged: it is no complete ONNX model")

// fields calls f for every field of a message of n bytes: with the value of a number, with the length of bytes, which f
// consumes.
func (r *reader) fields(n int64, f func(r *reader, field, wire int, n int64) error) error {
	outer := r.end
	if n < 0 || n > outer-r.at {
		return errDamaged
	}
	r.end = r.at + n
	for r.at < r.end {
		tag, err := r.varint()
		if err != nil {
			return err
		}
		if tag>>3 == 0 || tag>>3 > math.MaxInt32 {
			return errDamaged
		}
		var value int64
		switch tag & 7 {
		case 0, 2:
			v, err := r.varint()
			if err != nil {
				return err
			}
			if value = int64(v); tag&7 == 2 && (value < 0 || value > r.end-r.at) {
				return errDamaged
			}
		case 1:
			value = 8
		case 5:
			value = 4
		default:
			return errDamaged
		}
		if err := f(r, int(tag>>3), int(tag&7), value); err != nil {
			return err
		}
	}
	r.end = outer
	return nil
}

// skip passes over a field's bytes.
func (r *reader) skip(wire int, n int64) error {
	if wire == 0 {
		return nil
	}
	if n > r.end-r.at {
		return errDamaged
	}
	done, err := r.in.Discard(int(n))
	r.at += int64(done)
	if err != nil {
		return errDamaged
	}
	return nil
}

func (r *reader) varint() (uint64, error) {
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if r.at >= r.end {
			return 0, errDamaged
		}
		b, err := r.in.ReadByte()
		if err != nil {
			return 0, errDamaged
		}
		r.at++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errDamaged
}

func (r *reader) bytes(n int64) ([]byte, error) {
	if n > r.end-r.at {
		return nil, errDamaged
	}
	b := make([]byte, n)
	done, err := io.ReadFull(r.in, b)
	r.at += int64(done)
	if err != nil {
		return nil, errDamaged
	}
	return b, nil
}

func (r *reader) name(n int64) (string, error) {
	if n > maxName {
		return "", fmt.Errorf("a name has %d bytes", n)
	}
	b, err := r.bytes(n)
	return string(b), err
}

func (r *reader) varints(n int64, most int, to *[]int64) error {
	if n > int64(10*most) {
		return errors.New("a tensor has too many dimensions")
	}
	end := r.at + n
	for r.at < end {
		v, err := r.varint()
		if err != nil {
			return err
		}
		*to = append(*to, int64(v))
	}
	if r.at != end {
		return errDamaged
	}
	return nil
}

func (r *reader) int64s(n int64, to *[]int64) error {
	b, err := r.bytes(n)
	for ; err == nil && len(b) >= 8; b = b[8:] {
		*to = append(*to, int64(binary.LittleEndian.Uint64(b)))
	}
	return err
}
