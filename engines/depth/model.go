package depth

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Descriptor is all that is to be known of a model besides its weights. It is beside them as NAME.json.
type Descriptor struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	File        string `json:"file"` // of the ONNX graph with its weights, in the descriptor's folder

	Output        OutputKind `json:"output"`
	InputMultiple int        `json:"input_multiple"`   // both sides of the input are multiples of it: the network's patch
	ShortSide     int        `json:"short_side"`       // pixels of the shorter side of the input
	Width         int        `json:"width,omitempty"`  // of the input of a graph that takes one size only; images are
	Height        int        `json:"height,omitempty"` // stretched to it
	Mean          [3]float32 `json:"mean"`             // of R, G, B in 0 to 1, subtracted
	Std           [3]float32 `json:"std"`              // then divided by

	// Names in the graph. The input is [batch, 3, height, width]; the output [batch, height, width], or with one more axis
	// of size 1 before height, or of which OutputChannel is taken.
	InputName     string           `json:"input_name"`
	OutputName    string           `json:"output_name"`
	OutputChannel int              `json:"output_channel,omitempty"` // of an output [batch, height, width, channels]
	Constants     map[string]int64 `json:"constants,omitempty"`      // further scalar inputs of the graph, with their values

	License       string `json:"license"` // SPDX
	NonCommercial bool   `json:"non_commercial"`
	Homepage      string `json:"homepage,omitempty"`

	URL    string `json:"url,omitempty"`    // where File comes from; empty: it has to be brought
	SHA256 string `json:"sha256,omitempty"` // of File, 64 hexadecimal digits
	Bytes  int64  `json:"bytes,omitempty"`  // of File
}

// Check says what is wrong with a descriptor.
func (d Descriptor) Check() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if d.Name == "" || d.Name != filepath.Base(d.Name) || strings.HasPrefix(d.Name, ".") {
		wrong("name %q is no plain name", d.Name)
	}
	if d.File == "" || d.File != filepath.Base(d.File) || strings.HasPrefix(d.File, ".") {
		wrong("file %q is no plain file name: the weights are beside the descriptor", d.File)
	}
	switch d.Output {
	case InverseDepth, AffineDepth, MetricDepth:
	default:
		wrong("output %q is not one of %s, %s, %s", d.Output, InverseDepth, AffineDepth, MetricDepth)
	}
	if !(d.InputMultiple >= 1 && d.InputMultiple <= 256) {
		wrong("input_multiple %d is not within 1 to 256", d.InputMultiple)
	}
	if !(d.ShortSide >= d.InputMultiple && d.ShortSide <= 4096) {
		wrong("short_side %d is not within input_multiple to 4096", d.ShortSide)
	}
	if !(d.Width >= 0 && d.Width <= 4096 && d.Height >= 0 && d.Height <= 4096) || (d.Width == 0) != (d.Height == 0) {
		wrong("width %d and height %d are no size", d.Width, d.Height)
	}
	for c := range 3 {
		if !(d.Std[c] > 0 && d.Std[c] < 1e6) || !(d.Mean[c] > -1e6 && d.Mean[c] < 1e6) {
			wrong("mean %v or std %v cannot normalise", d.Mean, d.Std)
			break
		}
	}
	if d.InputName == "" || d.OutputName == "" {
		wrong("input_name and output_name are needed")
	}
	if !(d.OutputChannel >= 0 && d.OutputChannel < 64) {
		wrong("output_channel %d is not within 0 to 63", d.OutputChannel)
	}
	if _, err := hex.DecodeString(d.SHA256); d.SHA256 != "" && (err != nil || len(d.SHA256) != 64) {
		wrong("sha256 is not 64 hexadecimal digits")
	}
	return errors.Join(problems...)
}

// ReadDescriptor reads NAME.json.
func ReadDescriptor(path string) (Descriptor, error) {
	var d Descriptor
	body, err := os.ReadFile(path)
	if err != nil {
		return d, fmt.Errorf("reading a model's descriptor: %w", err)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("reading the descriptor %s: %w", path, err)
	}
	if err := d.Check(); err != nil {
		return d, fmt.Errorf("the descriptor %s: %w", path, err)
	}
	return d, nil
}
