package choose

// Given chooses among the frames of a video for which has says that they can be used, as poses are known of them: every one that
// shows something, thinned evenly when there are more than MaxImages.
func Given(frames []Frame, has func(index int) bool, o Options) Selection {
	o = o.WithDefaults()
	var s Selection
	for _, f := range frames {
		switch {
		case !has(f.Index):
		case !f.Usable():
			s.Unusable++
		default:
			s.Frames = append(s.Frames, f)
		}
	}
	if n := len(s.Frames); n > o.MaxImages {
		kept := make([]Frame, o.MaxImages)
		for i := range kept {
			kept[i] = s.Frames[i*n/o.MaxImages]
		}
		s.Thinned, s.Frames = n-len(kept), kept
	}
	return s
}
