package frames

import (
	"context"
	"errors"
)

// Capture is an input, opened: one video or a set of photos.
type Capture struct {
	video  *Video
	photos *Photos
	tools  Tools
	limits Limits
}

// Open tells what the input at path is and reads its headers. An archive is unpacked into dir, which must exist and stay
// for as long as the capture is used.
func Open(ctx context.Context, tools Tools, path, dir string, limits Limits) (*Capture, error) {
	kind, err := Detect(path)
	if err != nil {
		return nil, err
	}
	c := &Capture{tools: tools, limits: limits}
	var photos Photos
	switch kind {
	case KindVideo:
		v, err := Probe(ctx, tools, path, limits)
		c.video = &v
		return c, err
	case KindArchive:
		if err = Unpack(ctx, path, dir, limits); err == nil {
			photos, err = FindPhotos(ctx, dir, limits)
		}
	case KindFolder:
		photos, err = FindPhotos(ctx, path, limits)
	case KindPhoto:
		photos, err = ListPhotos(ctx, []string{path}, limits)
	}
	c.photos = &photos
	return c, err
}

// Video says whether the capture is a video: its images then come from one camera, and neighbours overlap.
func (c *Capture) Video() bool { return c.video != nil }

// Choose measures every frame or photo, selects those worth using and judges the capture. progress, if not nil, is told
// how many are measured of an expected number. The error is a *Failure when nothing can be made of the capture; the
// report is filled in as far as it goes.
func (c *Capture) Choose(ctx context.Context, o SelectOptions, progress func(done, expected int)) (Selection, Report, error) {
	if c.Video() {
		scores, err := Score(ctx, c.tools, *c.video, c.limits, progress)
		if err != nil {
			return Selection{}, Report{}, err
		}
		selection := Select(scores.Frames, o)
		report, err := Judge(*c.video, scores, selection)
		return selection, report, err
	}
	scores, err := ScorePhotos(ctx, c.photos, c.limits, progress)
	if err != nil {
		return Selection{}, Report{}, err
	}
	selection := SelectPhotos(scores.Frames, o)
	report, err := JudgePhotos(*c.photos, scores, selection)
	return selection, report, err
}

// Extract writes exactly the selected images into dir; see Extract and PreparePhotos.
func (c *Capture) Extract(ctx context.Context, selection Selection, dir string, maxEdge int, progress func(done, total int)) ([]Image, error) {
	if c.Video() {
		return Extract(ctx, c.tools, *c.video, selection, dir, maxEdge, progress)
	}
	for _, f := range selection.Frames {
		if f.Index < 0 || f.Index >= len(c.photos.Photos) {
			return nil, errors.New("preparing photos: the selection was made from other photos")
		}
	}
	return PreparePhotos(ctx, *c.photos, selection, dir, maxEdge, progress)
}
