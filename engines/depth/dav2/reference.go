package dav2

import "math"

const (
	epsilon = 1e-6 // of the layer normalisations
	offset  = 0.1  // DINOv2 adds it to a number of patches before it scales the position embedding
	sqrt2   = math.Sqrt2
)

// scaleOf is the factor of the queries, 1/√(width of a head).
func scaleOf(c Config) float64 { return 1 / math.Sqrt(float64(c.Dim/c.Heads)) }

// Predict computes the network in float64 for one image: pixels is [3, height, width], both multiples of Patch; the
// result is [height, width].
func Predict(c Config, w Weights, pixels []float32, height, width int) []float64 {
	n := &network{c, w}
	image := volume{3, height, width, make([]float64, len(pixels))}
	for i, v := range pixels {
		image.v[i] = float64(v)
	}
	taps := n.transformer(image)
	return n.head(taps, height, width)
}

type network struct {
	c Config
	w Weights
}

// volume is [channels, rows, columns].
type volume struct {
	c, h, w int
	v       []float64
}

func newVolume(c, h, w int) volume { return volume{c, h, w, make([]float64, c*h*w)} }

func (a volume) at(c, y, x int) *float64 { return &a.v[(c*a.h+y)*a.w+x] }

func (n *network) transformer(image volume) []volume {
	dim := n.c.Dim
	embedded := n.conv("pretrained.patch_embed.proj", image, Patch, 0)
	rows, columns := embedded.h, embedded.w
	pos := n.positions(rows, columns)
	tokens := make([][]float64, 1+rows*columns)
	tokens[0] = make([]float64, dim)
	for d := range dim {
		tokens[0][d] = float64(n.w["pretrained.cls_token"].Data[d]) + float64(n.w["pretrained.pos_embed"].Data[d])
	}
	for p := range rows * columns {
		tokens[1+p] = make([]float64, dim)
		for d := range dim {
			tokens[1+p][d] = embedded.v[d*rows*columns+p] + pos.v[d*rows*columns+p]
		}
	}
	var taps []volume
	for i := range n.c.Blocks {
		b := block(i)
		n.add(tokens, n.attention(b+"attn.", n.norm(b+"norm1", tokens)), b+"ls1.gamma")
		hidden := n.linear(b+"mlp.fc1", n.norm(b+"norm2", tokens))
		for _, t := range hidden {
			for j, v := range t {
				t[j] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
			}
		}
		n.add(tokens, n.linear(b+"mlp.fc2", hidden), b+"ls2.gamma")
		for _, tap := range n.c.Taps {
			if tap != i {
				continue
			}
			picture := newVolume(dim, rows, columns)
			for p, t := range n.norm("pretrained.norm", tokens)[1:] {
				for d, v := range t {
					picture.v[d*rows*columns+p] = v
				}
			}
			taps = append(taps, picture)
		}
	}
	return taps
}

// positions scales the learned grid bicubically (a = -0.75, edges repeated).
func (n *network) positions(rows, columns int) volume {
	grid, dim := n.c.Grid, n.c.Dim
	learned := newVolume(dim, grid, grid)
	for p := range grid * grid {
		for d := range dim {
			learned.v[d*grid*grid+p] = float64(n.w["pretrained.pos_embed"].Data[(1+p)*dim+d])
		}
	}
	if rows == grid && columns == grid {
		return learned
	}
	out := newVolume(dim, rows, columns)
	source := func(i, n int) (int, [4]float64) {
		at := (float64(i)+0.5)*float64(grid)/(float64(n)+offset) - 0.5
		first := math.Floor(at)
		return int(first) - 1, cubic(at - first)
	}
	for y := range rows {
		y0, wy := source(y, rows)
		for x := range columns {
			x0, wx := source(x, columns)
			for d := range dim {
				sum := 0.0
				for j := range 4 {
					for i := range 4 {
						sum += wy[j] * wx[i] * *learned.at(d, min(max(y0+j, 0), grid-1), min(max(x0+i, 0), grid-1))
					}
				}
				*out.at(d, y, x) = sum
			}
		}
	}
	return out
}

// cubic is the convolution kernel of Keys (1981) with a = -0.75 at -1-t, -t, 1-t, 2-t.
func cubic(t float64) [4]float64 {
	const a = -0.75
	near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	return [4]float64{far(1 + t), near(t), near(1 - t), far(2 - t)}
}

func (n *network) attention(name string, tokens [][]float64) [][]float64 {
	dim, width := n.c.Dim, n.c.Dim/n.c.Heads
	qkv := n.linear(name+"qkv", tokens)
	out := make([][]float64, len(tokens))
	for i := range out {
		out[i] = make([]float64, dim)
	}
	scale := scaleOf(n.c)
	weights := make([]float64, len(tokens))
	for head := range n.c.Heads {
		from := head * width
		for i := range tokens {
			largest := math.Inf(-1)
			for j := range tokens {
				dot := 0.0
				for d := from; d < from+width; d++ {
					dot += qkv[i][d] * qkv[j][dim+d]
				}
				weights[j] = dot * scale
				largest = max(largest, weights[j])
			}
			sum := 0.0
			for j := range weights {
				weights[j] = math.Exp(weights[j] - largest)
				sum += weights[j]
			}
			for j, weight := range weights {
				for d := from; d < from+width; d++ {
					out[i][d] += weight / sum * qkv[j][2*dim+d]
				}
			}
		}
	}
	return n.linear(name+"proj", out)
}

// add adds γ·y to x.
func (n *network) add(x, y [][]float64, gamma string) {
	g := n.w[gamma].Data
	for i := range x {
		for d := range x[i] {
			x[i][d] += float64(g[d]) * y[i][d]
		}
	}
}

