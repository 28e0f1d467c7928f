package frames

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
)

// Capture is an input, opened: one or several videos, a set of photos, or both, perhaps with masks.
//
// Its sources are numbered: the videos from 0 in natural order of their names, then the photos together as one. Frame
// and Image name theirs by that number.
type Capture struct {
	videos []Video
	photos Photos    // with all files that were skipped
	aside  []Skipped // companions of photos and videos that are used
	masks  maskFiles
	posed  posedImages // where poses came with it
	tools  Tools
	limits Limits
	in     Input   // of OpenFrom
	served *served // the one video, where it is not a file
}

// Open detects what the input is and reads its headers. An archive is unpacked into dir, which must exist and stay
// for as long as the capture is used.
func Open(ctx context.Context, tools Tools, input, dir string, limits Limits) (*Capture, error) {
	kind, err := Detect(input)
	if err != nil {
		return nil, err
	}
	c := &Capture{tools: tools, limits: limits.withDefaults()}
	switch kind {
	case KindVideo:
		v, err := Probe(ctx, tools, input, limits)
		c.videos = []Video{v}
		return c, err
	case KindPhoto:
		if c.photos, err = listPhotos(ctx, []File{{Path: input, Name: label(filepath.Base(input))}}, c.limits); err != nil {
			return c, err
		}
		return c, c.photos.check(c.limits)
	case KindArchive:
		files, skipped, err := unpack(ctx, input, dir, limits)
		if err != nil {
			return c, err
		}
		return c, c.sort(ctx, files, skipped)
	}
	files, skipped, err := findFiles(ctx, input)
	if err != nil {
		return c, err
	}
	return c, c.sort(ctx, files, skipped)
}

// sort makes videos, photos and masks of the files of an input, sets companions aside, and adds what cannot be used to what
// was skipped already.
func (c *Capture) sort(ctx context.Context, files []File, skipped []Skipped) error {
	files, err := c.takePoses(files)
	if err != nil {
		return err
	}
	files, masks, doubled := takeMasks(files)
	c.masks = masks
	files, aside, stills := setAside(files)
	c.aside = aside
	skipped = append(skipped, doubled...)
	var pictures, films []File
	for _, f := range files {
		if head, err := headOf(f.Path); err != nil || !videoContainer(head) {
			pictures = append(pictures, f)
		} else {
			films = append(films, f)
		}
	}
	if c.photos, err = listPhotos(ctx, pictures, c.limits); err != nil {
		return err
	}
	bad, first, err := c.openVideos(ctx, films, stills)
	if err != nil {
		return err
	}
	if len(c.photos.Photos) == 0 && len(c.videos) == 0 && first != nil {
		return first
	}
	if err := c.matchPoses(); err != nil {
		return err
	}
	c.photos.Skipped = slices.Concat(skipped, bad, c.photos.Skipped)
	c.checkMasks()
	if err := c.countTogether(ctx); err != nil {
		return err
	}
	return c.check()
}

// openVideos reads the headers of films; the clips of photos are set aside. bad are those that cannot be used, first says
// why the first of them cannot.
func (c *Capture) openVideos(ctx context.Context, films []File, stills map[string]File) (bad []Skipped, first, err error) {
	for _, f := range films {
		owner, clip, err := c.isClipOf(ctx, f, stills)
		if err != nil {
			return bad, first, err
		}
		if clip {
			c.aside = append(c.aside, Skipped{Name: f.Name, Reason: "is the clip of " + owner.Name})
			continue
		}
		if len(c.videos) == c.limits.MaxVideos {
			return bad, first, fail(TooManyVideos, "Send fewer, longer videos.", "There are more than %d videos.", c.limits.MaxVideos)
		}
		v, err := Probe(ctx, c.tools, f.Path, c.limits)
		if broken := fault.Of(err); broken != nil {
			bad = append(bad, Skipped{Name: f.Name, Reason: "cannot be used: " + broken.Message})
			first = cmp.Or(first, err)
			continue
		}
		if err != nil {
			return bad, first, err
		}
		v.Name = f.Name
		c.videos = append(c.videos, v)
	}
	return bad, first, nil
}

