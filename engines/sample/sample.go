// Package sample makes a capture whose answer is known: a video of a painted court, walked around once with a
// hand-held camera, and beside it the true camera of every frame.
//
// It comes before the flow: what `splatworks sample` writes goes in where a user's video would, and the truth is
// what poses and splats are measured against. The scene is drawn by a small ray caster of its own; the same
// options give the same pixels on every machine (see vec). Only the video file goes through ffmpeg, whose
// versions may differ. The package knows nothing of reconstruction.
package sample

import (
	"fmt"
	"math"
	"slices"
)

// Options say which capture to make. Zero fields take the default in parentheses.
type Options struct {
	Seed          uint64        // which scene and which walk
	Frames        int           // (60)
	Width, Height int           // pixels, even (640 x 360); higher than wide is a portrait capture
	FPS           int           // frames a second (10)
	Disturbances  []Disturbance // what goes wrong while filming (nothing)
}

// Disturbance is something that goes wrong in a capture. Several can be combined.
type Disturbance string

const (
	// MotionBlur smears three frames in ten along the walk, by about a fifth of the way to the next frame, and however many
	// frames there are by no less than a three hundredth of the walk.
	MotionBlur Disturbance = "motion-blur"
	// Static lets the camera stand still from 40 to 65 % of the frames.
	Static Disturbance = "static"
	// ExposureSteps darkens the second third by a stop and a half and brightens the last by a stop.
	ExposureSteps Disturbance = "exposure-steps"
	// Rotated stores the pictures lying on their side, with the rotation in the metadata, as phones do.
	Rotated Disturbance = "rotated"
	// VariableRate gives the frames uneven distances in time.
	VariableRate Disturbance = "variable-rate"
	// RollingStart films the first tenth of the frames while the camera is still being raised: it looks at the floor and
	// swings up, blurred.
	RollingStart Disturbance = "rolling-start"
	// TenBit stores HEVC with ten bits a sample.
	TenBit Disturbance = "hevc-10bit"
	// Spherical is filmed by a camera that sees all directions: pictures twice as wide as high, as longitude and latitude
	// (equirectangular), with the metadata that say so. The truth is that of the views that are cut from them.
	Spherical Disturbance = "spherical"
	// Pan turns the camera by a quarter of a circle on the spot: no other point of view, no depth.
	Pan Disturbance = "pan"
	// Still shows the first picture all the time: nothing can be reconstructed.
	Still Disturbance = "still"
	// Noise shows independent random pixels: nothing can be reconstructed.
	Noise Disturbance = "noise"
	// Passerby has somebody walk through a fifth of the frames.
	Passerby Disturbance = "passerby"
	// Black shows nothing at all.
	Black Disturbance = "black"
)

// Disturbances lists every kind, in the order of the constants.
var Disturbances = []Disturbance{MotionBlur, Static, ExposureSteps, Rotated, VariableRate, RollingStart, TenBit, Spherical, Pan, Still, Noise, Passerby, Black}

// limits of the options: a scene that is drawn in memory, on one machine, for a demonstration or a test.
const (
	maxFrames = 2000
	maxEdge   = 4096
	minEdge   = 16
)

// Check says what is wrong with the options, before anything is drawn.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	if o.Frames == 0 {
		o.Frames = 60
	}
	if o.Width == 0 && o.Height == 0 {
		o.Width, o.Height = 640, 360
	}
	if o.FPS == 0 {
		o.FPS = 10
	}
	switch {
	case o.Frames < 1 || o.Frames > maxFrames:
		return o, fmt.Errorf("sample: %d frames; choose 1 to %d", o.Frames, maxFrames)
	case min(o.Width, o.Height) < minEdge || max(o.Width, o.Height) > maxEdge || o.Width%2 != 0 || o.Height%2 != 0:
		return o, fmt.Errorf("sample: %d x %d pixels; choose even numbers from %d to %d", o.Width, o.Height, minEdge, maxEdge)
	case o.FPS < 1 || o.FPS > 240:
		return o, fmt.Errorf("sample: %d frames a second; choose 1 to 240", o.FPS)
	}
	if slices.Contains(o.Disturbances, Spherical) && (o.Width != 2*o.Height || slices.Contains(o.Disturbances, Rotated)) {
		return o, fmt.Errorf("sample: a spherical picture is twice as wide as high and not rotated")
	}
	known := map[Disturbance]bool{}
	for _, d := range Disturbances {
		known[d] = true
	}
	for _, d := range o.Disturbances {
		if !known[d] {
			return o, fmt.Errorf("sample: no disturbance is called %q; choose from %v", d, Disturbances)
		}
	}
	return o, nil
}

