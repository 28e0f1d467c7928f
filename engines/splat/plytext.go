package splat

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// An ASCII PLY has a line for each record, with its values in the order of the properties.

// skipLines steps over the elements before the vertices; a list does not matter here.
func (h *plyHeader) skipLines(in *bufio.Reader) error {
	for _, e := range h.elements {
		if e == h.vertex {
			break
		}
		for i := range e.count {
			if _, err := plyRecordLine(in, e, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func readPLYLines(in *bufio.Reader, h *plyHeader) (*Cloud, error) {
	c, groups := h.cloud()
	for i := range h.vertex.count {
		line, err := plyRecordLine(in, h.vertex, i)
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(line)
		if len(fields) != h.vertex.properties {
			return nil, formatErrorf("record %d has %d values of %d", i, len(fields), h.vertex.properties)
		}
		for _, g := range groups {
			for _, value := range g.values {
				v, err := strconv.ParseFloat(fields[value.place], 32)
				if err != nil && !errors.Is(err, strconv.ErrRange) { // what is too large is infinite, and mended as that
					return nil, formatErrorf("record %d: %.40q is not a number", i, fields[value.place])
				}
				*g.dst = append(*g.dst, float32(v))
			}
		}
	}
	return c, nil
}

// plyRecordLine is the next line that is not empty; the last one may lack its end.
func plyRecordLine(in *bufio.Reader, e *plyElement, i int) (string, error) {
	for {
		line, err := in.ReadSlice('\n')
		text := strings.TrimSpace(string(line))
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return "", formatErrorf("record %d of element %s is longer than %d bytes", i, e.name, in.Size())
		case err == nil && text == "":
			continue
		case err == io.EOF && text == "":
			return "", formatErrorf("the file ends in record %d of %d", i, e.count)
		case err != nil && err != io.EOF:
			return "", err
		}
		return text, nil
	}
}
