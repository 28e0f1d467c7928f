// Package estimate says what a reconstruction is going to take, in time and in money, before it starts.
//
// Rough rules say how the work of each stage grows with the images, the preset and the options (expected.go). What such a request
// really takes on the machines of a deployment is learned: every finished request is a vote. As its stages took so much more or less
// than the rules say, so would those of the request in question. The median of the votes is the estimate, and where the middle four
// of five lie is its interval.
package estimate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/pipeline"
)

// Capture is what is known of an upload before anybody has looked into it: the number of photos, or how long the video is.
type Capture struct {
	Images    int     // photos, or frames that were chosen from a video; 0: not known, of a video
	Frames    int     // of the video; 0: as many as thirty a second give
	DurationS float64 // of the video; 0: photos
}

// MaxDurationS is the longest video that can be asked about: a day.
const MaxDurationS = 24 * 3600

// Check says what is wrong with a capture, in words for the client.
func (c Capture) Check() error {
	switch {
	case c.Images == 0 && c.DurationS == 0:
		return errors.New("one of images and video_s is needed: how many photos there are, or how long the video is")
	case c.Images != 0 && (c.Images < pipeline.MinImages || c.Images > maxPhotos):
		return fmt.Errorf("images must be between %d and %d", pipeline.MinImages, maxPhotos)
	case !(c.DurationS >= 0 && c.DurationS <= MaxDurationS):
		return fmt.Errorf("video_s must be between 0 and %d", MaxDurationS)
	}
	return nil
}

// maxPhotos that can be asked about: more can be uploaded than are used.
const maxPhotos = 100_000

// Interval holds the middle four of five outcomes; half of them are below Likely.
type Interval struct {
	Low, Likely, High float64
}

// Estimate of one request.
type Estimate struct {
	Images  Interval // that will be used
	Seconds Interval // of work and of starting it, from the upload's end to the result; time in the queue comes on top
	USD     Interval // zero where no finished request has a price
	Stages  []Stage  // in the order of the flow
	Basis   Basis
}

// Stage of an Estimate.
type Stage struct {
	Stage   pipeline.Stage
	Seconds Interval
	USD     Interval
}

// Basis is what an estimate rests on.
type Basis struct {
	Requests int // finished ones that were counted; 0: rules alone
	Alike    int // of them with the same preset and kind of capture
}

// vote is what one finished request says about another.
type vote struct {
	images  float64
	seconds map[pipeline.Stage]float64
	total   float64 // with the time in between
	usd     float64
}

// The votes of requests that are alike count alone when there are enough; else others join.
const (
	enough   = 3
	mostAsks = 25 // votes: those of the nearest number of images
)

// Of estimates a request from finished ones, in any order.
func Of(c Capture, o pipeline.Options, finished []Sample) Estimate {
	alike, basis := voters(c, o, finished)
	prices, between := pricesOf(finished), betweenOf(finished)
	votes := make([]vote, 0, len(alike))
	for _, s := range alike {
		votes = append(votes, s.vote(c, o, prices, between))
	}
	if len(votes) == 0 {
		votes = append(votes, Sample{}.vote(c, o, prices, between))
	}
	wide := doubt(len(alike))
	interval := func(value func(vote) float64) Interval { return spread(votes, wide, value) }
	e := Estimate{
		Images:  interval(func(v vote) float64 { return v.images }),
		Seconds: interval(func(v vote) float64 { return v.total }),
		USD:     interval(func(v vote) float64 { return v.usd }),
		Basis:   basis,
	}
	if c.Images > 0 {
		e.Images = exactly(float64(used(c, o)))
	}
	for _, stage := range pipeline.Stages() {
		e.Stages = append(e.Stages, Stage{Stage: stage, Seconds: interval(func(v vote) float64 { return v.seconds[stage] }),
			USD: interval(func(v vote) float64 { return v.seconds[stage] * prices[stage] })})
	}
	return e
}

func exactly(v float64) Interval { return Interval{v, v, v} }

// doubt widens what few votes say: 1 with many, 2.5 with none.
func doubt(votes int) float64 { return 1 + 1.5/float64(1+votes) }

// spread is the interval of a value over votes.
func spread(votes []vote, wide float64, value func(vote) float64) Interval {
	values := make([]float64, len(votes))
	for i, v := range votes {
		values[i] = value(v)
	}
	slices.Sort(values)
	return Interval{Low: quantile(values, 0.1) / wide, Likely: quantile(values, 0.5), High: quantile(values, 0.9) * wide}
}

// quantile of sorted values, between neighbours.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// voters are the finished requests that say most about one: of the same preset and kind of capture, where there are enough of
// them; else of the same preset; else all. Of many, those with the nearest number of images.
func voters(c Capture, o pipeline.Options, finished []Sample) ([]Sample, Basis) {
	o = o.WithDefaults()
	var alike, preset []Sample
	for _, s := range finished {
		if s.Options.WithDefaults().Preset != o.Preset {
			continue
		}
		preset = append(preset, s)
		if s.Capture.video() == c.video() {
			alike = append(alike, s)
		}
	}
	basis := Basis{Requests: len(finished), Alike: len(alike)}
	chosen := alike
	if len(chosen) < enough {
		chosen = preset
	}
	if len(chosen) < enough {
		chosen = slices.Clone(finished)
	}
	images := float64(used(c, o))
	distance := func(s Sample) float64 { return math.Abs(math.Log(float64(max(s.Capture.Images, 1)) / images)) }
	slices.SortStableFunc(chosen, func(a, b Sample) int { return cmp.Compare(distance(a), distance(b)) })
	return chosen[:min(len(chosen), mostAsks)], basis
}
