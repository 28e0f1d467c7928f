package dav2

import (
	"fmt"
	"strconv"

	"github.com/splatworks/splatworks/engines/depth/onnx"
)

// Names of the graph's input and output, as in the exports that are in use.
const (
	InputName  = "pixel_values"    // [batch, 3, height, width], height and width multiples of Patch
	OutputName = "predicted_depth" // [batch, height, width]
)

func block(i int) string            { return "pretrained.blocks." + strconv.Itoa(i) + "." }
func at(name string, i int) string  { return name + "." + strconv.Itoa(i) }
func rn(i int) string               { return fmt.Sprintf("depth_head.scratch.layer%d_rn", i+1) }
func refine(i int) string           { return fmt.Sprintf("depth_head.scratch.refinenet%d.", i+1) }
func kernel(size int64) onnx.Attr   { return onnx.Attr{Name: "kernel_shape", Value: []int64{size, size}} }
func strides(size int64) onnx.Attr  { return onnx.Attr{Name: "strides", Value: []int64{size, size}} }
func padding() onnx.Attr            { return onnx.Attr{Name: "pads", Value: []int64{1, 1, 1, 1}} }
func axis(n int64) onnx.Attr        { return onnx.Attr{Name: "axis", Value: n} }
func word(name, v string) onnx.Attr { return onnx.Attr{Name: name, Value: v} }

// Graph is the network for any batch and any size of image.
func Graph(c Config, w Weights) *onnx.Model {
	g := &builder{
		m: onnx.Model{Producer: "splatworks", Opset: 17, Name: "depth_anything_v2",
			Inputs:  []onnx.Value{{Name: InputName, Element: onnx.Float, Dims: []onnx.Dim{{Name: "batch"}, {Size: 3}, {Name: "height"}, {Name: "width"}}}},
			Outputs: []onnx.Value{{Name: OutputName, Element: onnx.Float, Dims: []onnx.Dim{{Name: "batch"}, {Name: "height"}, {Name: "width"}}}}},
		w: w, stored: make(map[string]bool),
	}
	taps, patches := g.transformer(c)
	g.head(c, taps, patches)
	return &g.m
}

// builder appends nodes; every method returns the name of its result.
type builder struct {
	m      onnx.Model
	w      Weights
	stored map[string]bool
	count  int
}

