package sample

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// rgb is a colour as a display shows it (gamma 2, so that its square is the linear albedo), each in [0,1].
type rgb struct{ r, g, b float64 }

func (c rgb) times(s float64) rgb { return rgb{float64(c.r * s), float64(c.g * s), float64(c.b * s)} }
func (c rgb) to(d rgb, t float64) rgb {
	return rgb{lerp(c.r, d.r, t), lerp(c.g, d.g, t), lerp(c.b, d.b, t)}
}

func colour(v uint32) rgb {
	return rgb{float64(v>>16&255) / 255, float64(v>>8&255) / 255, float64(v&255) / 255}
}

// palettes are the colour families a seed chooses from: five colours that sit well together.
var palettes = [][]rgb{
	{colour(0xc8553d), colour(0xf28f3b), colour(0x588b8b), colour(0xffd5c2), colour(0x2d3047)},
	{colour(0x264653), colour(0x2a9d8f), colour(0xe9c46a), colour(0xf4a261), colour(0xe76f51)},
	{colour(0x3d5a80), colour(0x98c1d9), colour(0xe0e1cc), colour(0xee6c4d), colour(0x293241)},
	{colour(0x606c38), colour(0x283618), colour(0xfefae0), colour(0xdda15e), colour(0xbc6c25)},
	{colour(0x5f0f40), colour(0x9a031e), colour(0xfb8b24), colour(0xe36414), colour(0x3a7d8c)},
}

// paint is the albedo of a surface at (x,y) metres from its corner, y up.
type paint func(x, y float64) rgb

// weathered lays dirt and grain of every scale over a paint, so that no two spots look alike.
func weathered(seed int64, base paint, strength float64) paint {
	return func(x, y float64) rgb {
		c := base(x, y)
		stain := fractal(seed, float64(x*1.7), float64(y*1.7), 3) - 0.5
		grain := fractal(seed+1, float64(x*11), float64(y*11), 3) - 0.5
		tint := noise(seed+2, float64(x*6), float64(y*6)) - 0.5
		k := 1 + float64(strength*(float64(1.1*stain)+float64(0.6*grain)))
		return rgb{
			float64(c.r*k) + float64(0.10*strength*tint),
			float64(c.g * k),
			float64(c.b*k) - float64(0.10*strength*tint),
		}
	}
}

// tiles is a floor of stones: a square grid whose corners are hashed away from their places, a colour each,
// mortar between.
func tiles(seed int64, size float64, colours []rgb, mortar rgb) paint {
	return func(x, y float64) rgb {
		gx, gy := x/size, y/size
		cx, cy := int64(math.Floor(gx)), int64(math.Floor(gy))
		// The nearest and second nearest of the hashed centres (Worley, SIGGRAPH 1996).
		first, second := math.Inf(1), math.Inf(1)
		var owner uint64
		for dy := int64(-1); dy <= 1; dy++ {
			for dx := int64(-1); dx <= 1; dx++ {
				h := hash(seed, cx+dx, cy+dy)
				px := float64(cx+dx) + 0.5 + float64(0.7*(unitOf(h)-0.5))
				py := float64(cy+dy) + 0.5 + float64(0.7*(unitOf(mix(h))-0.5))
				d := math.Sqrt(float64((gx-px)*(gx-px)) + float64((gy-py)*(gy-py)))
				if d < first {
					first, second, owner = d, first, h
				} else if d < second {
					second = d
				}
			}
		}
		c := colours[owner%uint64(len(colours))].times(lerp(0.75, 1.1, unitOf(mix(owner+5))))
		edge := clamp01((second - first - 0.04) / 0.05)
		return mortar.to(c, edge)
	}
}

// bricks is a wall in running bond.
func bricks(seed int64, w, h float64, colours []rgb, mortar rgb) paint {
	return func(x, y float64) rgb {
		row := math.Floor(y / h)
		shift := float64(unitOf(hash(seed, int64(row))) * w)
		col := math.Floor((x + shift) / w)
		fx, fy := x+shift-float64(col*w), y-float64(row*h)
		k := hash(seed, int64(row), int64(col))
		c := colours[k%uint64(len(colours))].times(lerp(0.7, 1.15, unitOf(mix(k))))
		gap := min(min(fx, w-fx), min(fy, h-fy))
		return mortar.to(c, clamp01((gap-0.008)/0.01))
	}
}

