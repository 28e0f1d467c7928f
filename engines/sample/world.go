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

// newWorld lays out the court for a seed: the same kinds of things in other places, sizes, colours and words.
func newWorld(seed uint64) *world {
	r := &random{state: seed}
	salt := int64(hash(int64(seed))>>1) & math.MaxInt32
	colours := palettes[r.intn(len(palettes))]
	light, dark := colour(0xf3ead9), colour(0x2b2622)
	next := func() int64 { salt += 104729; return salt }
	sign := func(base paint, w, h float64) paint {
		text := words[r.intn(len(words))]
		b := lettering(text).Bounds()
		size := min(h*0.3, w*0.8*float64(b.Dy())/float64(b.Dx()))
		ink, paper := dark, light
		if r.next() < 0.4 {
			ink, paper = light, colours[r.intn(len(colours))].times(0.7)
		}
		return placard(base, text, r.between(0.05, 0.15)*w, r.between(0.25, 0.45)*h, size, ink, paper)
	}

	w := &world{}
	sunTurn := r.between(0, 2*math.Pi)
	w.sun = vec{quantise(0.62 * math.Cos(sunTurn)), quantise(0.62 * math.Sin(sunTurn)), 0.95}.unit()

	const side, height = 2 * courtHalf, wallHeight
	stone := []rgb{colour(0xb9a88f), colour(0x9c8f7d), colour(0xcbbfa6), colours[2], colours[0].to(light, 0.4)}
	floor := weathered(next(), tiles(next(), 0.42, stone, colour(0x6b6257)), 0.5)
	plaster := func(x, y float64) rgb { return colours[1].to(light, 0.55) }
	mural := weathered(next(), plaster, 0.45)
	for i := range 5 {
		x := 0.5 + 2.0*float64(i)
		mural = framed(mural, weathered(next(), patches(next(), r.between(0.16, 0.3), colours), 0.5),
			x, r.between(0.5, 1.3), r.between(1.1, 1.6), r.between(1.0, 1.7), dark)
	}
	banner := weathered(next(), stripes(next(), 0.3, colours), 0.45)
	brick := weathered(next(), bricks(next(), 0.42, 0.14, []rgb{colour(0xa9583f), colour(0x8c4a3a), colour(0xc07a5a), colour(0x94604f)}, colour(0xc9c0b2)), 0.45)
	wood := weathered(next(), planks(next(), 0.24, []rgb{colour(0xa97b50), colour(0x8a6242), colour(0xc19a6b), colours[3].to(colour(0x8a6242), 0.45)}), 0.45)
	for i := range 3 {
		x := 0.4 + 3.3*float64(i)
		spot := func(base paint, ink, paper rgb) paint {
			return placard(base, words[r.intn(len(words))], x+r.between(0, 0.9), r.between(0.5, 1.9), r.between(0.32, 0.46), ink, paper)
		}
		brick = spot(brick, light, colours[4].times(0.8))
		wood = spot(wood, dark, light)
		banner = spot(banner, dark, light)
	}
	h := courtHalf
	w.court = []solid{
		newPanel(vec{-h, -h, 0}, vec{1, 0, 0}, vec{0, 1, 0}, side, side, floor),
		newPanel(vec{-h, h, 0}, vec{1, 0, 0}, vec{0, 0, 1}, side, height, mural),
		newPanel(vec{h, h, 0}, vec{0, -1, 0}, vec{0, 0, 1}, side, height, banner),
		newPanel(vec{h, -h, 0}, vec{-1, 0, 0}, vec{0, 0, 1}, side, height, brick),
		newPanel(vec{-h, -h, 0}, vec{0, 1, 0}, vec{0, 0, 1}, side, height, wood),
	}

	crate := func(centre, half vec) *box {
		turn := r.between(0, math.Pi)
		kind := r.intn(3)
		return newBox(centre, half, quantise(math.Cos(turn)), quantise(math.Sin(turn)), func(i int, fw, fh float64) paint {
			var p paint
			switch kind {
			case 0:
				p = planks(next(), 0.14, []rgb{colour(0xb98b5e), colour(0x9a6f48), colour(0xd2ab7c)})
			case 1:
				p = patches(next(), r.between(0.1, 0.16), colours)
			default:
				p = stripes(next(), r.between(0.07, 0.14), colours)
			}
			p = weathered(next(), p, 0.5)
			if i < 4 && fh > 0.25 {
				p = sign(p, fw, fh)
			}
			return p
		})
	}
	quilt := func(scale float64) func(int, float64, float64) paint {
		return func(int, float64, float64) paint {
			return weathered(next(), patches(next(), scale, colours), 0.45)
		}
	}

	// The middle piece: a crate with a smaller one on it and a ball on top.
	base, top := r.between(0.31, 0.38), r.between(0.18, 0.23)
	ballSize := r.between(0.14, 0.18)
	mid := vec{quantise(r.between(-0.15, 0.15)), quantise(r.between(-0.15, 0.15)), 0}
	w.things = append(w.things,
		crate(mid.add(vec{0, 0, base}), vec{base, base, base}),
		crate(mid.add(vec{0.04, -0.03, 2*base + top}), vec{top, top * 1.2, top}),
		newBall(mid.add(vec{0.04, -0.03, 2*base + 2*top + ballSize}), ballSize, quilt(0.09)))

	// Around it, by throwing until nothing touches: {space on the floor, how it is built}.
	placed := []struct{ at, space vec }{{mid, vec{base * 1.45, 0, 0}}}
	put := func(space, within float64, build func(vec) solid) {
		for range 400 {
			turn, away := r.between(0, 2*math.Pi), within*math.Sqrt(r.between(0.15, 1))
			at := vec{quantise(away * math.Cos(turn)), quantise(away * math.Sin(turn)), 0}
			free := true
			for _, p := range placed {
				free = free && at.sub(p.at).length() > space+p.space.x+0.08
			}
			if free {
				placed = append(placed, struct{ at, space vec }{at, vec{space, 0, 0}})
				w.things = append(w.things, build(at))
				return
			}
		}
	}
	for i := range 2 {
		radius, tall := r.between(0.14, 0.22), r.between(0.7, 1.2)
		put(radius, 1.4, func(at vec) solid {
			p := weathered(next(), stripes(next(), 0.1, colours), 0.45)
			if i == 1 {
				p = weathered(next(), patches(next(), 0.14, colours), 0.45)
			}
			return newColumn(at, radius, tall, p, weathered(next(), planks(next(), 0.08, colours), 0.45))
		})
	}
	for range 3 {
		radius := r.between(0.18, 0.32)
		put(radius, 1.7, func(at vec) solid { return newBall(at.add(vec{0, 0, radius}), radius, quilt(r.between(0.09, 0.14))) })
	}
	for range 4 {
		half := vec{r.between(0.16, 0.34), r.between(0.16, 0.3), r.between(0.14, 0.42)}
		put(vec{half.x, half.y, 0}.length(), 1.7, func(at vec) solid { return crate(at.add(vec{0, 0, half.z}), half) })
	}
	return w
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