func (n *network) linear(name string, x [][]float64) [][]float64 {
	w, bias := n.w[name+".weight"], n.w[name+".bias"].Data
	out := make([][]float64, len(x))
	for i := range x {
		out[i] = make([]float64, w.Dims[0])
		for r := range out[i] {
			sum := float64(bias[r])
			for c, v := range x[i] {
				sum += float64(w.Data[r*w.Dims[1]+c]) * v
			}
			out[i][r] = sum
		}
	}
	return out
}

func (n *network) norm(name string, x [][]float64) [][]float64 {
	w, bias := n.w[name+".weight"].Data, n.w[name+".bias"].Data
	out := make([][]float64, len(x))
	for i, t := range x {
		mean, variance := 0.0, 0.0
		for _, v := range t {
			mean += v / float64(len(t))
		}
		for _, v := range t {
			variance += (v - mean) * (v - mean) / float64(len(t))
		}
		out[i] = make([]float64, len(t))
		for d, v := range t {
			out[i][d] = (v-mean)/math.Sqrt(variance+epsilon)*float64(w[d]) + float64(bias[d])
		}
	}
	return out
}

func (n *network) head(taps []volume, height, width int) []float64 {
	var levels [4]volume
	for i, x := range taps {
		x = n.conv(at("depth_head.projects", i), x, 1, 0)
		switch i {
		case 0:
			x = n.spread("depth_head.resize_layers.0", x)
		case 1:
			x = n.spread("depth_head.resize_layers.1", x)
		case 3:
			x = n.conv("depth_head.resize_layers.3", x, 2, 1)
		}
		levels[i] = n.conv(rn(i), x, 1, 1)
	}
	var path volume
	for i := 3; i >= 0; i-- {
		x := levels[i]
		if i < 3 {
			x = sum(path, n.residual(refine(i)+"resConfUnit1", x))
		}
		x = n.residual(refine(i)+"resConfUnit2", x)
		if i > 0 {
			x = bilinear(x, levels[i-1].h, levels[i-1].w)
		} else {
			x = bilinear(x, 2*x.h, 2*x.w)
		}
		path = n.conv(refine(i)+"out_conv", x, 1, 0)
	}
	x := bilinear(n.conv("depth_head.scratch.output_conv1", path, 1, 1), height, width)
	x = relu(n.conv("depth_head.scratch.output_conv2.0", x, 1, 1))
	return relu(n.conv("depth_head.scratch.output_conv2.2", x, 1, 0)).v
}

func (n *network) residual(name string, x volume) volume {
	y := n.conv(name+".conv1", relu(x), 1, 1)
	y = n.conv(name+".conv2", relu(y), 1, 1)
	return sum(x, y)
}

// conv is a convolution with zeros around the image.
func (n *network) conv(name string, x volume, stride, pad int) volume {
	w, bias := n.w[name+".weight"], n.w[name+".bias"].Data
	size := w.Dims[2]
	out := newVolume(w.Dims[0], (x.h+2*pad-size)/stride+1, (x.w+2*pad-size)/stride+1)
	for o := range out.c {
		for y := range out.h {
			for column := range out.w {
				s := 0.0
				if bias != nil {
					s = float64(bias[o])
				}
				for c := range x.c {
					for j := range size {
						row := y*stride + j - pad
						if row < 0 || row >= x.h {
							continue
						}
						for i := range size {
							if at := column*stride + i - pad; at >= 0 && at < x.w {
								s += float64(w.Data[((o*x.c+c)*size+j)*size+i]) * *x.at(c, row, at)
							}
						}
					}
				}
				*out.at(o, y, column) = s
			}
		}
	}
	return out
}

// spread is a transposed convolution whose stride is the size of its kernel, [inputs, outputs, size, size].
func (n *network) spread(name string, x volume) volume {
	w, bias := n.w[name+".weight"], n.w[name+".bias"].Data
	outputs, size := w.Dims[1], w.Dims[2]
	out := newVolume(outputs, x.h*size, x.w*size)
	for o := range outputs {
		for y := range out.h {
			for column := range out.w {
				s := float64(bias[o])
				for c := range x.c {
					s += float64(w.Data[((c*outputs+o)*size+y%size)*size+column%size]) * *x.at(c, y/size, column/size)
				}
				*out.at(o, y, column) = s
			}
		}
	}
	return out
}

// bilinear scales with corners onto corners.
func bilinear(x volume, h, w int) volume {
	source := func(i, from, to int) (int, int, float64) {
		if to == 1 {
			return 0, 0, 0
		}
		at := float64(i) * float64(from-1) / float64(to-1)
		low := min(int(at), from-1)
		return low, min(low+1, from-1), at - float64(low)
	}
	out := newVolume(x.c, h, w)
	for y := range h {
		y0, y1, fy := source(y, x.h, h)
		for column := range w {
			x0, x1, fx := source(column, x.w, w)
			for c := range x.c {
				top := *x.at(c, y0, x0)*(1-fx) + *x.at(c, y0, x1)*fx
				bottom := *x.at(c, y1, x0)*(1-fx) + *x.at(c, y1, x1)*fx
				*out.at(c, y, column) = top*(1-fy) + bottom*fy
			}
		}
	}
	return out
}

func relu(x volume) volume {
	out := newVolume(x.c, x.h, x.w)
	for i, v := range x.v {
		out.v[i] = max(v, 0)
	}
	return out
}

func sum(a, b volume) volume {
	out := newVolume(a.c, a.h, a.w)
	for i := range out.v {
		out.v[i] = a.v[i] + b.v[i]
	}
	return out
}