// check bounds the work that several sources make together.
func (c *Capture) check() error {
	l := c.limits
	seconds, frames := 0.0, 0
	for _, v := range c.videos {
		seconds += v.DurationS
		frames += v.Frames
	}
	switch {
	case seconds > l.MaxDuration.Seconds():
		return fail(VideoTooLong, "Send fewer, or cut them to the parts that show the subject.",
			"The videos are %.0f minutes long together; at most %.0f are accepted.", seconds/60, l.MaxDuration.Minutes())
	case frames > l.MaxFrames:
		return fail(TooManyFrames, "Send fewer videos, or lower their frame rate to 30 per second.",
			"The videos have %d frames together; at most %d are accepted.", frames, l.MaxFrames)
	}
	if len(c.videos) > 0 {
		l.MinPhotos = 0
	}
	if n := len(c.photos.Photos); n < l.MinPhotos && len(c.masks) > 0 {
		return fail(TooFewPhotos, "Rename the folder if these are the photos: what is in a folder called mask or masks says which parts of the photos count.",
			"%s: %s in a folder called mask or masks %s taken for masks.", thereAre(n), count(len(c.masks), "picture"), wasWere(len(c.masks)))
	}
	return c.photos.check(l)
}

// checkMasks drops masks that cannot be read.
func (c *Capture) checkMasks() {
	small := c.limits
	small.MinEdge = 1
	for key, f := range c.masks {
		if _, reason := probePhoto(f.Path, small); reason != "" {
			c.photos.Skipped = append(c.photos.Skipped, Skipped{Name: f.Name, Reason: reason})
			delete(c.masks, key)
		}
	}
	slices.SortStableFunc(c.photos.Skipped, func(a, b Skipped) int { return natural(a.Name, b.Name) })
}

// Video says whether the capture is one video: its images then come from one camera, and neighbours in the order of names
// overlap.
func (c *Capture) Video() bool { return len(c.videos) == 1 && len(c.photos.Photos) == 0 }

// IsFrame says whether an image is a frame of a video: its neighbours by name are its neighbours in time.
func (c *Capture) IsFrame(m Image) bool { return m.Source < len(c.videos) }

// Located says whether every image is a photo that says where it was taken.
func (c *Capture) Located() bool {
	return len(c.videos) == 0 && !slices.ContainsFunc(c.photos.Photos, func(p Photo) bool { return p.Exif.GPS == nil })
}

// sources is the number of sources.
func (c *Capture) sources() int {
	n := len(c.videos)
	if len(c.photos.Photos) > 0 {
		n++
	}
	return n
}

// part is one source while images are chosen.
type part struct {
	name      string
	source    int
	video     *Video // nil: the photos
	photos    *Photos
	scores    Scores
	selection choose.Selection
	report    Report
	posed     func(index int) bool // the frames of a video that have a pose, where poses came with it
	err       error                // a *fault.Failure: nothing can be made of this part
}

// Choose measures every frame or photo, selects those worth using and judges the capture. progress, if not nil, receives
// how many are measured of an expected number. The error is a *fault.Failure when nothing can be made of the capture; the
// report is filled in as far as it goes. Of several sources, those of which nothing can be made are left out.
func (c *Capture) Choose(ctx context.Context, o choose.Options, progress func(done, expected int)) (choose.Selection, Report, error) {
	parts, err := c.measure(ctx, progress)
	if err = cmp.Or(c.sound(), err); err != nil {
		return choose.Selection{}, Report{}, err
	}
	if err := c.checkPoses(); err != nil {
		return choose.Selection{}, Report{}, err
	}
	o = o.WithDefaults()
	total := 0
	for i := range parts {
		parts[i].choose(o)
		total += parts[i].images()
	}
	for i := range parts {
		p := &parts[i]
		if total > o.MaxImages {
			share := o
			share.MaxImages = max(3, o.MaxImages*len(p.selection.Frames)/total)
			if p.video != nil {
				share.MaxImages *= p.video.views()
			}
			p.choose(share)
		}
		c.judge(p)
	}
	return c.join(parts)
}

