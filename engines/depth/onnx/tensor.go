package onnx

import (
	"errors"
	"fmt"
	"math/bits"
)

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