func (g *builder) node(op string, inputs []string, attrs ...onnx.Attr) string {
	g.count++
	out := fmt.Sprintf("%s_%d", op, g.count)
	g.m.Nodes = append(g.m.Nodes, onnx.Node{Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
	return out
}

func (g *builder) floats(name string, dims []int64, data []float32) string {
	if !g.stored[name] {
		g.stored[name] = true
		g.m.Tensors = append(g.m.Tensors, onnx.Tensor{Name: name, Dims: dims, Floats: data})
	}
	return name
}

func (g *builder) scalar(v float32) string {
	return g.floats(fmt.Sprintf("scalar_%g", v), nil, []float32{v})
}

func (g *builder) ints(values ...int64) string {
	name := fmt.Sprint("ints_", values)
	if !g.stored[name] {
		g.stored[name] = true
		g.m.Tensors = append(g.m.Tensors, onnx.Tensor{Name: name, Dims: []int64{int64(len(values))}, Ints: values})
	}
	return name
}

// weight stores one of the network's tensors.
func (g *builder) weight(name string) string {
	t := g.w[name]
	dims := make([]int64, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int64(d)
	}
	return g.floats(name, dims, t.Data)
}

// linear is x·Wᵀ + b: the authors keep the outputs of a layer in rows, MatMul wants them in columns.
func (g *builder) linear(name, x string) string {
	t := g.w[name+".weight"]
	rows, columns := t.Dims[0], t.Dims[1]
	turned := make([]float32, len(t.Data))
	for r := range rows {
		for c := range columns {
			turned[c*rows+r] = t.Data[r*columns+c]
		}
	}
	x = g.node("MatMul", []string{x, g.floats(name+".weight.transposed", []int64{int64(columns), int64(rows)}, turned)})
	return g.node("Add", []string{x, g.weight(name + ".bias")})
}

func (g *builder) norm(name, x string) string {
	return g.node("LayerNormalization", []string{x, g.weight(name + ".weight"), g.weight(name + ".bias")}, axis(-1), onnx.Attr{Name: "epsilon", Value: float32(epsilon)})
}

func (g *builder) conv(op, name, x string, attrs ...onnx.Attr) string {
	inputs := []string{x, g.weight(name + ".weight")}
	if _, ok := g.w[name+".bias"]; ok {
		inputs = append(inputs, g.weight(name+".bias"))
	}
	return g.node(op, inputs, attrs...)
}

func (g *builder) conv3(name, x string) string {
	return g.conv("Conv", name, x, kernel(3), padding())
}

// size is height and width of x, [n, c, h, w].
func (g *builder) size(x string) string {
	return g.node("Slice", []string{g.node("Shape", []string{x}), g.ints(2), g.ints(4)})
}

// bilinear scales x to a size, corners onto corners.
func (g *builder) bilinear(x, size string) string {
	kept := g.node("Slice", []string{g.node("Shape", []string{x}), g.ints(0), g.ints(2)})
	sizes := g.node("Concat", []string{kept, size}, axis(0))
	return g.node("Resize", []string{x, "", "", sizes}, word("mode", "linear"), word("coordinate_transformation_mode", "align_corners"))
}

// transformer gives the normalised tokens after each tap as [batch, dim, rows, columns], and the rows and columns.
func (g *builder) transformer(c Config) (taps []string, patches string) {
	dim := int64(c.Dim)
	x := g.conv("Conv", "pretrained.patch_embed.proj", InputName, kernel(Patch), strides(Patch))
	patches = g.size(x)
	x = g.node("Reshape", []string{x, g.ints(0, dim, -1)})
	x = g.node("Transpose", []string{x}, onnx.Attr{Name: "perm", Value: []int64{0, 2, 1}})
	x = g.node("Add", []string{x, g.positions(c, patches)})

	pos := g.w["pretrained.pos_embed"].Data
	first := make([]float32, c.Dim)
	for i, v := range g.w["pretrained.cls_token"].Data {
		first[i] = v + pos[i]
	}
	batch := g.node("Slice", []string{g.node("Shape", []string{x}), g.ints(0), g.ints(1)})
	shape := g.node("Concat", []string{batch, g.ints(1, dim)}, axis(0))
	class := g.node("Expand", []string{g.floats("class_token", []int64{1, 1, dim}, first), shape})
	x = g.node("Concat", []string{class, x}, axis(1))

	for i := range c.Blocks {
		b := block(i)
		y := g.attention(c, b+"attn.", g.norm(b+"norm1", x))
		x = g.node("Add", []string{x, g.node("Mul", []string{y, g.weight(b + "ls1.gamma")})})
		y = g.linear(b+"mlp.fc1", g.norm(b+"norm2", x))
		y = g.linear(b+"mlp.fc2", g.gelu(y))
		x = g.node("Add", []string{x, g.node("Mul", []string{y, g.weight(b + "ls2.gamma")})})
		for _, tap := range c.Taps {
			if tap == i {
				taps = append(taps, g.picture(dim, g.norm("pretrained.norm", x), patches))
			}
		}
	}
	return taps, patches
}

// positions is the embedding of the grid's positions for any number of patches, [1, patches, dim]: bicubic, and scaled by
// (n + 0.1)/Grid except where nothing has to be scaled, as DINOv2 does it.
func (g *builder) positions(c Config, patches string) string {
	grid := int64(c.Grid)
	learned := make([]float32, c.Dim*c.Grid*c.Grid)
	pos := g.w["pretrained.pos_embed"].Data[c.Dim:]
	for p := range c.Grid * c.Grid {
		for d := range c.Dim {
			learned[d*c.Grid*c.Grid+p] = pos[p*c.Dim+d]
		}
	}
	same := g.node("Cast", []string{g.node("Equal", []string{patches, g.ints(grid)})}, onnx.Attr{Name: "to", Value: int64(onnx.Float)})
	same = g.node("ReduceMin", []string{same}, onnx.Attr{Name: "keepdims", Value: int64(1)})
	offset := g.node("Mul", []string{g.node("Sub", []string{g.scalar(1), same}), g.scalar(offset)})
	scale := g.node("Add", []string{g.node("Cast", []string{patches}, onnx.Attr{Name: "to", Value: int64(onnx.Float)}), offset})
	scale = g.node("Div", []string{scale, g.scalar(float32(c.Grid))})
	// On a GPU x/x may be less than 1, and Resize rounds sizes down.
	scale = g.node("Max", []string{scale, same})
	scales := g.node("Concat", []string{g.floats("ones", []int64{2}, []float32{1, 1}), scale}, axis(0))
	x := g.floats("positions", []int64{1, int64(c.Dim), grid, grid}, learned)
	x = g.node("Resize", []string{x, "", scales}, word("mode", "cubic"), word("coordinate_transformation_mode", "half_pixel"),
		onnx.Attr{Name: "cubic_coeff_a", Value: float32(-0.75)})
	x = g.node("Reshape", []string{x, g.ints(1, int64(c.Dim), -1)})
	return g.node("Transpose", []string{x}, onnx.Attr{Name: "perm", Value: []int64{0, 2, 1}})
}

func (g *builder) attention(c Config, name, x string) string {
	heads, width := int64(c.Heads), int64(c.Dim/c.Heads)
	x = g.linear(name+"qkv", x)
	x = g.node("Reshape", []string{x, g.ints(0, 0, 3, heads, width)})
	x = g.node("Transpose", []string{x}, onnx.Attr{Name: "perm", Value: []int64{2, 0, 3, 1, 4}})
	part := func(i int64) string {
		index := fmt.Sprintf("index_%d", i)
		if !g.stored[index] {
			g.stored[index] = true
			g.m.Tensors = append(g.m.Tensors, onnx.Tensor{Name: index, Ints: []int64{i}})
		}
		return g.node("Gather", []string{x, index}, axis(0))
	}
	q, k, v := part(0), part(1), part(2)
	q = g.node("Mul", []string{q, g.scalar(float32(scaleOf(c)))})
	k = g.node("Transpose", []string{k}, onnx.Attr{Name: "perm", Value: []int64{0, 1, 3, 2}})
	a := g.node("Softmax", []string{g.node("MatMul", []string{q, k})}, axis(-1))
	x = g.node("MatMul", []string{a, v})
	x = g.node("Transpose", []string{x}, onnx.Attr{Name: "perm", Value: []int64{0, 2, 1, 3}})
	x = g.node("Reshape", []string{x, g.ints(0, 0, heads*width)})
	return g.linear(name+"proj", x)
}

// gelu is the exact one: x/2·(1 + erf(x/√2)).
func (g *builder) gelu(x string) string {
	e := g.node("Erf", []string{g.node("Div", []string{x, g.scalar(sqrt2)})})
	e = g.node("Add", []string{e, g.scalar(1)})
	return g.node("Mul", []string{g.node("Mul", []string{x, e}), g.scalar(0.5)})
}

// picture lays the tokens behind the class token out as an image.
func (g *builder) picture(dim int64, x, patches string) string {
	x = g.node("Slice", []string{x, g.ints(1), g.ints(1 << 30), g.ints(1)})
	x = g.node("Transpose", []string{x}, onnx.Attr{Name: "perm", Value: []int64{0, 2, 1}})
	return g.node("Reshape", []string{x, g.node("Concat", []string{g.ints(0, dim), patches}, axis(0))})
}

// head is DPT: four levels, fused from the coarsest to the finest.
func (g *builder) head(c Config, taps []string, patches string) {
	var levels [4]string
	for i, x := range taps {
		x = g.conv("Conv", at("depth_head.projects", i), x, kernel(1))
		switch i {
		case 0:
			x = g.conv("ConvTranspose", "depth_head.resize_layers.0", x, kernel(4), strides(4))
		case 1:
			x = g.conv("ConvTranspose", "depth_head.resize_layers.1", x, kernel(2), strides(2))
		case 3:
			x = g.conv("Conv", "depth_head.resize_layers.3", x, kernel(3), strides(2), padding())
		}
		levels[i] = g.conv3(rn(i), x)
	}
	path := ""
	for i := 3; i >= 0; i-- {
		x := levels[i]
		if path != "" {
			x = g.node("Add", []string{path, g.residual(refine(i)+"resConfUnit1", x)})
		}
		x = g.residual(refine(i)+"resConfUnit2", x)
		var size string
		if i > 0 {
			size = g.size(levels[i-1])
		} else {
			size = g.node("Mul", []string{g.size(x), g.ints(2)})
		}
		path = g.conv("Conv", refine(i)+"out_conv", g.bilinear(x, size), kernel(1))
	}
	x := g.conv3("depth_head.scratch.output_conv1", path)
	x = g.bilinear(x, g.node("Mul", []string{patches, g.ints(Patch)}))
	x = g.node("Relu", []string{g.conv3("depth_head.scratch.output_conv2.0", x)})
	x = g.node("Relu", []string{g.conv("Conv", "depth_head.scratch.output_conv2.2", x, kernel(1))})
	g.m.Nodes = append(g.m.Nodes, onnx.Node{Op: "Squeeze", Inputs: []string{x, g.ints(1)}, Outputs: []string{OutputName}})
}

// residual is x plus two convolutions of it, each after a ReLU.
func (g *builder) residual(name, x string) string {
	y := g.conv3(name+".conv1", g.node("Relu", []string{x}))
	y = g.conv3(name+".conv2", g.node("Relu", []string{y}))
	return g.node("Add", []string{y, x})
}
