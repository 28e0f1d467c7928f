package frames

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

// join makes one selection and one report of those of the sources.
func (c *Capture) join(parts []part) (choose.Selection, Report, error) {
	var s choose.Selection
	var good []part
	for _, p := range parts {
		if p.err == nil {
			good = append(good, p)
		}
		s.Frames = append(s.Frames, p.selection.Frames...)
		s.Unusable += p.selection.Unusable
		s.Duplicates += p.selection.Duplicates
		s.Blurred += p.selection.Blurred
		s.Loose += p.selection.Loose
		s.Thinned += p.selection.Thinned
	}
	if len(parts) == 1 {
		r := parts[0].report
		c.finish(&r, parts[0].video == nil)
		return s, r, parts[0].err
	}
	if len(good) == 0 {
		return s, parts[0].report, parts[0].err
	}
	s.Frames = slices.DeleteFunc(s.Frames, func(f choose.Frame) bool {
		return !slices.ContainsFunc(good, func(p part) bool { return p.source == f.Source })
	})
	r := joinReports(good)
	for _, p := range parts {
		if p.err != nil {
			why, advice := p.err.Error(), ""
			if f, ok := p.err.(*fault.Failure); ok {
				why, advice = f.Message, f.Advice
			}
			r.warn("part_left_out", advice, "Nothing of %s is used: %s", p.name, why)
		}
	}
	c.finish(&r, len(c.videos) == 0)
	return s, r, nil
}

// joinReports is one report over several parts that can be used. Spreads are the means of the parts' by their number of
// frames; sizes are those of the part with the most.
func joinReports(parts []part) Report {
	r := Report{Warnings: []fault.Warning{}}
	most, videos, photos := 0, 0, 0
	for _, p := range parts {
		part := p.report
		n := len(p.scores.Frames)
		if p.video != nil {
			videos++
		} else {
			photos++
		}
		if n > most {
			most, r.Width, r.Height, r.FPS = n, part.Width, part.Height, part.FPS
		}
		r.DurationS += part.DurationS
		r.Frames += part.Frames
		r.Selected += part.Selected
		r.Travel = short(r.Travel + part.Travel)
		part.Name = p.name
		r.Parts = append(r.Parts, part)
		for _, w := range part.Warnings {
			w.Message = fmt.Sprintf("%s: %s", p.name, w.Message)
			if i := slices.IndexFunc(r.Warnings, func(have fault.Warning) bool { return have.Code == w.Code }); i >= 0 {
				r.Warnings[i].Message += " " + w.Message
				continue
			}
			r.Warnings = append(r.Warnings, w)
		}
	}
	mean := func(of func(Report) float64) float64 {
		sum, weight := 0.0, 0.0
		for _, p := range parts {
			n := float64(len(p.scores.Frames))
			sum += n * of(p.report)
			weight += n
		}
		return short(sum / math.Max(1, weight))
	}
	spread := func(of func(Report) Spread) Spread {
		return Spread{
			mean(func(r Report) float64 { return of(r).Low }),
			mean(func(r Report) float64 { return of(r).Median }),
			mean(func(r Report) float64 { return of(r).High }),
		}
	}
	r.Sharpness = spread(func(r Report) Spread { return r.Sharpness })
	r.Brightness = spread(func(r Report) Spread { return r.Brightness })
	r.Step = spread(func(r Report) Spread { return r.Step })
	r.Matched = spread(func(r Report) Spread { return r.Matched })
	r.Blurred = mean(func(r Report) float64 { return r.Blurred })
	r.Static = mean(func(r Report) float64 { return r.Static })
	switch {
	case photos == 0:
		r.Input = "videos"
	case videos == 1:
		r.Input = "video and photos"
	default:
		r.Input = "videos and photos"
	}
	return r
}

// finish adds what is said of the capture as a whole.
func (c *Capture) finish(r *Report, photosOnly bool) {
	r.Masks = len(c.masks)
	r.Poses, r.Warnings = c.posed.from(), append(r.Warnings, c.posed.warnings...)
	r.warnSkipped(c.photos.Skipped)
	r.warnAside(c.aside)
	if lost := c.lostMasks(); len(lost) > 0 {
		r.warn("unmatched_masks", "Name each mask after its photo, with .png at the end (masks/IMG_1.jpg.png or masks/IMG_1.png).",
			"%s to no photo; the first is %s.", belongs(len(lost)), lost[0])
	}
	r.warnFew(photosOnly)
}

func belongs(n int) string {
	if n == 1 {
		return "1 mask belongs"
	}
	return fmt.Sprintf("%d masks belong", n)
}

// lostMasks names the masks that belong to no photo. Those of a video's frames are named after frames that need not have
// been chosen.
func (c *Capture) lostMasks() []string {
	known := map[string]bool{}
	for _, p := range c.photos.Photos {
		key, _ := maskKey(p.Name)
		known[key] = !p.Spherical
		for k := range sphericalViews {
			if p.Spherical {
				known[fmt.Sprintf("%s_view_%d", key, k)] = true
			}
		}
	}
	var lost []string
	for key, f := range c.masks {
		if !known[key] && !(len(c.videos) > 0 && strings.Contains(key, "frame_")) {
			lost = append(lost, f.Name)
		}
	}
	slices.SortFunc(lost, natural)
	return lost
}
