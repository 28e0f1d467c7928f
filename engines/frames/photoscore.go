package frames

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

// decodeBudget bounds the bytes that pictures take which are decoded at the same time. A picture that takes more is decoded
// alone. Twice as much may be in use until the memory of those before is collected.
const decodeBudget = 1 << 30

// decodedBytes is what a pixel takes while a picture of a format is decoded, measured and made smaller. A 16-bit PNG has up to
// eight bytes, twice that when it is interlaced; a JPEG three, and twelve for its coefficients when it is progressive, which
// its size does not say; HEIC is decoded in a sandbox, one at a time.
func decodedBytes(format string, model color.Model) int64 {
	switch {
	case format == formatHEIC:
		return 30
	case format == formatJPEG && model == color.CMYKModel:
		return 20
	case format == formatJPEG:
		return 15
	case model == color.RGBA64Model || model == color.NRGBA64Model:
		return 16
	case model == color.Gray16Model:
		return 4
	}
	return 8
}

// eachPhoto runs work on the photos, in parallel as far as processors and memory allow.
func eachPhoto(ctx context.Context, photos []Photo, work func(ctx context.Context, i int) error) error {
	return eachWithin(ctx, decodeBudget, photos, work)
}

func eachWithin(ctx context.Context, bytes int64, photos []Photo, work func(ctx context.Context, i int) error) error {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	budget := semaphore.NewWeighted(bytes)
	for i, p := range photos {
		weight := min(bytes, max(1, p.memory))
		if budget.Acquire(inner, weight) != nil {
			break
		}
		g.Go(func() error {
			defer budget.Release(weight)
			if err := inner.Err(); err != nil {
				return err
			}
			return work(inner, i)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// ScorePhotos decodes every photo once and measures it; Frame.Index is the place in set.Photos. Photos whose pixels
// are damaged have no frame and are named in set.Skipped. Photos are not compared for motion, their views lie too far
// apart: Motion is 0 and Matched 1; Duplicate marks a picture like the one before.
func ScorePhotos(ctx context.Context, set *Photos, limits Limits, progress func(done, total int)) (Scores, error) {
	frames := make([]choose.Frame, len(set.Photos))
	small := make([]choose.Gray, len(set.Photos))
	var s Scores
	var mu sync.Mutex
	done := 0
	err := eachPhoto(ctx, set.Photos, func(ctx context.Context, i int) error {
		picture, err := decodePicture(ctx, set.Photos[i].Path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		hidden := false
		if err != nil {
			if gone := unread(set.Photos[i].Path); gone != nil {
				return gone
			}
		} else {
			hidden = transparent(picture) >= mostHidden
			frames[i], small[i] = choose.MeasurePhoto(i, grayOf(picture, choose.Edge))
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		if hidden {
			s.Transparent++
		}
		if progress != nil {
			progress(done, len(set.Photos))
		}
		return nil
	})
	if err != nil {
		return Scores{}, fmt.Errorf("measuring photos: %w", err)
	}
	var before choose.Gray
	for i, p := range set.Photos {
		if small[i].Pix == nil {
			set.Skipped = append(set.Skipped, Skipped{Name: p.Name, Reason: "is damaged"})
			s.Damaged++
			continue
		}
		f := frames[i]
		f.MarkCopy(small[i], before)
		before = small[i]
		s.Frames = append(s.Frames, f)
	}
	if least := limits.withDefaults().MinPhotos; len(s.Frames) < least {
		return s, fail(TooFewPhotos, "Export or copy the photos again; the files are incomplete.",
			"Only %d of %s can be decoded.", len(s.Frames), count(len(set.Photos), "photo"))
	}
	return s, nil
}

// grayOf shrinks a picture to luma with the longer edge at most edge, each pixel the mean of those it covers.
func grayOf(m image.Image, edge int) choose.Gray {
	b := m.Bounds()
	w, h := fit(b.Dx(), b.Dy(), edge)
	out := choose.Gray{W: w, H: h, Pix: make([]byte, w*h)}
	luma := lumaOf(m)
	for y := range h {
		y0 := b.Min.Y + y*b.Dy()/h
		y1 := max(y0+1, b.Min.Y+(y+1)*b.Dy()/h)
		for x := range w {
			x0 := b.Min.X + x*b.Dx()/w
			x1 := max(x0+1, b.Min.X+(x+1)*b.Dx()/w)
			sum := 0
			for v := y0; v < y1; v++ {
				for u := x0; u < x1; u++ {
					sum += luma(u, v)
				}
			}
			out.Pix[y*w+x] = byte(sum / ((x1 - x0) * (y1 - y0)))
		}
	}
	return out
}

// lumaOf reads 8-bit luma; the formats that photos have, without going through an interface a pixel.
func lumaOf(m image.Image) func(x, y int) int {
	mix := func(r, g, b byte) int { return (19595*int(r) + 38470*int(g) + 7471*int(b) + 1<<15) >> 16 }
	switch m := m.(type) {
	case *image.YCbCr:
		return func(x, y int) int { return int(m.Y[m.YOffset(x, y)]) }
	case *image.Gray:
		return func(x, y int) int { return int(m.Pix[m.PixOffset(x, y)]) }
	case *image.RGBA:
		return func(x, y int) int { p := m.Pix[m.PixOffset(x, y):]; return mix(p[0], p[1], p[2]) }
	case *image.NRGBA:
		return func(x, y int) int { p := m.Pix[m.PixOffset(x, y):]; return mix(p[0], p[1], p[2]) }
	}
	return func(x, y int) int { return int(color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y) }
}

// judgePhotos makes the part of a capture report that is about its photos; see judgeVideo. Fewer than least photos give no report.
func judgePhotos(set Photos, scores Scores, selection choose.Selection, least int) (Report, error) {
	all := scores.Frames
	r := Report{
		Input: "photos", Frames: len(all), Selected: len(selection.Frames),
		Sharpness:  spreadOf(all, func(f choose.Frame) float64 { return f.Sharpness }),
		Brightness: spreadOf(all, func(f choose.Frame) float64 { return f.Brightness }),
		Warnings:   []fault.Warning{},
	}
	warn := r.warn
	sizes := map[[2]int]int{}
	for _, p := range set.Photos {
		size := [2]int{p.Width, p.Height}
		sizes[size]++
		if n := sizes[size]; n > sizes[[2]int{r.Width, r.Height}] {
			r.Width, r.Height = p.Width, p.Height
		}
	}
	duplicates, soft := 0, 0
	for _, f := range all {
		if f.Duplicate {
			duplicates++
		}
		if f.Sharpness < 0.8*r.Sharpness.Median && f.Usable() {
			soft++
		}
	}
	n := float64(max(1, len(all)))
	r.Static, r.Blurred = short(float64(duplicates)/n), short(float64(soft)/n)
	if r.Sharpness.Median < 0.3 {
		warn("blurry", "Clean the lens, let it focus on the subject, and take the photos in more light.", "The photos are soft.")
	} else if r.Blurred > 0.15 {
		warn("motion_blur", "Leave blurred photos out; hold the camera still for each.", "%.0f %% of the photos are clearly less sharp than the others.", 100*r.Blurred)
	}
	r.warnExposure()
	if long := max(r.Width, r.Height); long < 640 {
		warn("low_resolution", "Send the original photos.", "The photos have only %d x %d pixels.", r.Width, r.Height)
	}
	err := refusePhotos(all, selection, least)
	if err != nil && 2*scores.Transparent > len(all) {
		err = hiddenThroughout(scores.Transparent, count(len(all), "photo")).Because(err)
	}
	return r, err
}

func refusePhotos(all []choose.Frame, selection choose.Selection, least int) error {
	_, dark, _ := choose.Quantiles(all, func(f choose.Frame) float64 { return f.Dark })
	_, texture, _ := choose.Quantiles(all, func(f choose.Frame) float64 { return f.Texture })
	_, sharp, _ := choose.Quantiles(all, func(f choose.Frame) float64 { return f.Sharpness })
	const advice = "Take 20 to 200 photos of a textured, still subject, all around it, each overlapping the last by two thirds."
	switch {
	case dark > blackPart:
		return fail(AllBlack, "Check that nothing covers the lens, and use more light.", "The photos are black.")
	case !(texture > 0) || selection.Unusable == len(all):
		return fail(NoDetail, advice, "The photos show no detail that could be matched.")
	case !(sharp < whiteNoise):
		return fail(NotAScene, advice, "The photos show noise, not a scene.")
	case len(selection.Frames) < least:
		return fail(TooFewPhotos, advice, "Only %s can be used; the others are copies or show nothing.", count(len(selection.Frames), "photo"))
	}
	return nil
}

// blackPart is the part of its pixels from which on a picture is black.
const blackPart = 0.97

// whiteNoise is just below the sharpness of independent pixels, from which a mean over 9 takes 0.89 of the variation.
// Photos of grass and gravel stay under 0.8.
const whiteNoise = 0.87
