package trainer

import (
	"fmt"
	"slices"

	"github.com/splatworks/splatworks/engines/gpu"
)

// album is the training pictures of one level in a card's memory. Where not all fit, those that are visited first stay: as every
// epoch visits each once, that serves more visits than keeping the latest. The others take turns in slots, into which each
// is copied while the visits before its own are worked on.
type album struct {
	engine *gpu.Engine
	data   *Dataset
	mode   BackgroundMode
	room   int64 // bytes

	level int     // of the pyramid, in the last visit
	views []*View // then: what is hidden of them makes others of them
	stay  int64
	used  int64 // of stay
	kept  map[int]*onCard
	slots [ahead + 1]slot
	spare onCard             // for pictures of one visit alone
	means map[int][3]float64 // of each channel, of the pictures that were asked for them
}

// ahead are the visits whose pictures are copied before their own: two, so that a copy that takes longer than one visit holds up none.
const ahead = 2

// coming are the images of these visits.
func (v *visit) coming() []int { return v.next[:min(len(v.next), ahead)] }

// onCard is a picture in the card's memory.
type onCard struct {
	image gpu.Image
	prior gpu.Prior
}

type slot struct {
	onCard
	holds int // image; -1: none
}

func newAlbum(e *gpu.Engine, cfg *Config, data *Dataset, room int64) album {
	return album{engine: e, data: data, mode: cfg.BackgroundMode, room: room, level: -1, kept: map[int]*onCard{}, means: map[int][3]float64{}}
}

// open returns the visit's picture, and has those of the next visits copied.
func (a *album) open(v *visit) (*onCard, error) {
	if v.level != a.level || !slices.Equal(a.views, a.data.Train) {
		a.close()
		a.level, a.stay, a.views = v.level, stayOnCard(a.room, a.data, v.level, a.mode), slices.Clone(a.data.Train)
	}
	pic := &a.spare
	var err error
	if v.once {
		err = a.copy(pic, v.image, v.picture, v.prior)
	} else {
		pic, err = a.fetch(v.image, v)
	}
	for _, image := range v.coming() {
		if err == nil && !a.mode.recolors(&a.data.Train[image].Levels[a.level]) {
			_, err = a.fetch(image, v)
		}
	}
	return pic, err
}

// fetch makes sure that a picture is on the card, or on its way there.
func (a *album) fetch(image int, v *visit) (*onCard, error) {
	if pic := a.kept[image]; pic != nil {
		return pic, nil
	}
	free := -1
	for i := range a.slots {
		s := &a.slots[i]
		if s.holds == image {
			return &s.onCard, nil
		}
		if s.holds < 0 || s.holds != v.image && !slices.Contains(v.coming(), s.holds) {
			free = i
		}
	}
	view := a.data.Train[image]
	p, prior := &view.Levels[a.level], view.prior(a.level)
	if size := bytesOnCard(p, prior); a.used+size <= a.stay {
		a.used += size
		pic := &onCard{}
		a.kept[image] = pic
		return pic, a.copy(pic, image, p, prior)
	}
	s := &a.slots[free] // there is one: no more are wanted than there are
	s.holds = image
	return &s.onCard, a.copy(&s.onCard, image, p, prior)
}

func (a *album) copy(to *onCard, image int, p, prior *Picture) error {
	if err := a.engine.Upload(&to.image, &p.Pix, p.Mask, p.Alpha, p.Camera.Width, p.Camera.Height); err != nil {
		return fmt.Errorf("image %d: %w", image, err)
	}
	if prior == nil {
		return nil
	}
	if err := a.engine.UploadPrior(&to.prior, prior.inverseDepth, prior.Camera.Width, prior.Camera.Height); err != nil {
		return fmt.Errorf("inverse depth of image %d: %w", image, err)
	}
	return nil
}

// mean is that of each channel of the visit's picture.
func (a *album) mean(v *visit) [3]float64 {
	if m, known := a.means[v.image]; known && !v.once {
		return m
	}
	var m [3]float64
	for channel, plane := range v.picture.Pix {
		sum := 0
		for _, b := range plane {
			sum += int(b)
		}
		m[channel] = float64(sum) / float64(len(plane)) / 255
	}
	if !v.once {
		a.means[v.image] = m
	}
	return m
}

// close frees the pictures.
func (a *album) close() {
	for _, pic := range a.kept {
		pic.free()
	}
	for i := range a.slots {
		a.slots[i].free()
		a.slots[i].holds = -1
	}
	a.spare.free()
	clear(a.kept)
	clear(a.means)
	a.used = 0
}

func (o *onCard) free() {
	o.image.Free()
	o.prior.Free()
}
