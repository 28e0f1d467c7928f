package trainer

// BackgroundMode says what training draws behind the splats. Measurement and pictures always have Config.Background there.
type BackgroundMode string

const (
	// BackgroundAuto is BackgroundRandom for images with transparency, BackgroundFixed for all others.
	BackgroundAuto  BackgroundMode = ""
	BackgroundFixed BackgroundMode = "fixed" // Config.Background
	// BackgroundRandom is another colour at each visit, behind the splats and in the transparent parts of the image: what
	// is empty must stay so, as no Gaussian can have a colour that is always right there; and what is solid becomes so.
	BackgroundRandom BackgroundMode = "random"
	// BackgroundEmpty is BackgroundRandom where a mask also says what is empty, as if the images had been cut out along
	// their masks: the splat holds what the masks leave, and nothing around it.
	BackgroundEmpty BackgroundMode = "empty"
)

// changing says whether another background is drawn at each visit to the picture.
func (m BackgroundMode) changing(pic *Picture) bool {
	return m == BackgroundRandom || m == BackgroundEmpty || m == BackgroundAuto && pic.Alpha != nil
}

// recolors says whether the picture itself is another at each visit.
func (m BackgroundMode) recolors(pic *Picture) bool { return pic.Alpha != nil && m.changing(pic) }

// scenery is what a visit to an image draws behind the splats, and the image as it is compared.
// Once says that the picture lasts until the next visit.
func (t *training) scenery(image int) (background [3]float32, pic *Picture, once bool) {
	pic = &t.data.Train[image].Levels[t.level]
	if !t.cfg.BackgroundMode.changing(pic) {
		return t.cfg.Background, pic, false
	}
	for k := range background {
		background[k] = t.rng.Float32()
	}
	if !t.cfg.BackgroundMode.recolors(pic) {
		return background, pic, false
	}
	return background, t.recolor(pic, background), true
}

// recolor is a picture with another background, in memory that is reused.
func (t *training) recolor(pic *Picture, background [3]float32) *Picture {
	planes := t.recolored.Pix
	t.recolored = *pic
	for channel, from := range pic.Pix {
		plane := planes[channel]
		if cap(plane) < len(from) {
			plane = make([]uint8, len(from))
		}
		plane = plane[:len(from)]
		change := 255 * (background[channel] - t.cfg.Background[channel])
		for i, v := range from {
			plane[i] = uint8(min(max(float32(v)+change*float32(255-pic.Alpha[i])/255+0.5, 0), 255))
		}
		t.recolored.Pix[channel] = plane
	}
	return &t.recolored
}