// measure scores every source.
func (c *Capture) measure(ctx context.Context, progress func(done, expected int)) ([]part, error) {
	expected := len(c.photos.Photos)
	for _, v := range c.videos {
		expected += v.expectedFrames()
	}
	before := 0
	report := func(done, of int) {
		expected = max(expected, before+of)
		if progress != nil {
			progress(before+done, expected)
		}
	}
	var parts []part
	for i := range c.videos {
		p := part{name: c.videos[i].Name, source: i, video: &c.videos[i], posed: c.posedFrames()}
		p.scores, p.err = Score(ctx, c.tools, c.videos[i], c.limits, report)
		parts = append(parts, p)
		before += len(p.scores.Frames)
	}
	if len(c.photos.Photos) > 0 {
		limits := c.limits
		if len(c.videos) > 0 {
			limits.MinPhotos = 1
		}
		p := part{name: "the photos", source: len(c.videos), photos: &c.photos}
		p.scores, p.err = ScorePhotos(ctx, &c.photos, limits, report)
		parts = append(parts, p)
	}
	if progress != nil {
		progress(expected, expected)
	}
	for _, p := range parts {
		if p.err != nil && fault.Of(p.err) == nil {
			return nil, p.err
		}
		for k := range p.scores.Frames {
			p.scores.Frames[k].Source = p.source
		}
	}
	return parts, nil
}

func (p *part) choose(o choose.Options) {
	switch {
	case p.err != nil:
		p.selection = choose.Selection{}
	case p.video != nil:
		o.MaxImages = max(3, o.MaxImages/p.video.views())
		p.selection = choose.Frames(p.scores.Frames, o)
		if p.posed != nil {
			p.selection = choose.Given(p.scores.Frames, p.posed, o)
		}
	default:
		p.selection = choose.Photos(p.scores.Frames, o)
	}
}

// images is how many the selection gives.
func (p *part) images() int {
	if p.video != nil {
		return len(p.selection.Frames) * p.video.views()
	}
	n := 0
	for _, f := range p.selection.Frames {
		n++
		if p.photos.Photos[f.Index].Spherical {
			n += sphericalViews - 1
		}
	}
	return n
}

func (c *Capture) judge(p *part) {
	if p.err != nil {
		return
	}
	if p.video != nil {
		p.report, p.err = judgeVideo(*p.video, p.scores, p.selection)
	} else {
		p.report, p.err = judgePhotos(c.photos, p.scores, p.selection, min(3, len(p.scores.Frames), c.limits.MinPhotos))
	}
	p.report.Selected = p.images()
	if p.video != nil && p.video.Spherical {
		p.report.Views = sphericalViews
	}
}

// Extract writes exactly the selected images into dir (made if missing), in the order of their names, and their masks
// beside it; see MasksBeside. Frames of a video are called frame_000001.jpg and so on; where there are several sources,
// names begin with video_01_ or photo_. On an error dir holds none of them.
func (c *Capture) Extract(ctx context.Context, selection choose.Selection, dir string, maxEdge int, progress func(done, total int)) ([]Image, error) {
	bySource := make([]choose.Selection, len(c.videos)+1)
	for _, f := range selection.Frames {
		if f.Source < 0 || f.Source >= len(bySource) {
			return nil, errors.New("extracting images: the selection was made from another capture")
		}
		bySource[f.Source].Frames = append(bySource[f.Source].Frames, f)
	}
	done := 0
	report := func(n, _ int) {
		if progress != nil {
			progress(done+n, len(selection.Frames))
		}
	}
	var images []Image
	undo := func(err error) ([]Image, error) {
		for _, m := range images {
			os.Remove(filepath.Join(dir, m.Name))
			os.Remove(filepath.Join(MasksBeside(dir), MaskName(m.Name)))
		}
		return nil, err
	}
	for source, part := range bySource {
		if len(part.Frames) == 0 {
			continue
		}
		var more []Image
		var err error
		if source < len(c.videos) {
			more, err = extract(ctx, c.tools, c.videos[source], part, dir, c.prefix(source), maxEdge, report)
		} else {
			more, err = preparePhotos(ctx, c.tools, c.photos, part, dir, c.prefix(source), maxEdge, report)
		}
		images = append(images, more...)
		if err != nil {
			return undo(cmp.Or(c.sound(), err))
		}
		done += len(part.Frames)
	}
	if err := cmp.Or(c.sound(), c.writeMasks(ctx, images, dir)); err != nil {
		return undo(err)
	}
	c.numberCameras(images)
	slices.SortFunc(images, func(a, b Image) int { return cmp.Compare(a.Name, b.Name) })
	return images, nil
}

