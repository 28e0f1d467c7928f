// Package dav2 builds the network of Depth-Anything-V2 (Yang et al. 2024, arXiv:2406.09414) as an ONNX graph: a DINOv2
// vision transformer (Oquab et al. 2023, arXiv:2304.07193) whose tokens after four of its blocks a DPT head (Ranftl et al.
// 2021, arXiv:2103.13413) fuses into one inverse depth per pixel.
//
// The weights are drawn from a seed. They predict nothing, but the graph has the operators, shapes and cost of the real
// one, which is all that a proof of the runtime and a benchmark need. Predict (reference.go) computes the same network in
// plain Go; it is the definition, and what the runtime says is compared with it.
package dav2

import (
	"math"
	"math/rand/v2"
)

// Config is the size of a network.
type Config struct {
	Dim, Blocks, Heads int    // of the transformer; its hidden layers are four times as wide
	Taps               [4]int // the blocks whose tokens the head reads
	Channels           [4]int // of the head's four levels before fusion
	Features           int    // channels of the fusion
	Hidden             int    // channels before the last convolution
	Grid               int    // patches a side that the position embedding was learned at
}

// Patch is the side of a patch in pixels.
const Patch = 14

// ViTS is Depth-Anything-V2 Small: 24.7 million weights.
func ViTS() Config {
	return Config{Dim: 384, Blocks: 12, Heads: 6, Taps: [4]int{2, 5, 8, 11}, Channels: [4]int{48, 96, 192, 384}, Features: 64, Hidden: 32, Grid: 37}
}

// Tiny has every part of the network and 0.2 million weights.
func Tiny() Config {
	return Config{Dim: 48, Blocks: 4, Heads: 3, Taps: [4]int{0, 1, 2, 3}, Channels: [4]int{12, 24, 32, 48}, Features: 16, Hidden: 8, Grid: 5}
}

// Tensor is a dense array, the last dimension contiguous.
type Tensor struct {
	Dims []int
	Data []float32
}

// Weights are the network's, by the names that the authors' code gives them.
type Weights map[string]Tensor

// Draw makes weights from a seed, scaled so that signals neither die nor explode and the answer is not cut off at zero.
func Draw(c Config, seed uint64) Weights {
	d := &drawing{w: make(Weights), rng: rand.New(rand.NewPCG(seed, 0xd1f02))}
	d.network(c)
	return d.w
}

type drawing struct {
	w   Weights
	rng *rand.Rand
}

func (d *drawing) normal(name string, mean, deviation float64, dims ...int) {
	n := 1
	for _, size := range dims {
		n *= size
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(mean + deviation*d.rng.NormFloat64())
	}
	d.w[name] = Tensor{dims, data}
}

// layer draws a weight of the given shape for signals of that many inputs, and its bias.
func (d *drawing) layer(name string, inputs, bias int, dims ...int) {
	d.normal(name+".weight", 0, 1/math.Sqrt(float64(inputs)), dims...)
	if bias > 0 {
		d.normal(name+".bias", 0, 0.1, bias)
	}
}

func (d *drawing) norm(name string, dim int) {
	d.normal(name+".weight", 1, 0.1, dim)
	d.normal(name+".bias", 0, 0.1, dim)
}

func (d *drawing) network(c Config) {
	d.layer("pretrained.patch_embed.proj", 3*Patch*Patch, c.Dim, c.Dim, 3, Patch, Patch)
	d.normal("pretrained.cls_token", 0, 0.5, 1, 1, c.Dim)
	d.normal("pretrained.pos_embed", 0, 0.5, 1, 1+c.Grid*c.Grid, c.Dim)
	for i := range c.Blocks {
		b := block(i)
		d.norm(b+"norm1", c.Dim)
		d.layer(b+"attn.qkv", c.Dim, 3*c.Dim, 3*c.Dim, c.Dim)
		d.layer(b+"attn.proj", c.Dim, c.Dim, c.Dim, c.Dim)
		d.normal(b+"ls1.gamma", 0.5, 0.1, c.Dim)
		d.norm(b+"norm2", c.Dim)
		d.layer(b+"mlp.fc1", c.Dim, 4*c.Dim, 4*c.Dim, c.Dim)
		d.layer(b+"mlp.fc2", 4*c.Dim, c.Dim, c.Dim, 4*c.Dim)
		d.normal(b+"ls2.gamma", 0.5, 0.1, c.Dim)
	}
	d.norm("pretrained.norm", c.Dim)
	for i, channels := range c.Channels {
		d.layer(at("depth_head.projects", i), c.Dim, channels, channels, c.Dim, 1, 1)
	}
	// Transposed convolutions that do not overlap: each output has one pixel of all channels as inputs.
	d.layer("depth_head.resize_layers.0", c.Channels[0], c.Channels[0], c.Channels[0], c.Channels[0], 4, 4)
	d.layer("depth_head.resize_layers.1", c.Channels[1], c.Channels[1], c.Channels[1], c.Channels[1], 2, 2)
	d.layer("depth_head.resize_layers.3", 9*c.Channels[3], c.Channels[3], c.Channels[3], c.Channels[3], 3, 3)
	for i, channels := range c.Channels {
		d.layer(rn(i), 9*channels, 0, c.Features, channels, 3, 3)
		unit := refine(i)
		for _, u := range []string{"resConfUnit1", "resConfUnit2"} {
			if i == 3 && u == "resConfUnit1" { // never used: there is nothing below the last level
				continue
			}
			for _, conv := range []string{".conv1", ".conv2"} {
				d.layer(unit+u+conv, 9*c.Features, c.Features, c.Features, c.Features, 3, 3)
			}
		}
		d.layer(unit+"out_conv", c.Features, c.Features, c.Features, c.Features, 1, 1)
	}
	d.layer("depth_head.scratch.output_conv1", 9*c.Features, c.Features/2, c.Features/2, c.Features, 3, 3)
	d.layer("depth_head.scratch.output_conv2.0", 9*c.Features/2, c.Hidden, c.Hidden, c.Features/2, 3, 3)
	d.layer("depth_head.scratch.output_conv2.2", c.Hidden, 0, 1, c.Hidden, 1, 1)
	d.w["depth_head.scratch.output_conv2.2.bias"] = Tensor{[]int{1}, []float32{4}}
}

// FLOPs is the arithmetic of one image in convolutions and matrix products, a multiplication and an addition being two.
func (c Config) FLOPs(height, width int) float64 {
	rows, columns := height/Patch, width/Patch
	patches := float64(rows * columns)
	tokens, dim, features := patches+1, float64(c.Dim), float64(c.Features)
	sum := patches * dim * 3 * Patch * Patch
	sum += float64(c.Blocks) * (12*tokens*dim*dim + 2*tokens*tokens*dim)
	pixels := [4]float64{16 * patches, 4 * patches, patches, float64((rows + 1) / 2 * ((columns + 1) / 2))}
	finer := [4]float64{64 * patches, pixels[0], pixels[1], pixels[2]}
	for i, channels := range c.Channels {
		n := float64(channels)
		sum += patches * dim * n
		switch i {
		case 0, 1: // one input pixel for each output pixel
			sum += pixels[i] * n * n
		case 3:
			sum += pixels[3] * 9 * n * n
		}
		sum += pixels[i] * 9 * n * features
		convolutions := 4.0
		if i == 3 {
			convolutions = 2
		}
		sum += convolutions*pixels[i]*9*features*features + finer[i]*features*features
	}
	full := float64(height * width)
	sum += 64 * patches * 9 * features * features / 2
	sum += full * (9*features/2*float64(c.Hidden) + float64(c.Hidden))
	return 2 * sum
}
