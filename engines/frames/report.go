package frames

import (
	"fmt"
	"math"
	"strings"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

// Report says within seconds how good a capture is.
type Report struct {
	Name      string  `json:"name,omitempty"`       // of a part, as its owner knows it
	Input     string  `json:"input"`                // "video", "videos", "photos", "video and photos", "videos and photos"
	DurationS float64 `json:"duration_s,omitempty"` // of a video
	Width     int     `json:"width"`                // as shown; of photos, the most frequent size
	Height    int     `json:"height"`
	FPS       float64 `json:"fps,omitempty"`
	Frames    int     `json:"frames"`          // frames or photos that could be read
	Selected  int     `json:"selected"`        // images that will be made of them
	Views     int     `json:"views,omitempty"` // that are cut from each frame of a spherical video

	Sharpness  Spread  `json:"sharpness"`  // see choose.Frame.Sharpness
	Brightness Spread  `json:"brightness"` // 0 black to 1 white
	Blurred    float64 `json:"blurred"`    // share of frames clearly less sharp than their neighbours
	Static     float64 `json:"static"`     // share of frames that show nothing new
	Step       Spread  `json:"step"`       // see choose.Frame.Motion, from one frame to the next
	Travel     float64 `json:"travel"`     // see choose.Frame.Travel; over the whole video
	Matched    Spread  `json:"matched"`    // see choose.Frame.Matched
	Parallax   float64 `json:"parallax"`   // median of Frame.Parallax where it was measured

	Masks int    `json:"masks,omitempty"` // files of masks that came with it
	Poses string `json:"poses,omitempty"` // the name of the poses that came with it

	Warnings []fault.Warning `json:"warnings"`        // never nil
	Parts    []Report        `json:"parts,omitempty"` // of a capture of several sources, each of them
}

func (r *Report) warn(code, advice, message string, args ...any) {
	r.Warnings = append(r.Warnings, fault.Warn(code, advice, message, args...))
}

// Spread is the distribution of a measure: the 10 % quantile, the median and the 90 % quantile.
type Spread struct {
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

func spreadOf(frames []choose.Frame, of func(choose.Frame) float64) Spread {
	low, middle, high := choose.Quantiles(frames, of)
	return Spread{short(low), short(middle), short(high)}
}

// short rounds for people and for JSON.
func short(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// What a video must show at the least; below it reconstruction is refused.
const (
	leastMatched = 0.10 // median share of blocks found again; noise has 0, unrelated pictures by chance 0.17
	leastTravel  = 0.05 // of the longer edge, over the whole video: a twentieth of the picture
)

// leastParallax is what a walk shows; a camera that turns has the precision of the measurement. Measured: 0.025 while
// turning, 0.28 and 0.32 while walking.
const leastParallax = 0.08

// judgeVideo makes the part of a capture report that is about a video: all but what only a capture as a whole can lack. The error
// is a *fault.Failure when nothing can be reconstructed from it; the part is complete even then.
func judgeVideo(v Video, scores Scores, selection choose.Selection) (Report, error) {
	v = v.sizedFor(selection.Frames)
	r := reportVideo(v, scores, selection)
	r.warnPicture(v, scores)
	r.warnBlur()
	r.warnExposure()
	r.warnCamera(scores.Frames)
	return r, refuse(scores, selection, r)
}

// reportVideo sums up what was measured.
func reportVideo(v Video, scores Scores, selection choose.Selection) Report {
	all := scores.Frames
	r := Report{
		Input: "video", DurationS: short(scores.DurationS), Width: v.Width, Height: v.Height, FPS: v.FPS,
		Frames: len(all), Selected: len(selection.Frames),
		Sharpness:  spreadOf(all, func(f choose.Frame) float64 { return f.Sharpness }),
		Brightness: spreadOf(all, func(f choose.Frame) float64 { return f.Brightness }),
		Warnings:   []fault.Warning{},
	}
	blurred, static := 0, 0
	for i, is := range choose.Blurred(all) {
		if is {
			blurred++
		}
		if all[i].Duplicate {
			static++
		}
	}
	n := float64(max(1, len(all)))
	r.Blurred, r.Static = short(float64(blurred)/n), short(float64(static)/n)
	if len(all) < 2 {
		return r
	}
	r.Step = spreadOf(all[1:], func(f choose.Frame) float64 { return f.Motion })
	r.Matched = spreadOf(all[1:], func(f choose.Frame) float64 { return f.Matched })
	r.Travel = short(all[len(all)-1].Travel)
	r.Parallax = short(choose.MedianParallax(all))
	return r
}

// warnPicture warns of what the file itself is like.
func (r *Report) warnPicture(v Video, scores Scores) {
	if scores.Damaged > 0 {
		r.warn("damaged_video", "If parts are missing in the result, upload the original file again.",
			"Parts of the video could not be decoded; %d frames were.", r.Frames)
	}
	switch edge := viewEdge(v.Width, 0); {
	case v.Spherical && edge < 640:
		r.warn("low_resolution", "Film in 4K or more: a view of 90 degrees has a third of the width.", "A view has only %d x %d pixels.", edge, edge)
	case max(v.Width, v.Height) < 640:
		r.warn("low_resolution", "Film in 1080p or more.", "The picture has only %d x %d pixels.", v.Width, v.Height)
	}
	if scores.Misshapen > 0 {
		r.warn("picture_changes", "Hold the camera one way while filming, and do not join recordings.",
			"The picture changes its shape %s on the way; %s of another shape than most are left out.", times(scores.Changes), count(scores.Misshapen, "frame"))
	}
	if v.HDR {
		r.warn("hdr_video", "Switch HDR off for the next capture; colours are converted as well as can be.", "The video is HDR.")
	}
	if v.Interlaced {
		r.warn("interlaced_video", "Film in a progressive mode (such as 1080p).", "The video is interlaced.")
	}
}

// warnBlur warns of a video that is soft throughout, or in many frames.
func (r *Report) warnBlur() {
	if r.Sharpness.Median < 0.3 {
		r.warn("blurry", "Clean the lens, let it focus on the subject, and film in more light.", "The whole video is soft.")
	} else if r.Blurred > 0.15 {
		r.warn("motion_blur", "Move more slowly, or film in more light.", "%.0f %% of the frames are blurred.", 100*r.Blurred)
	}
}

// warnCamera warns of how the camera was moved.
func (r *Report) warnCamera(all []choose.Frame) {
	if r.Static > 0.4 {
		r.warn("mostly_static", "Keep walking around the subject while filming.", "The camera stands still in %.0f %% of the frames.", 100*r.Static)
	}
	lost, cuts := 0, 0
	for _, f := range all[min(1, len(all)):] {
		if f.Matched < 0.5 && f.Texture > 0 {
			lost++
			if f.Matched < 0.25 {
				cuts++
			}
		}
	}
	if float64(lost) > 0.15*float64(len(all)) {
		r.warn("fast_motion", "Move more slowly, about one step in two seconds, without turning on the spot.",
			"Between %d frames more than half of the picture changed.", lost)
	} else if cuts > 0 {
		r.warn("scene_cut", "Film in one take; parts that do not connect are lost.", "The view jumps %s.", times(cuts))
	}
	if r.Travel >= leastTravel && r.Travel < 0.4 {
		r.warn("little_motion", "Walk around the subject, half a circle at least.", "The camera hardly changes its place.")
	} else if r.Parallax > 0 && r.Parallax < leastParallax && r.Travel > 0 {
		r.warn("little_parallax", "Walk around the subject instead of turning on the spot; film what is near and what is far.",
			"What is near and what is far moves alike: the camera turns on the spot, or films a flat thing.")
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// fewImages is the number below which a reconstruction has holes.
const fewImages = 20

func (r *Report) warnFew(photos bool) {
	switch {
	case r.Selected >= fewImages:
	case photos:
		r.warn("few_images", "Take 20 to 200 photos all around the subject, each overlapping the last by two thirds.",
			"Only %s can be used.", count(r.Selected, "photo"))
	default:
		r.warn("few_images", "Film for 10 to 60 seconds, moving slowly around the subject.", "Only %s can be used.", count(r.Selected, "frame"))
	}
}

func (r *Report) warnSkipped(skipped []Skipped) {
	if len(skipped) > 0 {
		first := skipped[0]
		r.warn("skipped_files", adviceFormats, "%s could not be used; the first, %s, %s.", count(len(skipped), "file"), first.Name, strings.TrimSuffix(first.Reason, "."))
	}
}

func (r *Report) warnExposure() {
	warn := r.warn
	switch b := r.Brightness; {
	case b.Median < 0.12:
		warn("too_dark", "Switch on more light, or film by day.", "The pictures are very dark.")
	case b.Median > 0.88:
		warn("too_bright", "Lower the exposure, or avoid filming against the light.", "The pictures are very bright.")
	case b.High > 1.7*b.Low+0.03:
		warn("exposure_changes", "Lock the exposure (on phones: press long on the subject) before filming.",
			"The brightness changes a lot during the capture.")
	}
}

// refuse says why nothing can be reconstructed from a video, or nil.
func refuse(scores Scores, selection choose.Selection, r Report) error {
	all := scores.Frames
	_, dark, _ := choose.Quantiles(all, func(f choose.Frame) float64 { return f.Dark })
	_, texture, _ := choose.Quantiles(all, func(f choose.Frame) float64 { return f.Texture })
	const advice = "Film a textured, still subject while walking around it, for 10 to 60 seconds."
	switch {
	case dark > blackPart:
		return fail(AllBlack, "Check that nothing covers the lens, and film in more light.", "The video is black.")
	case !(texture > 0) || selection.Unusable == len(all):
		return fail(NoDetail, advice, "The pictures show no detail that could be matched.")
	case len(all) > 1 && r.Matched.Median < leastMatched:
		return fail(NotAScene, advice, "The frames have nothing in common: from one to the next, the whole picture changes.")
	case !(r.Travel >= leastTravel) || len(selection.Frames) < 3:
		return fail(NoMotion, advice, "The camera does not move: without other points of view there is no depth.")
	case scores.Still:
		return fail(NoMotion, advice, "The camera stays in one place: what is near and what is far hardly moves, and moves alike.")
	}
	return nil
}
