package sample

import (
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// world is the scene: a walled court, open to the sky, with things standing on its floor. Everything is within
// 8 m of the camera and painted, so that every pixel can be matched.
type world struct {
	court  []solid // the floor and the four walls
	things []solid
	sun    vec // towards the sun
}

const (
	courtHalf  = 5.2 // metres from the middle to a wall
	wallHeight = 4.4
)

var words = []string{"SPLAT", "ORBIT", "NORTH 7", "FRAGILE", "LOT 42", "TILT", "PARALLAX", "THIS WAY UP", "K-19",
	"FOX", "GARDEN", "RADIANCE", "No. 5", "COLMAP", "SOUTH", "MOSAIC"}

// newWorld lays out the court for a seed: the same kinds of things in other places, sizes, colours and words. The order of its steps is
// that of the random numbers: another order is another court.
func newWorld(seed uint64) *world {
	d := newDesign(seed)
	w := &world{}
	sunTurn := d.between(0, 2*math.Pi)
	w.sun = vec{quantise(0.62 * math.Cos(sunTurn)), quantise(0.62 * math.Sin(sunTurn)), 0.95}.unit()
	w.court = d.walls()
	middle, at, size := d.middlePiece()
	w.things = append(middle, d.around(at, size)...)
	return w
}

// design draws what is left to chance in a court.
type design struct {
	*random
	salt        int64 // of the next paint
	colours     []rgb
	light, dark rgb
}

func newDesign(seed uint64) *design {
	d := &design{random: &random{state: seed}, salt: int64(hash(int64(seed))>>1) & math.MaxInt32, light: colour(0xf3ead9), dark: colour(0x2b2622)}
	d.colours = palettes[d.intn(len(palettes))]
	return d
}

// seed is that of the next paint.
func (d *design) seed() int64 {
	d.salt += 104729
	return d.salt
}

// walls are the floor and the four walls, each with another paint.
func (d *design) walls() []solid {
	const side, height = 2 * courtHalf, wallHeight
	stone := []rgb{colour(0xb9a88f), colour(0x9c8f7d), colour(0xcbbfa6), d.colours[2], d.colours[0].to(d.light, 0.4)}
	floor := weathered(d.seed(), tiles(d.seed(), 0.42, stone, colour(0x6b6257)), 0.5)
	plaster := func(x, y float64) rgb { return d.colours[1].to(d.light, 0.55) }
	mural := weathered(d.seed(), plaster, 0.45)
	for i := range 5 {
		x := 0.5 + 2.0*float64(i)
		mural = framed(mural, weathered(d.seed(), patches(d.seed(), d.between(0.16, 0.3), d.colours), 0.5),
			x, d.between(0.5, 1.3), d.between(1.1, 1.6), d.between(1.0, 1.7), d.dark)
	}
	banner := weathered(d.seed(), stripes(d.seed(), 0.3, d.colours), 0.45)
	brick := weathered(d.seed(), bricks(d.seed(), 0.42, 0.14, []rgb{colour(0xa9583f), colour(0x8c4a3a), colour(0xc07a5a), colour(0x94604f)}, colour(0xc9c0b2)), 0.45)
	wood := weathered(d.seed(), planks(d.seed(), 0.24, []rgb{colour(0xa97b50), colour(0x8a6242), colour(0xc19a6b), d.colours[3].to(colour(0x8a6242), 0.45)}), 0.45)
	for i := range 3 {
		x := 0.4 + 3.3*float64(i)
		spot := func(base paint, ink, paper rgb) paint {
			return placard(base, words[d.intn(len(words))], x+d.between(0, 0.9), d.between(0.5, 1.9), d.between(0.32, 0.46), ink, paper)
		}
		brick = spot(brick, d.light, d.colours[4].times(0.8))
		wood = spot(wood, d.dark, d.light)
		banner = spot(banner, d.dark, d.light)
	}
	h := courtHalf
	return []solid{
		newPanel(vec{-h, -h, 0}, vec{1, 0, 0}, vec{0, 1, 0}, side, side, floor),
		newPanel(vec{-h, h, 0}, vec{1, 0, 0}, vec{0, 0, 1}, side, height, mural),
		newPanel(vec{h, h, 0}, vec{0, -1, 0}, vec{0, 0, 1}, side, height, banner),
		newPanel(vec{h, -h, 0}, vec{-1, 0, 0}, vec{0, 0, 1}, side, height, brick),
		newPanel(vec{-h, -h, 0}, vec{0, 1, 0}, vec{0, 0, 1}, side, height, wood),
	}
}

// sign puts a word onto a paint of w by h metres.
func (d *design) sign(base paint, w, h float64) paint {
	text := words[d.intn(len(words))]
	b := lettering(text).Bounds()
	size := min(h*0.3, w*0.8*float64(b.Dy())/float64(b.Dx()))
	ink, paper := d.dark, d.light
	if d.next() < 0.4 {
		ink, paper = d.light, d.colours[d.intn(len(d.colours))].times(0.7)
	}
	return placard(base, text, d.between(0.05, 0.15)*w, d.between(0.25, 0.45)*h, size, ink, paper)
}

// crate is a box with signs on its sides, as far as these are large enough.
func (d *design) crate(centre, half vec) *box {
	turn := d.between(0, math.Pi)
	kind := d.intn(3)
	return newBox(centre, half, quantise(math.Cos(turn)), quantise(math.Sin(turn)), func(i int, fw, fh float64) paint {
		var p paint
		switch kind {
		case 0:
			p = planks(d.seed(), 0.14, []rgb{colour(0xb98b5e), colour(0x9a6f48), colour(0xd2ab7c)})
		case 1:
			p = patches(d.seed(), d.between(0.1, 0.16), d.colours)
		default:
			p = stripes(d.seed(), d.between(0.07, 0.14), d.colours)
		}
		p = weathered(d.seed(), p, 0.5)
		if i < 4 && fh > 0.25 {
			p = d.sign(p, fw, fh)
		}
		return p
	})
}

// quilt paints the sides of a solid with patches.
func (d *design) quilt(scale float64) func(int, float64, float64) paint {
	return func(int, float64, float64) paint {
		return weathered(d.seed(), patches(d.seed(), scale, d.colours), 0.45)
	}
}

// middlePiece is a crate with a smaller one on it and a ball on top; space is the radius of the floor that it needs.
func (d *design) middlePiece() (things []solid, at vec, space float64) {
	base, top := d.between(0.31, 0.38), d.between(0.18, 0.23)
	ballSize := d.between(0.14, 0.18)
	at = vec{quantise(d.between(-0.15, 0.15)), quantise(d.between(-0.15, 0.15)), 0}
	return []solid{
		d.crate(at.add(vec{0, 0, base}), vec{base, base, base}),
		d.crate(at.add(vec{0.04, -0.03, 2*base + top}), vec{top, top * 1.2, top}),
		newBall(at.add(vec{0.04, -0.03, 2*base + 2*top + ballSize}), ballSize, d.quilt(0.09)),
	}, at, base * 1.45
}

// around are the things around the middle piece, which needs some space: thrown until nothing touches.
func (d *design) around(middle vec, space float64) (things []solid) {
	type spot struct {
		at    vec
		space float64 // on the floor
	}
	placed := []spot{{middle, space}}
	put := func(space, within float64, build func(vec) solid) {
		for range 400 {
			turn, away := d.between(0, 2*math.Pi), within*math.Sqrt(d.between(0.15, 1))
			at := vec{quantise(away * math.Cos(turn)), quantise(away * math.Sin(turn)), 0}
			free := true
			for _, p := range placed {
				free = free && at.sub(p.at).length() > space+p.space+0.08
			}
			if free {
				placed = append(placed, spot{at, space})
				things = append(things, build(at))
				return
			}
		}
	}
	for i := range 2 {
		radius, tall := d.between(0.14, 0.22), d.between(0.7, 1.2)
		put(radius, 1.4, func(at vec) solid {
			p := weathered(d.seed(), stripes(d.seed(), 0.1, d.colours), 0.45)
			if i == 1 {
				p = weathered(d.seed(), patches(d.seed(), 0.14, d.colours), 0.45)
			}
			return newColumn(at, radius, tall, p, weathered(d.seed(), planks(d.seed(), 0.08, d.colours), 0.45))
		})
	}
	for range 3 {
		radius := d.between(0.18, 0.32)
		put(radius, 1.7, func(at vec) solid { return newBall(at.add(vec{0, 0, radius}), radius, d.quilt(d.between(0.09, 0.14))) })
	}
	for range 4 {
		half := vec{d.between(0.16, 0.34), d.between(0.16, 0.3), d.between(0.14, 0.42)}
		put(vec{half.x, half.y, 0}.length(), 1.7, func(at vec) solid { return d.crate(at.add(vec{0, 0, half.z}), half) })
	}
	return things
}

// framed hangs a picture of w by h metres, with a border, on a paint.
func framed(base, picture paint, x0, y0, w, h float64, border rgb) paint {
	return func(x, y float64) rgb {
		gap := min(min(x-x0, x0+w-x), min(y-y0, y0+h-y))
		switch {
		case gap < 0:
			return base(x, y)
		case gap < 0.05:
			return border
		}
		return picture(x, y)
	}
}

// first finds the nearest surface along a ray among some of the things and the court; best.on is nil for the sky. The
// caller lends best, since a variable of its own would cost every ray an allocation.
func (w *world) first(o, d vec, things []solid, best *hit) {
	*best = hit{t: math.Inf(1)}
	for _, s := range things {
		s.hit(o, d, best)
	}
	for _, s := range w.court {
		s.hit(o, d, best)
	}
}

// bake computes the light on every surface and paints it, in parallel over surfaces, as finely as pictures whose longer
// edge has that number of pixels can show.
func (w *world) bake(edge int) {
	fine := float64(edge) / 640
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range w.court {
		density := 90.0 // texels a metre: one pixel of 640 at the distance the walls are seen from
		if i == 0 {
			density = 190
		}
		for _, sheet := range s.surfaces() {
			g.Go(func() error { w.finish(sheet, density*fine, 0.14); return nil })
		}
	}
	for _, s := range w.things {
		for _, sheet := range s.surfaces() {
			g.Go(func() error { w.finish(sheet, 230*fine, 0.05); return nil })
		}
	}
	g.Wait()
}
