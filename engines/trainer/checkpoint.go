package trainer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
)

// A checkpoint is the whole state of a training, little-endian:
//
//	8 bytes   "SPLATCKP"
//	uint32    version, 2
//	uint32    length of the header
//	...       header: JSON of checkpointHeader
//	float32…  parameters, first moments, second moments: for each Gaussian its rows in the order of simd.RowMean,
//	          RowScale, RowRotation, RowOpacity, RowDC, RowRest
//	float32…  summed screen gradient and largest extent of each Gaussian; uint32… the views that saw it
//	float32…  three log gains of each training image, when the header counts any
//	float64…  of each training image, when the header counts any: change of the pose (6), its moments (12), visits
//	uint32    CRC-32C of everything before
//
// It does not depend on the machine or on the number of threads: training that continues from it with an iteration
// budget ends with the bytes that an uninterrupted run writes.
const (
	checkpointMagic   = "SPLATCKP"
	checkpointVersion = 2
	maxHeaderBytes    = 16 << 20
)

// ErrCheckpoint is wrapped by every error about a checkpoint's content.
var ErrCheckpoint = errors.New("the checkpoint cannot be used")

type checkpointHeader struct {
	Config     Config        `json:"config"`
	Data       uint32        `json:"data"` // Dataset.fingerprint
	Gaussians  int           `json:"gaussians"`
	First      int           `json:"first"`
	Sky        int           `json:"sky"`
	Iteration  int           `json:"iteration"`
	Elapsed    time.Duration `json:"elapsed"`
	RNG        []byte        `json:"rng"`
	Order      []int         `json:"order"`
	Cursor     int           `json:"cursor"`
	LossMean   float64       `json:"loss_mean"`
	RefinedAt  float64       `json:"refined_at"`
	Rebuilt    int           `json:"rebuilt"`
	Relocated  int           `json:"relocated"`
	NonFinite  int           `json:"non_finite"`
	Exposures  int           `json:"exposures"` // floats of the gains
	Poses      int           `json:"poses"`     // floats of the poses' state
	Looks      int           `json:"looks"`     // for transients
	Hidden     [][]byte      `json:"hidden"`    // cells of each training image, a bit for each; null where none is hidden
	Curve      []Evaluated   `json:"curve,omitempty"`
	Evaluation float64       `json:"evaluation"` // fraction of the last evaluation
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fingerprint distinguishes captures: names of the training images and the number of points. Their sizes may change on the way.
func (d *Dataset) fingerprint() uint32 {
	h := crc32.New(castagnoli)
	for _, v := range d.Train {
		fmt.Fprintf(h, "%s\n", v.Name)
	}
	fmt.Fprintf(h, "%d", len(d.Points))
	return h.Sum32()
}

// write saves the state.
func (t *training) write(w io.Writer) error {
	rng, err := t.pcg.MarshalBinary()
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	header, err := json.Marshal(checkpointHeader{
		Config: t.cfg, Data: t.data.fingerprint(), Gaussians: t.params.Len(), First: t.first, Sky: t.sky, Iteration: t.iteration,
		Elapsed: t.elapsed(), RNG: rng, Order: t.order, Cursor: t.cursor, LossMean: t.lossMean, RefinedAt: t.refinedAt, Rebuilt: t.rebuilt,
		Relocated: t.relocated, NonFinite: t.nonFinite, Exposures: len(t.exposure.gains), Poses: len(t.poses.state), Curve: t.curve, Evaluation: t.evaluatedAt,
		Looks: t.transients.looks, Hidden: t.transients.packed(),
	})
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(w, 1<<16)
	out := io.MultiWriter(buffered, sum)
	put := func(v any) {
		if err == nil {
			err = binary.Write(out, binary.LittleEndian, v)
		}
	}
	put([]byte(checkpointMagic))
	put(uint32(checkpointVersion))
	put(uint32(len(header)))
	put(header)
	for _, p := range []*raster.Params{t.params, t.m, t.v} {
		row := make([]float32, p.Rows())
		for i := range p.Len() {
			for k := range row {
				row[k] = *p.At(i, k)
			}
			put(row)
		}
	}
	put(t.stats.gradient)
	put(t.stats.extent)
	put(t.stats.views)
	put(t.exposure.gains)
	put(t.poses.state)
	if err == nil {
		err = binary.Write(buffered, binary.LittleEndian, sum.Sum32())
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// read restores the state that write saved, into a training with the same data and configuration.
func (t *training) read(r io.Reader) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewReaderSize(r, 1<<16)
	in := io.TeeReader(buffered, sum)
	h, err := readCheckpointHeader(in)
	if err != nil {
		return err
	}
	if err := t.accept(h); err != nil {
		return err
	}
	get := func(v any) {
		if err == nil {
			err = binary.Read(in, binary.LittleEndian, v)
		}
	}
	for _, p := range []*raster.Params{t.params, t.m, t.v} {
		p.Resize(h.Gaussians)
		row := make([]float32, p.Rows())
		for i := 0; i < p.Len() && err == nil; i++ {
			get(row)
			for k := range row {
				*p.At(i, k) = row[k]
			}
		}
	}
	t.stats.reset(h.Gaussians)
	get(t.stats.gradient)
	get(t.stats.extent)
	get(t.stats.views)
	get(t.exposure.gains)
	get(t.poses.state)
	want := sum.Sum32()
	var stored uint32
	if err == nil {
		err = binary.Read(buffered, binary.LittleEndian, &stored)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", ErrCheckpoint)
	}
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	if stored != want {
		return fmt.Errorf("%w: its checksum is %08x, its content gives %08x", ErrCheckpoint, stored, want)
	}
	return nil
}

func readCheckpointHeader(in io.Reader) (*checkpointHeader, error) {
	fixed := make([]byte, len(checkpointMagic)+8)
	if _, err := io.ReadFull(in, fixed); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("%w: it ends early", ErrCheckpoint)
		}
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if !bytes.HasPrefix(fixed, []byte(checkpointMagic)) {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrCheckpoint, checkpointMagic)
	}
	if v := binary.LittleEndian.Uint32(fixed[8:]); v != checkpointVersion {
		return nil, fmt.Errorf("%w: it has version %d, this program reads %d", ErrCheckpoint, v, checkpointVersion)
	}
	length := binary.LittleEndian.Uint32(fixed[12:])
	if length > maxHeaderBytes {
		return nil, fmt.Errorf("%w: its header of %d bytes is too long", ErrCheckpoint, length)
	}
	text, err := io.ReadAll(io.LimitReader(in, int64(length)))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	h := &checkpointHeader{}
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrCheckpoint, err)
	}
	return h, nil
}

