package choose

import "testing"

// layered is a picture with things far away, things near, and perhaps leaves between them: each block of leaves sways by up to
// two pixels, differently in every frame. The layers are displaced by these numbers of pixels.
func layered(far, near Gray, frame, farX, nearX int, leaves bool) Gray {
	g := cropped(far, 100+farX, 100, 480, 270)
	for y := 150; y < 270; y++ {
		copy(g.Pix[y*480:(y+1)*480], near.Pix[(100+y)*near.W+100+nearX:][:480])
	}
	if !leaves {
		return g
	}
	const block = 24
	for y := 0; y+block <= 150; y += block {
		for x := block; x+2*block <= 480; x += block {
			k := (x*7+y*13+frame*29)*2654435761>>8&0xffff + frame
			dx, dy := k%5-2, k/5%5-2
			for v := range block {
				copy(g.Pix[(y+v)*480+x:][:block], far.Pix[(100+y+v+dy)*far.W+100+farX+x+dx:][:block])
			}
		}
	}
	return g
}

// followed are the frames of such a film, and what their views say.
func followed(n int, picture func(i int) Gray) ([]Frame, bool) {
	var camera Track
	var all []Frame
	for i := range n {
		f := Frame{Index: i, Matched: 1, Contrast: 0.2, Sharpness: 0.5}
		camera.step(&f, newPyramid(picture(i)))
		all = append(all, f)
	}
	return all, camera.views.still()
}

// A camera that stays in one place is known by what stays in place and moves alike, however much noise and leaves add up to; one
// that walks is known by any part of the picture.
func TestStandingAndWalking(t *testing.T) {
	far, near := scattered(1100, 500, 12, 21), scattered(1100, 500, 12, 22)
	for _, test := range []struct {
		name    string
		picture func(i int) Gray
		still   bool
	}{
		{"on a tripod", func(i int) Gray { return layered(far, near, i, 0, 0, false) }, true},
		{"on a tripod before leaves in the wind", func(i int) Gray { return layered(far, near, i, 0, 0, true) }, true},
		{"turned a little before leaves", func(i int) Gray { return layered(far, near, i, i/2, i/2, true) }, true},
		{"turned far", func(i int) Gray { return layered(far, near, i, 4*i, 4*i, false) }, false},
		{"a hand's breadth to the side", func(i int) Gray { return layered(far, near, i, i/6, i/2, false) }, false},
		{"walking, with what is far in more than half of the picture", func(i int) Gray { return layered(far, near, i, 0, 2*i, false) }, false},
	} {
		if _, still := followed(60, test.picture); still != test.still {
			t.Errorf("%s: still %v", test.name, still)
		}
	}
}

// Who walks past what is near, before what is far, does not stand still: no frame is a copy, and those that are chosen are
// spread over the way.
func TestWalkBeforeAFarView(t *testing.T) {
	far, near := scattered(1100, 500, 12, 23), scattered(1100, 500, 12, 24)
	all, _ := followed(120, func(i int) Gray { return layered(far, near, i, 0, 2*i, false) })
	copies := 0
	for _, f := range all[1:] {
		if f.Duplicate {
			copies++
		}
	}
	if last := all[len(all)-1]; copies > 0 || !(last.Travel > 0.3) {
		t.Errorf("%d frames are said to stand still, the way is %.3f", copies, last.Travel)
	}
	selection := Frames(all, Options{MaxImages: 30, KeepAll: 30})
	widest := 0
	for k, f := range selection.Frames[1:] {
		widest = max(widest, f.Index-selection.Frames[k].Index)
	}
	if n := len(selection.Frames); n < 25 || widest > 8 {
		t.Errorf("%d frames, at most %d apart", n, widest)
	}
}