// planks is wood: boards of hashed width and tone, grain along them.
func planks(seed int64, width float64, colours []rgb) paint {
	return func(x, y float64) rgb {
		board := math.Floor(x / width)
		k := hash(seed, int64(board))
		c := colours[k%uint64(len(colours))].times(lerp(0.75, 1.1, unitOf(mix(k))))
		offset := unitOf(mix(k+1)) * 50
		rings := fractal(seed+int64(board), float64(x*38), float64(y*2.2)+offset, 4)
		fx := x - float64(board*width)
		seam := clamp01((min(fx, width-fx) - 0.004) / 0.006)
		return c.times(float64(lerp(0.82, 1.15, rings) * lerp(0.35, 1, seam)))
	}
}

// stripes runs diagonal bands of hashed widths and colours, bent by slow noise.
func stripes(seed int64, width float64, colours []rgb) paint {
	return func(x, y float64) rgb {
		bend := float64(0.5 * fractal(seed, float64(x*0.9), float64(y*0.9), 3))
		band := math.Floor((float64(x*0.8) + float64(y*0.6) + bend) / width)
		k := hash(seed, int64(band))
		return colours[k%uint64(len(colours))].times(lerp(0.8, 1.1, unitOf(mix(k))))
	}
}

// patches is a quilt: cells of hashed colour, each with a hashed dot, cross or check in a second colour.
func patches(seed int64, size float64, colours []rgb) paint {
	n := uint64(len(colours))
	return func(x, y float64) rgb {
		cx, cy := math.Floor(x/size), math.Floor(y/size)
		fx, fy := x/size-cx-0.5, y/size-cy-0.5
		k := hash(seed, int64(cx), int64(cy))
		ground, figure := colours[k%n], colours[(k%n+1+mix(k)%(n-1))%n]
		inside := false
		switch mix(k+9) % 5 {
		case 0:
			inside = float64(fx*fx)+float64(fy*fy) < 0.09
		case 1:
			inside = math.Abs(fx) < 0.12 || math.Abs(fy) < 0.12
		case 2:
			inside = (fx > 0) == (fy > 0)
		case 3:
			inside = math.Abs(fx)+math.Abs(fy) < 0.33
		case 4:
			inside = math.Mod(math.Abs(fx*4), 1) < 0.5
		}
		if inside {
			return figure
		}
		return ground
	}
}

// placard puts a lettered sign of height h metres on a paint, its lower left corner at (x0,y0).
func placard(base paint, text string, x0, y0, h float64, ink, paper rgb) paint {
	mask := lettering(text)
	b := mask.Bounds()
	w := float64(h * float64(b.Dx()) / float64(b.Dy()))
	return func(x, y float64) rgb {
		u, v := (x-x0)/w, (y-y0)/h
		if u < 0 || u >= 1 || v < 0 || v >= 1 {
			return base(x, y)
		}
		if mask.GrayAt(int(u*float64(b.Dx())), int((1-v)*float64(b.Dy()))).Y > 127 {
			return ink
		}
		return paper
	}
}

// lettering draws a word in black on white, 128 pixels high with a margin; above 127 is ink.
func lettering(text string) *image.Gray {
	const height, size = 128, 104
	parsed, err := opentype.Parse(gobold.TTF)
	if err != nil {
		panic(fmt.Sprintf("sample: the built-in font does not parse: %v", err))
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic(fmt.Sprintf("sample: the built-in font has no face: %v", err))
	}
	width := font.MeasureString(face, text).Ceil() + size/3
	mask := image.NewGray(image.Rect(0, 0, width, height))
	drawer := font.Drawer{Dst: mask, Src: image.NewUniform(color.White), Face: face, Dot: fixed.P(size/6, 98)}
	drawer.DrawString(text)
	return mask
}
