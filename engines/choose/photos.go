package choose

// MeasurePhoto measures a photo whose longer edge has at most Edge pixels. small is what MarkCopy compares. Photos are not compared
// for motion, their views lie too far apart: Motion is 0 and Matched 1.
func MeasurePhoto(index int, g Gray) (f Frame, small Gray) {
	f = Frame{Index: index, Matched: 1}
	f.measure(g)
	p := newPyramid(g)
	_, textured, blocks := blockMotion(p, p)
	f.Texture = float64(textured) / float64(max(1, blocks))
	return f, p.fine
}

// duplicatePhoto is the difference below which two photos are copies of each other.
const duplicatePhoto = 0.004

// MarkCopy compares a photo with the one before, where they have the same size; the zero Gray stands for none.
func (f *Frame) MarkCopy(small, before Gray) {
	if len(before.Pix) == len(small.Pix) && before.W == small.W {
		f.Difference = difference(small, before)
		f.Duplicate = f.Difference < duplicatePhoto
	}
}

// Photos leaves out what shows nothing and copies, and thins the set evenly, by sharpness, when it is larger
// than MaxImages. Every other photo was taken on purpose and stays.
func Photos(frames []Frame, o Options) Selection {
	o = o.WithDefaults()
	var s Selection
	for _, f := range frames {
		switch {
		case !f.Usable():
			s.Unusable++
		case f.Duplicate:
			s.Duplicates++
		default:
			s.Frames = append(s.Frames, f)
		}
	}
	n := len(s.Frames)
	if n <= o.MaxImages {
		return s
	}
	kept := make([]Frame, 0, o.MaxImages)
	for w := range o.MaxImages {
		window := s.Frames[w*n/o.MaxImages : (w+1)*n/o.MaxImages]
		best := window[0]
		for _, f := range window {
			if f.Sharpness > best.Sharpness {
				best = f
			}
		}
		kept = append(kept, best)
	}
	s.Thinned, s.Frames = n-len(kept), kept
	return s
}