// Capture is a scene with a walk through it, ready to be drawn.
type Capture struct {
	options Options
	with    map[Disturbance]bool
	world   *world
	orbit   *orbit
	person  *person // nil: nobody walks through
}

// New builds and lights the scene (about two seconds on one core).
func New(o Options) (*Capture, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Capture{options: o, with: map[Disturbance]bool{}, world: newWorld(o.Seed), orbit: newOrbit(o.Seed)}
	for _, d := range o.Disturbances {
		c.with[d] = true
	}
	if !c.with[Noise] && !c.with[Black] {
		c.world.bake(max(o.Width, o.Height))
		if c.with[Passerby] {
			c.person = c.world.newPerson(o.Seed, max(o.Width, o.Height))
		}
	}
	return c, nil
}

// Options are the options in force, defaults filled in.
func (c *Capture) Options() Options { return c.options }

// Camera is the true camera of frame i, counted from 0.
func (c *Capture) Camera(i int) Camera { return c.at(float64(i)) }

func (c *Capture) at(frame float64) Camera {
	n := float64(c.options.Frames)
	switch {
	case c.with[Still]:
		frame = 0
	case c.with[Static]:
		// The walk takes the other frames' time; within the pause it does not move.
		from, to := math.Floor(0.4*n), math.Floor(0.65*n)
		walked := frame
		if frame > from {
			walked = max(from, frame-(to-from))
		}
		frame = walked * n / (n - (to - from))
	}
	if c.with[Pan] {
		frame /= 4
	}
	k := c.orbit.camera(frame/n, c.options.Width, c.options.Height)
	if c.with[Pan] {
		k.Position = c.orbit.camera(0, c.options.Width, c.options.Height).Position
	}
	if raising := math.Floor(n / 10); c.with[RollingStart] && frame < raising {
		k.turn(0, (1-frame/raising)*60)
	}
	if c.with[Spherical] {
		k.spherical = true
		k.Fx, k.Fy = float64(k.Width)/(2*math.Pi), float64(k.Height)/math.Pi // pixels in a radian
	}
	return k
}

// antialias is the number of rays along each side of a pixel.
const antialias = 3

// Frame draws frame i, counted from 0: 8-bit RGB, upright, rows from the top, Width*Height*3 bytes.
func (c *Capture) Frame(i int) []byte {
	o := c.options
	out := make([]byte, o.Width*o.Height*3)
	switch {
	case c.with[Black]:
		return out
	case c.with[Noise]:
		state := hash(int64(o.Seed), int64(i))
		for k := range out {
			if k%8 == 0 {
				state = mix(state)
			}
			out[k] = byte(state >> (k % 8 * 8))
		}
		return out
	}
	world := *c.world
	world.things = append(slices.Clip(world.things), c.passing(i)...)
	var sums []uint32
	samples := uint32(antialias * antialias)
	if c.Blurred(i) {
		const poses = 16
		samples = poses
		for k := range poses {
			shutter := ((float64(k)+0.5)/poses - 0.5) * 0.2 * max(1, float64(o.Frames)/60)
			sums = world.accumulate(c.at(float64(i)+shutter), 1, sums)
		}
	} else {
		sums = world.accumulate(c.Camera(i), antialias, nil)
	}
	if c.with[ExposureSteps] {
		gain := [3]uint32{100, 35, 200}[min(2, 3*i/o.Frames)]
		for k, s := range sums {
			sums[k] = min(uint32(uint64(s)*uint64(gain)/100), samples*full)
		}
	}
	develop(sums, samples, out)
	return out
}

// View draws what the perspective camera of a view of frame i of a spherical capture sees, as Frame does: what the view that
// is cut from the frame has to show.
func (c *Capture) View(i, view int) []byte {
	k := c.Camera(i).view(view)
	out := make([]byte, k.Width*k.Height*3)
	develop(c.world.accumulate(k, antialias, nil), antialias*antialias, out)
	return out
}

// Blurred says whether frame i moves while its shutter is open.
func (c *Capture) Blurred(i int) bool {
	return c.with[RollingStart] && i < c.options.Frames/10 || c.with[MotionBlur] && unitOf(hash(int64(c.options.Seed), int64(i), 77)) < 0.3
}

// Name is the file name of frame i in the truth files: frames are numbered from 1, as engines/frames extracts them.
func Name(i int) string { return fmt.Sprintf("frame_%06d.jpg", i+1) }

// ViewName is the file name of a view of frame i of a spherical capture.
func ViewName(i, view int) string { return fmt.Sprintf("frame_%06d_view_%d.jpg", i+1, view) }
