// Package choosetest makes up frames for tests of what is chosen from them.
package choosetest

import "github.com/splatworks/splatworks/engines/choose"

// Walk is a made-up capture: n good frames, each a step further than the last.
func Walk(n int, step float64) []choose.Frame {
	frames := make([]choose.Frame, n)
	for i := range frames {
		frames[i] = choose.Frame{Index: i, TimeS: float64(i) / 30, Sharpness: 0.6, Brightness: 0.5, Contrast: 0.2, Matched: 1, Texture: 1, Difference: 0.1, Motion: step}
	}
	frames[0].Motion, frames[0].Difference = 0, 0
	return Along(frames)
}

// Along sets the travel to what the motions add up to, those of a tripod left out.
func Along(frames []choose.Frame) []choose.Frame {
	sum := 0.0
	for i := range frames {
		if frames[i].Motion >= 0.0004 {
			sum += frames[i].Motion
		}
		frames[i].Travel = sum
	}
	return frames
}

// Indices are those of the selected frames.
func Indices(s choose.Selection) []int {
	var out []int
	for _, f := range s.Frames {
		out = append(out, f.Index)
	}
	return out
}
