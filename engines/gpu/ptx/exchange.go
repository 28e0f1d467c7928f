package ptx

import "math/bits"

// Instructions across the lanes of a warp. They order no memory: only the barriers do.

func decodeMatch(d *decoder) runner {
	d.in.kind = warpWide
	d.to(0, false)
	d.from(0, 1, false)
	d.from(3, 2, false)
	if !d.has("any") || d.last != "b32" {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		v, to := w.r[in.a[0]], &w.r[in.d[0]]
		for m := lanes; m != 0; m &= m - 1 {
			i, same := bits.TrailingZeros32(m), uint32(0)
			for k := range 32 {
				if lanes>>k&1 != 0 && v[k] == v[i] {
					same |= 1 << k
				}
			}
			to[i] = same
		}
	}
}

func decodeVote(d *decoder) runner {
	d.in.kind = warpWide
	d.to(0, false)
	d.from(0, 1, false)
	d.from(3, 2, false)
	if !d.has("ballot") {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		v := w.p[in.a[0]] & lanes
		for m := lanes; m != 0; m &= m - 1 {
			w.r[in.d[0]][bits.TrailingZeros32(m)] = v
		}
	}
}

func decodeShuffle(d *decoder) runner {
	d.in.kind = warpWide
	d.to(0, false)
	d.from(0, 1, false)
	d.from(1, 2, false)
	d.from(2, 3, false) // the clamp, 31: whole warps
	d.from(3, 4, false)
	var source func(lane, by int) int
	switch {
	case d.has("bfly"):
		source = func(lane, by int) int { return lane ^ by }
	case d.has("up"):
		source = func(lane, by int) int { return lane - by }
	case d.has("down"):
		source = func(lane, by int) int { return lane + by }
	case d.has("idx"):
		source = func(_, by int) int { return by & 31 }
	default:
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		v, by, to := w.r[in.a[0]], w.r[in.a[1]], &w.r[in.d[0]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			from := source(i, int(by[i]))
			if from < 0 || from > 31 {
				from = i
			}
			if lanes>>from&1 == 0 {
				w.b.d.report(w.b.e, in, Uninitialised, "lane %d takes a value of lane %d, which has left", i, from)
			}
			to[i] = v[from]
		}
	}
}
