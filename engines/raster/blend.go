package raster

import "github.com/splatworks/splatworks/engines/simd"

// tileRect is one tile's place in the image: corner, and the size of what lies inside.
func (r *Renderer) tileRect(tile int) (x, y, w, h int) {
	across, _ := r.tileGrid()
	x, y = tile%across*simd.TileSize, tile/across*simd.TileSize
	return x, y, min(simd.TileSize, r.cam.Width-x), min(simd.TileSize, r.cam.Height-y)
}

// blend draws every tile into the frame. Tiles are a queue in image order: neighbours share records, gradients' cache
// lines and image rows, and one tile is too small a part of a frame for the order to leave a worker idle at the end.
func (r *Renderer) blend() {
	f := &r.frame
	r.each(len(r.starts)-1, func(worker, tile int) {
		x, y, w, h := r.tileRect(tile)
		t := r.tiles[worker]
		t.Begin(x, y, w, h)
		first, last := r.starts[tile], r.starts[tile+1]
		r.sorters[worker].sort(r.depths[first:last], r.instances[first:last])
		r.kernels.BlendForward(t, r.splats, r.instances[first:last], r.masks[first:last], r.want())
		for channel, plane := range []*simd.Plane{&t.R, &t.G, &t.B} {
			if bg := r.opt.Background[channel]; bg != 0 {
				for i := range plane {
					plane[i] += t.T[i] * bg
				}
			}
		}
		at := y*f.Width + x
		t.R.Store(f.Color[0][at:], f.Width, w, h)
		t.G.Store(f.Color[1][at:], f.Width, w, h)
		t.B.Store(f.Color[2][at:], f.Width, w, h)
		if r.opt.Depth {
			t.D.Store(f.InverseDepth[at:], f.Width, w, h)
		}
		if r.opt.Transmittance {
			t.T.Store(f.Transmittance[at:], f.Width, w, h)
		}
	})
}
