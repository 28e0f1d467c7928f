package onnx

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

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
