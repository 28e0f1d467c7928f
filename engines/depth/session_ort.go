//go:build cgo && (linux || darwin)

package depth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/splatworks/splatworks/engines/fault"
)

// environment is the runtime's state of the whole process: it is loaded once and stays.
var environment struct {
	sync.Mutex
	library  string
	sessions int
	memory   int64 // the bound of the shared allocator, 0: there is none
}

// load loads the library unless it is loaded. The caller holds environment.
func load(library string) error {
	if ort.IsInitialized() {
		if environment.library != library {
			return fmt.Errorf("%s is loaded already; a process has one runtime", environment.library)
		}
		return nil
	}
	if info, err := os.Stat(library); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", library)
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return err
	}
	environment.library = library
	_ = ort.DisableTelemetry() // absent from some builds
	return nil
}

// RuntimeVersion loads a runtime and says which version it is.
func RuntimeVersion(library string) (string, error) {
	environment.Lock()
	defer environment.Unlock()
	if err := load(library); err != nil {
		return "", runtimeFailure(library, err)
	}
	return ort.GetVersion(), nil
}

func runtimeFailure(library string, err error) error {
	if library == "" || errors.Is(err, os.ErrNotExist) {
		return &fault.Failure{Code: RuntimeMissing, Message: "ONNX Runtime is not here.",
			Advice: "ONNX Runtime 1.24 or later must be installed where depth is estimated.", Err: err}
	}
	return &fault.Failure{Code: RuntimeFailed, Message: fmt.Sprintf("%s does not work as ONNX Runtime 1.24 or later.", filepath.Base(library)),
		Advice: "ONNX Runtime 1.24 or later must be installed where depth is estimated.", Err: err}
}

// Session is a model that is loaded into the runtime.
type Session struct {
	d     Descriptor
	g     *graph
	path  string
	o     Options
	batch int

	mu       sync.Mutex // one inference at a time: each uses all threads
	provider Provider
	fallback string
	sizes    map[[3]int]bool // batch, width and height that WebGPU keeps memory for
	session  *ort.DynamicAdvancedSession
}

var _ Estimator = (*Session)(nil)

// Open verifies the weights of a model and loads them. The error is a *fault.Failure, or the context's.
func Open(ctx context.Context, path string, d Descriptor, o Options) (*Session, error) {
	g, err := verify(path, d)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	environment.Lock()
	defer environment.Unlock()
	if err := load(o.Library); err != nil {
		return nil, runtimeFailure(o.Library, err)
	}
	s := &Session{d: d, g: g, path: path, o: o, provider: o.Provider, batch: o.Batch}
	if s.auto() {
		err = s.choose(ctx)
	} else {
		err = s.open()
	}
	if err != nil {
		if ctx.Err() != nil {
			if s.session != nil {
				_ = s.session.Destroy()
			}
			return nil, ctx.Err()
		}
		code, advice := ModelUnsuitable, "Use the weights that the descriptor belongs to, or a newer ONNX Runtime."
		if s.provider != CPU {
			code, advice = RuntimeFailed, "Use the provider cpu, or install what "+string(s.provider)+" needs."
		}
		return nil, &fault.Failure{Code: code, Message: fmt.Sprintf("ONNX Runtime cannot load %s for %s.", filepath.Base(path), s.provider), Advice: advice, Err: err}
	}
	if s.batch == 0 {
		s.batch = 1
		if s.provider == CUDA {
			s.batch = 4
		}
	}
	if g.batch != 0 {
		s.batch = g.batch
	}
	environment.sessions++
	return s, nil
}

