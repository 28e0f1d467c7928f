package frames

import (
	"math"
	"regexp"
	"strconv"

	"github.com/splatworks/splatworks/engines/choose"
)

// shown is what ffmpeg's filter showinfo says of a frame.
type shown struct {
	count         int
	pts           int64
	time          float64
	timed         bool // pts and time are known
	width, height int  // as shown
	format        string
}

// "[Parsed_showinfo_0 @ 0x5581] n:  12 pts:   1200 pts_time:1.2 duration:... fmt:yuv420p cl:left sar:1/1 s:640x360 i:P ..."
var shownLine = regexp.MustCompile(`^\[Parsed_showinfo_\d+ @ [^\]]*\] n: *(\d+) pts: *(-?\d+|NOPTS) +pts_time:(\S+) .*\bfmt:(\S+) .*\bsar:(\d+)/(\d+) s:(\d+)x(\d+) `)

func parseShown(line string) (s shown, ok bool) {
	m := shownLine.FindStringSubmatch(line)
	if m == nil {
		return s, false
	}
	s.count, s.format = whole(m[1]), m[4]
	s.width, s.height = whole(m[7]), whole(m[8])
	if pixel := ratio(m[5] + "/" + m[6]); pixel > 0.1 && pixel < 10 {
		s.width = int(math.Round(float64(s.width) * pixel))
	}
	pts, err := strconv.ParseInt(m[2], 10, 64)
	time, good := number(m[3])
	if s.timed = err == nil && good; s.timed {
		s.pts, s.time = pts, time
	}
	return s, true
}

// place gives the frames their times and, where the picture changes on the way, their runs.
func (s *Scores) place(pictures []shown, v Video) {
	timed := len(pictures) == len(s.Frames)
	first := math.Inf(1)
	for _, p := range pictures {
		if timed = timed && p.timed; timed {
			first = min(first, p.time)
		}
	}
	rate := v.FPS
	if !(rate > 0) {
		rate = 30
	}
	last := 0.0
	for i := range s.Frames {
		f := &s.Frames[i]
		if f.TimeS = float64(i) / rate; timed {
			f.TimeS = pictures[i].time - first
		}
		last = max(last, f.TimeS)
	}
	if n := len(s.Frames); n > 1 {
		// Each is shown until the next one comes.
		s.DurationS = last * float64(n) / float64(n-1)
	}
	if len(pictures) == len(s.Frames) {
		s.findRuns(pictures)
	}
}

// findRuns sets Frame.Run where the picture changes.
func (s *Scores) findRuns(pictures []shown) {
	for i := 1; i < len(pictures); i++ {
		if a, b := pictures[i-1], pictures[i]; a.width != b.width || a.height != b.height || a.format != b.format || b.count == 0 {
			s.Changes++
		}
	}
	if s.Changes == 0 {
		return
	}
	shape := commonShape(pictures)
	for i, p := range pictures {
		r := &choose.Run{Count: p.count, PTS: p.pts, Width: p.width, Height: p.height, Other: !p.timed || !shape.fits(p)}
		s.Frames[i].Run = r
		if !shape.fits(p) {
			s.Misshapen++
		}
	}
}

// fits says whether a picture can be scaled to the size of another without stretching it: whether their shapes differ by no
// more than what rounding a size to even numbers or blocks of 16 does.
func (s shown) fits(other shown) bool {
	a, b := float64(s.width)*float64(other.height), float64(s.height)*float64(other.width)
	return a > 0 && b > 0 && math.Abs(a/b-1) < 0.05
}

// commonShape is a picture of the shape that most have; of equally many, the first's.
func commonShape(pictures []shown) shown {
	var shapes []shown
	var counts []int
next:
	for _, p := range pictures {
		for k, shape := range shapes {
			if shape.fits(p) {
				counts[k]++
				continue next
			}
		}
		shapes, counts = append(shapes, p), append(counts, 1)
	}
	best := 0
	for k := range counts {
		if counts[k] > counts[best] {
			best = k
		}
	}
	return shapes[best]
}

// sizedFor is the video with the size that the images of a selection are made from: the largest of its frames.
func (v Video) sizedFor(selected []choose.Frame) Video {
	for i, f := range selected {
		if f.Run == nil {
			return v
		}
		if i == 0 || f.Run.Width > v.Width {
			v.Width, v.Height = f.Run.Width, f.Run.Height
		}
	}
	return v
}