// prefix of the names of a source's images.
func (c *Capture) prefix(source int) string {
	switch {
	case c.sources() < 2:
		return ""
	case source < len(c.videos):
		return fmt.Sprintf("video_%02d_", source+1)
	}
	return photoPrefix
}

// Shown is the size of the picture that an image was made of, in pixels as it is shown.
func (c *Capture) Shown(m Image) (width, height int) {
	switch {
	case m.View != nil:
		return m.Width, m.Height
	case m.Source < len(c.videos):
		return c.videos[m.Source].Width, c.videos[m.Source].Height
	}
	p := c.photos.Photos[m.Index]
	return p.Width, p.Height
}

func (c *Capture) writeMasks(ctx context.Context, images []Image, dir string) error {
	for i := range images {
		m := &images[i]
		var photo Photo
		names := []string{m.Name}
		if m.Source == len(c.videos) {
			photo = c.photos.Photos[m.Index]
			if names = []string{photo.Name, m.Name}; photo.Spherical {
				names = names[1:] // a mask of the whole sphere fits none of its views
			}
		}
		mask, ok := c.masks.of(names...)
		if !ok {
			continue
		}
		m.Mask = MaskName(m.Name)
		if err := prepareMask(ctx, mask, photo, m.Width, m.Height, filepath.Join(MasksBeside(dir), m.Mask)); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if gone := unread(mask.Path); gone != nil {
				return fmt.Errorf("reading the mask %s: %w", mask.Name, gone)
			}
			return fail(BadMask, "Export the masks again, as PNG of the size of the photos.", "The mask %s is damaged.", mask.Name).Because(err)
		}
	}
	return refuseHidden(images, dir)
}

// lens is what images have in common that one camera took with one lens.
type lens struct {
	source                      int
	folder                      string // of photos whose EXIF data do not name a camera
	maker, model                string
	focal, focal3               float64
	width, height               int // of the photo
	preparedWidth, preparedHigh int // of the image that was made of it
}

// ownCamera is the number of photos without EXIF from which on a folder's have a camera of their own; from fewer its
// intrinsics could not be found.
const ownCamera = 3

// numberCameras gives images the same number when they were taken with the same camera, lens and size: frames of one
// video, photos whose EXIF data agree, and photos without EXIF data of one folder.
func (c *Capture) numberCameras(images []Image) {
	lenses := make([]lens, len(images))
	inFolder := map[lens]int{}
	for i, m := range images {
		key := lens{source: m.Source, preparedWidth: m.Width, preparedHigh: m.Height}
		if m.Source == len(c.videos) {
			p := c.photos.Photos[m.Index]
			e := p.Exif
			key.width, key.height = p.Width, p.Height
			key.maker, key.model, key.focal, key.focal3 = e.Make, e.Model, e.FocalLengthMM, e.FocalLength35MM
			if e.Make == "" && e.Model == "" {
				key.folder = path.Dir(p.Name)
			}
		}
		lenses[i] = key
		inFolder[key]++
	}
	numbers := map[lens]int{}
	for i := range images {
		key := lenses[i]
		if inFolder[key] < ownCamera {
			key.folder = ""
		}
		if numbers[key] == 0 {
			numbers[key] = len(numbers) + 1
		}
		images[i].Camera = numbers[key]
	}
}