// open makes the session for s.provider.
func (s *Session) open() error {
	o := s.o
	options, err := ort.NewSessionOptions()
	if err != nil {
		return err
	}
	defer options.Destroy()
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	err = errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		// Threads that spin while they wait take the processor from those that decode the next images.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		options.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
		options.SetLogSeverityLevel(ort.LoggingLevelFatal), // errors come back as errors
	)
	if err != nil {
		return err
	}
	switch s.provider {
	case CPU:
		if err := bound(options, o.MemoryBytes); err != nil {
			return err
		}
	case CUDA:
		if err := useCUDA(options, o.MemoryBytes); err != nil {
			return err
		}
	case WebGPU:
		if runtime.GOOS == "linux" && len(GPUs()) == 0 {
			return errors.New("no Vulkan driver shows a GPU")
		}
		// By default it keeps buffers of up to 160 MiB only, and makes larger ones anew each time: images of 1036 x 518, and
		// four of 518 x 518 at once, then take three to four times as long.
		if err := options.AppendExecutionProvider("WebGPU", map[string]string{"storageBufferCacheMode": "simple"}); err != nil {
			return err
		}
	default:
		return fmt.Errorf("there is no provider %q", s.provider)
	}
	inputs := []string{s.d.InputName}
	for _, v := range s.g.constants {
		inputs = append(inputs, v.Name)
	}
	s.session, err = ort.NewDynamicAdvancedSession(s.path, inputs, []string{s.d.OutputName}, options)
	return err
}

// bound has the session take its tensors from an allocator that the process shares and that refuses to grow beyond the
// bound: what would need more fails with an error. It gives out what is asked for, not the next power of two.
func bound(options *ort.SessionOptions, bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	info, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	if environment.memory != bytes {
		if environment.sessions > 0 {
			return errors.New("another session is open with another bound of memory")
		}
		if environment.memory != 0 {
			if err := ort.UnregisterAllocator(info); err != nil {
				return err
			}
			environment.memory = 0
		}
		const sameAsRequested = 1
		config, err := ort.NewArenaCfg(int(bytes), sameAsRequested, -1, -1)
		if err != nil {
			return err
		}
		defer config.Destroy()
		if err := ort.CreateAndRegisterAllocator(info, config); err != nil {
			return err
		}
		environment.memory = bytes
	}
	return options.AddSessionConfigEntry("session.use_env_allocators", "1")
}

func useCUDA(options *ort.SessionOptions, bytes int64) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer cuda.Destroy()
	settings := map[string]string{"arena_extend_strategy": "kSameAsRequested"}
	if bytes > 0 {
		settings["gpu_mem_limit"] = strconv.FormatInt(bytes, 10)
	}
	if err := cuda.Update(settings); err != nil {
		return err
	}
	return options.AppendExecutionProviderCUDA(cuda)
}

// Descriptor of the model.
func (s *Session) Descriptor() Descriptor { return s.d }

// Provider is where the session computes: never Auto.
func (s *Session) Provider() Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.provider
}

// Fallback says why a GPU is there and not used, because it failed at Open or later; empty: none had to be given up.
func (s *Session) Fallback() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fallback
}

// Batch is the most images that Estimate should be given at once.
func (s *Session) Batch() int { return s.batch }

// RuntimeVersion of ONNX Runtime.
func (s *Session) RuntimeVersion() string { return ort.GetVersion() }

