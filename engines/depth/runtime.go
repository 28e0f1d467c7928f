package depth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/depth/onnx"
	"github.com/splatworks/splatworks/engines/fault"
)

// Provider is where the runtime computes.
type Provider string

const (
	// Auto is CUDA where it works; else WebGPU where a GPU of hardware is seen at Open to give the CPU's maps in less time
	// (Options.Clock); else the CPU. A GPU that fails later is given up for the CPU.
	Auto   Provider = "auto"
	CPU    Provider = "cpu"
	CUDA   Provider = "cuda"
	WebGPU Provider = "webgpu"
)

// GPU is one of this machine's, as Vulkan names it. In software, a driver computes on the processor what a GPU would: right,
// and slower than the processor alone.
type GPU struct {
	Name     string
	Software bool
}

// hardwareGPU is the name of the first that is real hardware.
func hardwareGPU() (name string, ok bool) {
	for _, g := range GPUs() {
		if !g.Software {
			return g.Name, true
		}
	}
	return "", false
}

// Options of Open. The zero value of a field means its default.
type Options struct {
	Library     string   // path of libonnxruntime.so, 1.24 or later
	Provider    Provider // (Auto)
	Threads     int      // of the CPU (all processors)
	MemoryBytes int64    // bound of what the runtime keeps for tensors on the CPU or with CUDA; WebGPU keeps to none (unbounded)
	Batch       int      // most images that Estimate is to be given at once (4 on CUDA, else 1)

	// Clock times WebGPU against the CPU for Auto; without one Auto does not consider WebGPU.
	Clock func() time.Time
}

// mostProviderDifference bounds what providers may differ by, relative to the largest value of a map.
const mostProviderDifference = 1e-2

// furthest is the largest difference between two maps, relative to the largest value of want; NaN or infinite if one is
// not a number or the sizes differ.
func (m Map) furthest(want Map) float64 {
	if m.Width != want.Width || m.Height != want.Height {
		return math.Inf(1)
	}
	worst, largest := 0.0, 0.0
	for i, v := range want.Values {
		largest = max(largest, math.Abs(float64(v))) // NaN stays
		worst = max(worst, math.Abs(float64(m.Values[i])-float64(v)))
	}
	return worst / largest
}

// DefaultMemoryBytes bounds the tensors of a program that knows nothing of its machine: three times what a base model takes
// at its own size.
const DefaultMemoryBytes = 4 << 30

// ModelPath is where the weights of a descriptor in the folder lie.
func ModelPath(folder string, d Descriptor) string { return filepath.Join(folder, d.File) }

// Verify says whether a file is the one that the descriptor names, and a graph of the kind that it describes. It trusts
// nothing: whatever the file holds, the result is nil or a *fault.Failure.
func Verify(path string, d Descriptor) error {
	_, err := verify(path, d)
	return err
}

