package simd

// blendForwardPlain blends the instances, nearest first, into the tile: for every pixel with T > 1e-4 and alpha >= 1/255,
//
//	w = alpha·T;  R, G, B += w·colour;  D += w/z;  T -= w
//
// (Kerbl et al. 2023, eq. 3); D only with Depth. masks[i] gets the blocks in which instance i touched some pixel; the
// backward pass visits no others. len(masks) >= len(instances).
func blendForwardPlain(t *Tile, splats []Splat, instances []Instance, masks []uint16, want Want) {
	masks = masks[:len(instances)]
	alive := t.alive()
	for i, in := range instances {
		s := &splats[in.Splat]
		if alive == 0 {
			masks[i] = 0
			continue
		}
		var touched uint16
		for m := s.BlockMask(t.X, t.Y) & alive; m != 0; m &= m - 1 {
			b := nextBlock(m)
			if s.blendBlock(t, b, want) {
				touched |= 1 << b
			} else if !t.blockAlive(b) {
				alive &^= 1 << b
			}
		}
		masks[i] = touched
	}
}

// blendBlock blends one splat into one block and reports whether it touched a pixel.
func (s *Splat) blendBlock(t *Tile, b int, want Want) bool {
	touched := false
	dx0 := t.X + float32(b&3*BlockSize) + 0.5 - s.U
	dy0 := t.Y + float32(b>>2*BlockSize) + 0.5 - s.V
	for l := 0; l < BlockLanes; l++ {
		p := (b*BlockLanes + l) & (TilePixels - 1)
		e := s.exponent(dx0+float32(l&3), dy0+float32(l>>2))
		if !(e >= log2MinAlpha && t.T[p] > MinTransmittance) {
			continue
		}
		w := exp2(min(e, log2MaxAlpha)) * t.T[p]
		t.R[p] += w * s.Red
		t.G[p] += w * s.Green
		t.B[p] += w * s.Blue
		if want&Depth != 0 {
			t.D[p] += w * s.InvZ
		}
		t.T[p] -= w
		touched = true
	}
	return touched
}

func (t *Tile) blockAlive(b int) bool {
	for _, v := range t.T[b*BlockLanes : b*BlockLanes+BlockLanes] {
		if v > MinTransmittance {
			return true
		}
	}
	return false
}

// blendBackwardPlain differentiates blendForwardPlain. The tile starts with T as the forward pass did, S seeded and the
// upstream gradients in GR, GG, GB (GD); masks are the forward pass's. In the same order and with the same tests, per pixel,
//
//	w = alpha·T;  k = g·colour (+ GD/z);  S -= w·k;  dL/dalpha = T·k - S/(1-alpha);  T -= w
//
// where S is what the Gaussians behind and the background still add to g·C: the back-to-front recursion of the reference
// renderer turned round, so that nothing per pair is stored. grads[slot] of every instance is overwritten.
func blendBackwardPlain(t *Tile, splats []Splat, instances []Instance, masks []uint16, grads []Grad, want Want) {
	masks = masks[:len(instances)]
	for i, in := range instances {
		s := &splats[in.Splat]
		var sum Grad
		for m := masks[i]; m != 0; m &= m - 1 {
			s.differentiateBlock(t, nextBlock(m), want, &sum)
		}
		grads[in.Slot] = sum
	}
}

func (s *Splat) differentiateBlock(t *Tile, b int, want Want, sum *Grad) {
	const ln2 = 0.6931471805599453
	dx0 := t.X + float32(b&3*BlockSize) + 0.5 - s.U
	dy0 := t.Y + float32(b>>2*BlockSize) + 0.5 - s.V
	for l := 0; l < BlockLanes; l++ {
		p := (b*BlockLanes + l) & (TilePixels - 1)
		dx, dy := dx0+float32(l&3), dy0+float32(l>>2)
		e := s.exponent(dx, dy)
		T := t.T[p]
		if !(e >= log2MinAlpha && T > MinTransmittance) {
			continue
		}
		alpha := exp2(min(e, log2MaxAlpha))
		w := alpha * T
		k := t.GR[p]*s.Red + t.GG[p]*s.Green + t.GB[p]*s.Blue
		if want&Depth != 0 {
			k += t.GD[p] * s.InvZ
			sum.InvZ += w * t.GD[p]
		}
		sum.R += w * t.GR[p]
		sum.G += w * t.GG[p]
		sum.B += w * t.GB[p]
		S := t.S[p] - w*k
		t.S[p] = S
		t.T[p] = T - w
		if e > log2MaxAlpha {
			continue
		}
		h := alpha * (T*k - S/(1-alpha))
		hx, hy := h*dx, h*dy
		sum.H += h
		sum.HX += hx
		sum.HY += hy
		sum.HXX += hx * dx
		sum.HXY += hx * dy
		sum.HYY += hy * dy
		if want&Abs != 0 {
			sum.AbsU += ln2 * abs(h*(2*s.A*dx+s.B*dy))
			sum.AbsV += ln2 * abs(h*(s.B*dx+2*s.C*dy))
		}
	}
}

func abs(x float32) float32 {
	if x < 0 {
		return -x
	}
	return x
}
