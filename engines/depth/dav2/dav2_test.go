package dav2

import (
	"bytes"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/depth/onnx"
)

// The published numbers of weights are 24.8, 97.5 and 335.3 million; ours lack the mask token and the first unit of the
// last level, which are trained but never used.
func TestNumberOfWeights(t *testing.T) {
	count := func(c Config) (n int) {
		for _, w := range Draw(c, 1) {
			n += len(w.Data)
		}
		return n
	}
	unused := 384 + 2*(64*64*9+64)
	if got := count(ViTS()) + unused; got != 24_785_089 {
		t.Errorf("Small has %d weights, published are 24,785,089", got)
	}
	if got := count(Tiny()); got < 100_000 || got > 400_000 {
		t.Errorf("Tiny has %d weights", got)
	}
}

func TestWriteIsReadBack(t *testing.T) {
	var file bytes.Buffer
	c := Tiny()
	w := Draw(c, 7)
	m := Graph(c, w)
	if err := m.Write(&file); err != nil {
		t.Fatal(err)
	}
	s, err := onnx.Inspect(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if s.Opset != 17 || s.Nodes != len(m.Nodes) || len(s.Inputs) != 1 || s.Inputs[0].Name != InputName || len(s.Outputs) != 1 ||
		s.Outputs[0].Name != OutputName || !slices.Equal(s.Inputs[0].Dims, m.Inputs[0].Dims) {
		t.Errorf("read back: %+v", s)
	}
	var again bytes.Buffer
	if err := Graph(c, Draw(c, 7)).Write(&again); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Errorf("the same seed gives another file (%v)", err)
	}
}

// Of a layer-by-layer count of the authors' network.
func TestFLOPs(t *testing.T) {
	for _, c := range []struct {
		h, w int
		want float64
	}{{518, 518, 115e9}, {308, 308, 33e9}, {518, 686, 167e9}} {
		if got := ViTS().FLOPs(c.h, c.w); !(got > 0.98*c.want && got < 1.02*c.want) {
			t.Errorf("%d x %d: %.4g", c.h, c.w, got)
		}
	}
}