func verify(path string, d Descriptor) (*graph, error) {
	if err := d.Check(); err != nil {
		return nil, &fault.Failure{Code: ModelUnsuitable, Message: "The model's descriptor is wrong.", Advice: "Correct the descriptor.", Err: err}
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Failure{Code: ModelMissing, Message: fmt.Sprintf("The weights of model %s are not installed.", d.Name),
			Advice: "They must be installed where depth is estimated; or choose another model.", Err: err}
	}
	damaged := func(err error) error {
		return &fault.Failure{Code: ModelDamaged, Message: fmt.Sprintf("%s is not the file that the descriptor of %s names.", filepath.Base(path), d.Name),
			Advice: "It must be deleted and installed again where depth is estimated.", Err: err}
	}
	if err != nil {
		return nil, damaged(err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, damaged(err)
	case !info.Mode().IsRegular():
		return nil, damaged(errors.New("it is no regular file"))
	case d.Bytes != 0 && info.Size() != d.Bytes:
		return nil, damaged(fmt.Errorf("it has %d bytes, not %d", info.Size(), d.Bytes))
	}
	if d.SHA256 != "" {
		hash := sha256.New()
		if _, err := io.Copy(hash, file); err != nil {
			return nil, damaged(err)
		}
		if sum := hex.EncodeToString(hash.Sum(nil)); !strings.EqualFold(sum, d.SHA256) {
			return nil, damaged(fmt.Errorf("its SHA-256 is %s, not %s", sum, d.SHA256))
		}
	}
	summary, err := onnx.Inspect(file, info.Size())
	if err != nil {
		return nil, damaged(err)
	}
	g, err := describe(summary, d)
	if err != nil {
		return nil, &fault.Failure{Code: ModelUnsuitable, Message: fmt.Sprintf("%s is not a model as the descriptor of %s describes it.", filepath.Base(path), d.Name),
			Advice: "Use the descriptor that belongs to the file.", Err: err}
	}
	return g, nil
}

// graph is what has to be known of a model's inputs to run it.
type graph struct {
	batch     int             // fixed number of images, 0: any
	constants []onnx.Value    // further inputs, all of them in Descriptor.Constants
	scalars   map[string]bool // those without a dimension
}

// describe compares a file's inputs and outputs with its descriptor.
func describe(s *onnx.Summary, d Descriptor) (*graph, error) {
	g := &graph{scalars: make(map[string]bool)}
	found := false
	for _, v := range s.Inputs {
		if v.Name != d.InputName {
			if _, ok := d.Constants[v.Name]; !ok {
				return nil, fmt.Errorf("the graph wants an input %q", v.Name)
			}
			if v.Element != onnx.Int64 || len(v.Dims) > 1 || len(v.Dims) == 1 && v.Dims[0].Size > 1 {
				return nil, fmt.Errorf("the input %q is no single whole number", v.Name)
			}
			g.constants = append(g.constants, v)
			g.scalars[v.Name] = len(v.Dims) == 0
			continue
		}
		found = true
		if v.Element != onnx.Float || len(v.Dims) != 4 || v.Dims[1].Name == "" && v.Dims[1].Size != 3 {
			return nil, fmt.Errorf("the input %q is no [batch, 3, height, width] of float32 but %s", v.Name, shape(v))
		}
		if v.Dims[0].Name == "" {
			g.batch = int(v.Dims[0].Size)
			if g.batch != 1 {
				return nil, fmt.Errorf("the input %q takes exactly %d images", v.Name, g.batch)
			}
		}
		for i, want := range []int{d.Height, d.Width} {
			if side := v.Dims[2+i]; side.Name == "" && side.Size != int64(want) {
				return nil, fmt.Errorf("the input %q is %s; the descriptor says width %d and height %d (0: any)", v.Name, shape(v), d.Width, d.Height)
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("the graph has no input %q", d.InputName)
	}
	for name := range d.Constants {
		if _, ok := g.scalars[name]; !ok {
			return nil, fmt.Errorf("the graph has no input %q", name)
		}
	}
	for _, v := range s.Outputs {
		if v.Name != d.OutputName {
			continue
		}
		if v.Element != onnx.Float || len(v.Dims) != 0 && len(v.Dims) != 3 && len(v.Dims) != 4 {
			return nil, fmt.Errorf("the output %q is no map of float32 but %s", v.Name, shape(v))
		}
		return g, nil
	}
	return nil, fmt.Errorf("the graph has no output %q", d.OutputName)
}

func shape(v onnx.Value) string {
	dims := make([]string, len(v.Dims))
	for i, d := range v.Dims {
		if dims[i] = d.Name; d.Name == "" {
			dims[i] = fmt.Sprint(d.Size)
		}
	}
	return fmt.Sprintf("[%s] of element type %d", strings.Join(dims, ", "), v.Element)
}

// split cuts the output of a batch into maps. dims is its shape.
func split(d Descriptor, dims []int64, values []float32, batch, width, height int) ([]Map, error) {
	wrong := fmt.Errorf("the output has the shape %v for %d images of %d x %d", dims, batch, width, height)
	channels, channel := 1, 0
	switch {
	case len(dims) == 4 && dims[1] == 1:
		dims = []int64{dims[0], dims[2], dims[3]}
	case len(dims) == 4 && int64(d.OutputChannel) < dims[3]:
		channels, channel = int(dims[3]), d.OutputChannel
		dims = dims[:3]
	}
	// Some heads answer at a fraction of the input's size, none at a sixteenth.
	fits := func(n int64, input int) bool { return n > 0 && n <= 1<<14 && 16*n > int64(input) }
	if len(dims) != 3 || dims[0] != int64(batch) || !fits(dims[1], height) || !fits(dims[2], width) {
		return nil, wrong
	}
	h, w := int(dims[1]), int(dims[2])
	if len(values) != batch*h*w*channels {
		return nil, wrong
	}
	maps := make([]Map, batch)
	for b := range maps {
		maps[b] = Map{Width: w, Height: h, Values: make([]float32, h*w)}
		from := values[b*h*w*channels:]
		if channels == 1 {
			copy(maps[b].Values, from)
			continue
		}
		for i := range maps[b].Values {
			maps[b].Values[i] = from[i*channels+channel]
		}
	}
	return maps, nil
}
