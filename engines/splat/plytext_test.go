package splat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// plyAs writes a cloud as another tool would: ASCII or big-endian, without normals, after an element with a list, in a degree of
// which the highest coefficients are 0.5.
func plyAs(c *Cloud, format string, degree int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ply\nformat %s\ncomment SplatRenderMode: %s\nelement camera 2\nproperty float fov\n", format, c.Mode)
	if format == plyText {
		fmt.Fprintf(&b, "property list uchar int seen\n")
	}
	fmt.Fprintf(&b, "element vertex %d\n", c.Len())
	var names []string
	for _, name := range append(plyProperties(0), "flag") {
		if !strings.HasPrefix(name, "n") {
			names = append(names, name)
		}
	}
	for i := range 3 * RestCount(degree) {
		names = append(names, "f_rest_"+strconv.Itoa(i))
	}
	for _, name := range names {
		kind := "float"
		if name == "flag" {
			kind = "double"
		}
		fmt.Fprintf(&b, "property %s %s\n", kind, name)
	}
	b.WriteString("end_header\n")
	put := func(last bool, v float32) {
		switch {
		case format == plyText:
			fmt.Fprint(&b, strconv.FormatFloat(float64(v), 'g', -1, 32), map[bool]string{true: "\r\n", false: " "}[last])
		default:
			b.Write(binary.BigEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	for range 2 {
		put(false, 1)
		if format == plyText {
			b.WriteString("2 5 6\n\n")
		}
	}
	k, stored := RestCount(c.Degree), RestCount(degree)
	for i := range c.Len() {
		for _, values := range [][]float32{c.Means[3*i : 3*i+3], c.DC[3*i : 3*i+3], c.Opacities[i : i+1], c.LogScales[3*i : 3*i+3], c.Quats[4*i : 4*i+4], {7}} {
			for _, v := range values {
				if v == 7 && len(values) == 1 && format == plyBig {
					b.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(7)))
					continue
				}
				put(false, v)
			}
		}
		for j := range 3 * stored {
			v := float32(0.5)
			if channel, coefficient := j/stored, j%stored; coefficient < k {
				v = c.Rest[3*(k*i+coefficient)+channel]
			}
			put(j == 3*stored-1, v)
		}
	}
	return b.Bytes()
}

func TestReadPLYOfEveryKind(t *testing.T) {
	for _, format := range []string{plyText, plyBig} {
		for kept, stored := range map[int]int{1: 1, 2: 2, 3: 4} {
			want := scene(20, kept, Mip)
			b := plyAs(want, format, stored)
			got, err := ReadPLY(bytes.NewReader(b))
			if err != nil {
				t.Errorf("%s of degree %d: %v", format, stored, err)
				continue
			}
			if !equal(got, want) {
				t.Errorf("%s of degree %d: the values changed", format, stored)
			}
			for _, short := range []int{1, 20, len(b) / 2} {
				if _, err := ReadPLY(bytes.NewReader(b[:len(b)-short])); err == nil && short > 1 {
					t.Errorf("%s of degree %d: %d bytes are missing, and nobody says so", format, stored, short)
				}
			}
		}
	}
	if _, err := ReadPLY(strings.NewReader(string(plyAs(scene(2, 1, Mip), plyText, 1)[:600]) + " one two\n")); err == nil {
		t.Error("words were read as numbers")
	}
}

// Extensions of SPZ change nothing: between header and table in version 4, after the streams in version 3. Degree 4 is read up to 3.
func TestReadSPZStepsOver(t *testing.T) {
	c := scene(40, 2, Mip)
	spz, err := FormatNamed("spz")
	if err != nil {
		t.Fatal(err)
	}
	whole := written(t, spz, c)
	want, err := ReadSPZ(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	const extension = "an extension of whatever length"
	extended := append(bytes.Clone(whole[:spzHeader4]), extension...)
	binary.LittleEndian.PutUint32(extended[16:], uint32(spzHeader4+len(extension)))
	extended[14] |= 2 // the flag that says there are some
	got, err := ReadSPZ(bytes.NewReader(append(extended, whole[spzHeader4:]...)))
	if err != nil || !equal(got, want) {
		t.Errorf("version 4 with an extension: %v", err)
	}
	head, streams, err := c.quantiseSPZ()
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, spzHeader3)
	binary.LittleEndian.PutUint32(plain, spzMagic)
	plain[4], plain[8], plain[12], plain[13], plain[14] = 3, byte(head.count), byte(head.degree), byte(head.fraction), head.flags|2
	for _, s := range streams {
		plain = append(plain, s...)
	}
	got, err = readSPZ3(io.MultiReader(bytes.NewReader(plain), strings.NewReader(extension)))
	if err != nil || !equal(got, want) {
		t.Errorf("version 3 with an extension: %v", err)
	}
	high := spzStreams{streams[0], streams[1], streams[2], streams[3], streams[4], bytes.Repeat([]byte{192}, 72*head.count)}
	head.degree, head.version = 4, 4
	if four := high.cloud(head); four.Degree != 3 || four.Validate() != nil || math.Abs(float64(four.Rest[0])) != 0.5 {
		t.Errorf("of degree 4: degree %d, %v", four.Degree, four.Validate())
	}
}