// accept checks that a checkpoint belongs to this training and takes its header over.
func (t *training) accept(h *checkpointHeader) error {
	same := h.Config
	same.Threads, same.MemoryBytes, same.MaxGaussians = t.cfg.Threads, t.cfg.MemoryBytes, t.cfg.MaxGaussians
	same.MaxSide, same.CheckpointEvery, same.EvaluateEvery = t.cfg.MaxSide, t.cfg.CheckpointEvery, t.cfg.EvaluateEvery
	if same != t.cfg {
		return fmt.Errorf("%w: it was made with another configuration: %+v", ErrCheckpoint, h.Config)
	}
	if t.hooks.KeepGaussians && h.Gaussians <= t.cfg.mostGaussians() {
		t.cfg.MaxGaussians = max(t.cfg.MaxGaussians, h.Gaussians)
	}
	if h.Data != t.data.fingerprint() {
		return fmt.Errorf("%w: it was made from other images", ErrCheckpoint)
	}
	if h.Gaussians < 0 || h.Gaussians > t.cfg.MaxGaussians || h.First < 0 || h.Sky < 0 || h.Sky > h.First || h.Iteration < 0 || h.Elapsed < 0 {
		return fmt.Errorf("%w: %d Gaussians after %d iterations in %v are out of range", ErrCheckpoint, h.Gaussians, h.Iteration, h.Elapsed)
	}
	if h.Exposures != len(t.exposure.gains) {
		return fmt.Errorf("%w: %d exposure values, expected %d", ErrCheckpoint, h.Exposures, len(t.exposure.gains))
	}
	if h.Poses != len(t.poses.state) {
		return fmt.Errorf("%w: %d pose values, expected %d", ErrCheckpoint, h.Poses, len(t.poses.state))
	}
	seen := make([]bool, len(t.data.Train))
	for _, i := range h.Order {
		if i < 0 || i >= len(seen) || seen[i] {
			return fmt.Errorf("%w: its order of images is not a permutation", ErrCheckpoint)
		}
		seen[i] = true
	}
	if (len(h.Order) != 0 && len(h.Order) != len(seen)) || h.Cursor < 0 || h.Cursor > len(h.Order) {
		return fmt.Errorf("%w: its order of images is not a permutation", ErrCheckpoint)
	}
	hidden, err := t.unpacked(h.Hidden)
	if err != nil || h.Looks < 0 {
		return fmt.Errorf("%w: its transients are not those of these images", ErrCheckpoint)
	}
	if err := t.pcg.UnmarshalBinary(h.RNG); err != nil {
		return fmt.Errorf("%w: random state: %w", ErrCheckpoint, err)
	}
	t.first, t.sky, t.iteration, t.before, t.order, t.cursor = h.First, h.Sky, h.Iteration, h.Elapsed, h.Order, h.Cursor
	t.lossMean, t.refinedAt, t.rebuilt, t.relocated, t.nonFinite = h.LossMean, h.RefinedAt, h.Rebuilt, h.Relocated, h.NonFinite
	t.curve, t.evaluatedAt = h.Curve, h.Evaluation
	t.transients.looks = h.Looks
	t.hide(hidden)
	return nil
}