// Estimate runs the model.
func (s *Session) Estimate(ctx context.Context, inputs []Input) ([]Map, error) {
	if len(inputs) == 0 {
		return nil, ctx.Err()
	}
	width, height := inputs[0].Width, inputs[0].Height
	for _, in := range inputs {
		if in.Width != width || in.Height != height || len(in.Values) != 3*width*height || width <= 0 || height <= 0 {
			return nil, fmt.Errorf("estimating depth: an input of %d x %d with %d values in a batch of %d x %d", in.Width, in.Height, len(in.Values), width, height)
		}
	}
	if s.g.batch == 1 && len(inputs) > 1 {
		return s.oneByOne(ctx, inputs)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil, errors.New("estimating depth: the session is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := inputs[0].Values
	if len(inputs) > 1 {
		values = make([]float32, 0, len(inputs)*len(values))
		for _, in := range inputs {
			values = append(values, in.Values...)
		}
	}
	infer := func() ([]Map, error) {
		if err := s.admit(len(inputs), width, height); err != nil {
			return nil, err
		}
		dims, out, err := s.run(ctx, values, len(inputs), width, height)
		if err != nil {
			return nil, err
		}
		return split(s.d, dims, out, len(inputs), width, height)
	}
	maps, err := infer()
	if err != nil && ctx.Err() == nil && s.auto() && s.provider != CPU {
		s.fallback = err.Error()
		if err = s.reopen(CPU); err == nil {
			maps, err = infer()
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		return maps, nil
	}
	text := err.Error()
	for _, sign := range []string{"Available memory of", "Failed to allocate", "bad_alloc", "out of memory", "OUT_OF_DEVICE_MEMORY", "ALLOC_FAILED"} {
		if strings.Contains(text, sign) {
			return nil, &fault.Failure{Code: OutOfMemory, Message: fmt.Sprintf("The memory does not suffice for %s on %d images of %d x %d.", s.d.Name, len(inputs), width, height),
				Advice: "Use a machine with more memory, a smaller model, or a smaller short_side in its descriptor.", Err: err}
		}
	}
	failure := &fault.Failure{Code: ModelUnsuitable, Message: fmt.Sprintf("%s does not work on images of %d x %d.", s.d.Name, width, height),
		Advice: "Use the weights that the descriptor belongs to.", Err: err}
	if s.provider != CPU {
		failure.Message = fmt.Sprintf("%s does not work on images of %d x %d with %s.", s.d.Name, width, height, s.provider)
		failure.Advice = "Use the provider cpu."
	}
	return nil, failure
}

// oneByOne is for graphs that take a single image.
func (s *Session) oneByOne(ctx context.Context, inputs []Input) ([]Map, error) {
	var maps []Map
	for i := range inputs {
		m, err := s.Estimate(ctx, inputs[i:i+1])
		if err != nil {
			return nil, err
		}
		maps = append(maps, m...)
	}
	return maps, nil
}

// run is one inference; when the context ends it is stopped between two operators of the graph.
func (s *Session) run(ctx context.Context, values []float32, batch, width, height int) (dims []int64, out []float32, err error) {
	options, err := ort.NewRunOptions()
	if err != nil {
		return nil, nil, err
	}
	defer options.Destroy()
	tensor, err := ort.NewTensor(ort.NewShape(int64(batch), 3, int64(height), int64(width)), values)
	if err != nil {
		return nil, nil, err
	}
	defer tensor.Destroy()
	inputs := []ort.Value{tensor}
	for _, v := range s.g.constants {
		constant, err := s.constant(v.Name)
		if err != nil {
			return nil, nil, err
		}
		defer constant.Destroy()
		inputs = append(inputs, constant)
	}
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		_ = options.Terminate()
	})
	outputs := []ort.Value{nil}
	err = s.session.RunWithOptions(inputs, outputs, options)
	if !stop() {
		<-terminated // the options must outlive its use of them
	}
	if outputs[0] != nil {
		defer outputs[0].Destroy()
	}
	if err != nil {
		return nil, nil, err
	}
	result, ok := outputs[0].(*ort.Tensor[float32])
	if !ok {
		return nil, nil, fmt.Errorf("the output is a %T", outputs[0])
	}
	return result.GetShape(), result.GetData(), nil
}

func (s *Session) constant(name string) (ort.Value, error) {
	value := s.d.Constants[name]
	if s.g.scalars[name] {
		return ort.NewScalar(value)
	}
	return ort.NewTensor(ort.NewShape(1), []int64{value})
}

// Close frees the model.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	environment.Lock()
	environment.sessions--
	environment.Unlock()
	if err != nil {
		return fmt.Errorf("closing a depth model: %w", err)
	}
	return nil
}
