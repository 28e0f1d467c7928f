package scene

import (
	"fmt"
	"math"
)

// Asked is what is known of the world beyond images and GPS. The zero value asks for nothing.
type Asked struct {
	// Level takes up from the cameras even where GPS knows it better.
	Level bool
	// Up is a direction that is to point up, in the axes of the world that is settled without it; the zero vector asks for nothing.
	Up [3]float64
	// Distance is known in metres and decides on the unit.
	Distance *Distance
}

// Distance is a distance that is known, and the two places that it is between.
type Distance struct {
	Metres float64
	Ends   [2]End
}

// End is one end of a distance: what two images show at those places or, where there is no image, a point of the world that is settled
// without the distance.
type End struct {
	Point [3]float64
	Seen  [2]Sight
}

// Sight is a place on an image, in pixels of its camera (image frame), and how well it is marked: the standard deviation of each coordinate.
type Sight struct {
	Image   string
	X, Y    float64
	SigmaPx float64
}

// posedSight is a sight with the camera that has it.
type posedSight struct {
	Sight
	rotation [3][3]float64 // world to camera
	center   [3]float64
	camera   *Camera
}

// What the two sights of an end must allow.
const (
	apartSigmas = 8 // the sights miss each other by no more, as seen in either image: else they are of different things
	parallelDeg = 1 // the angle between them is larger: else how far the place is away is not known
)

// length is a distance in units of the reconstruction, and how far off it may be, as a share of it: the marks' errors, propagated by
// differences. The error says which end cannot be placed, and why, for people.
func (r *Reconstruction) length(d *Distance) (length, share float64, err error) {
	var sights [2][2]posedSight
	var at [2][3]float64
	for e := range d.Ends {
		for k, s := range d.Ends[e].Seen {
			if sights[e][k], err = r.find(s); err != nil {
				return 0, 0, err
			}
		}
		if at[e], err = meet(sights[e]); err != nil {
			return 0, 0, err
		}
	}
	length = norm(sub(at[0], at[1]))
	squares := 0.0
	for e := range sights {
		for k := range sights[e] {
			for axis := range 2 {
				moved := sights[e]
				if axis == 0 {
					moved[k].X += moved[k].SigmaPx
				} else {
					moved[k].Y += moved[k].SigmaPx
				}
				p, _, _, err := nearest(moved)
				if err != nil {
					return 0, 0, err
				}
				change := norm(sub(p, at[1-e])) - length
				squares += change * change
			}
		}
	}
	return length, math.Sqrt(squares) / length, nil
}

// find gives a sight its camera.
func (r *Reconstruction) find(s Sight) (posedSight, error) {
	for i := range r.Images {
		im := &r.Images[i]
		if im.Name != s.Image {
			continue
		}
		if camera := r.Camera(im.CameraID); camera != nil {
			return posedSight{s, im.CamFromWorld.Matrix(), im.Center(), camera}, nil
		}
	}
	return posedSight{}, fmt.Errorf("the image %s has no pose", s.Image)
}

// ray is the unit direction of a sight in the world.
func (s *posedSight) ray() ([3]float64, error) {
	x, y, err := s.camera.Unproject(s.X, s.Y)
	if err != nil {
		return [3]float64{}, err
	}
	return unit(mulVec(transpose(s.rotation), [3]float64{x, y, 1})), nil
}

// nearest is the point in the middle between two sights where they pass each other nearest, with how far along each that is.
func nearest(s [2]posedSight) (point [3]float64, along [2]float64, cosine float64, err error) {
	a, err := s[0].ray()
	if err != nil {
		return point, along, 0, err
	}
	b, err := s[1].ray()
	if err != nil {
		return point, along, 0, err
	}
	between, c := sub(s[1].center, s[0].center), dot(a, b)
	across := 1 - c*c
	along[0] = (dot(between, a) - c*dot(between, b)) / across
	along[1] = (c*dot(between, a) - dot(between, b)) / across
	for k := range 3 {
		point[k] = (s[0].center[k] + along[0]*a[k] + s[1].center[k] + along[1]*b[k]) / 2
	}
	return point, along, c, nil
}

// meet is the point that two sights show, if they show one.
func meet(s [2]posedSight) ([3]float64, error) {
	p, along, cosine, err := nearest(s)
	if err != nil {
		return p, err
	}
	if !(cosine < math.Cos(parallelDeg*math.Pi/180)) {
		return p, fmt.Errorf("the images %s and %s see it from nearly the same direction, which does not say how far away it is", s[0].Image, s[1].Image)
	}
	apart := 0.0
	for k := range s {
		d := mulVec(s[k].rotation, sub(p, s[k].center))
		x, y, err := s[k].camera.Unproject(s[k].X, s[k].Y)
		if err != nil {
			return p, err
		}
		miss := s[k].camera.FocalLength() * math.Hypot(d[0]/d[2]-x, d[1]/d[2]-y)
		apart = max(apart, miss/s[k].SigmaPx)
	}
	if !(along[0] > 0 && along[1] > 0 && apart <= apartSigmas) {
		return p, fmt.Errorf("the places marked in %s and %s are not one and the same thing", s[0].Image, s[1].Image)
	}
	return p, nil
}

// Unproject is where a pixel's ray meets z = 1 in the camera frame, of pinhole cameras and of the distortions that COLMAP's
// SIMPLE_RADIAL, RADIAL and OPENCV have (src/colmap/sensor/models.h), undone by fixed-point iteration. Other models are an error.
func (c *Camera) Unproject(u, v float64) (x, y float64, err error) {
	var k1, k2, p1, p2 float64
	switch p := c.Params; {
	case !c.Model.Known() || len(p) != c.Model.NumParams():
		return 0, 0, fmt.Errorf("%w: %v with %d parameters", ErrUnknownModel, c.Model, len(p))
	case c.Model == SimplePinhole, c.Model == Pinhole:
	case c.Model == SimpleRadial:
		k1 = p[3]
	case c.Model == Radial:
		k1, k2 = p[3], p[4]
	case c.Model == OpenCV:
		k1, k2, p1, p2 = p[4], p[5], p[6], p[7]
	default:
		return 0, 0, fmt.Errorf("%w: places in images of a %v camera are not measured", ErrUnknownModel, c.Model)
	}
	fx, fy, cx, cy := c.Intrinsics()
	x0, y0 := (u-cx)/fx, (v-cy)/fy
	x, y = x0, y0
	for range 100 {
		r2 := x*x + y*y
		radial := k1*r2 + k2*r2*r2
		dx := x*radial + 2*p1*x*y + p2*(r2+2*x*x)
		dy := y*radial + 2*p2*x*y + p1*(r2+2*y*y)
		step := math.Hypot(x0-dx-x, y0-dy-y)
		x, y = x0-dx, y0-dy
		if step < 1e-12 {
			return x, y, nil
		}
	}
	return 0, 0, fmt.Errorf("the distortion of the camera of pixel (%.1f, %.1f) cannot be undone", u, v)
}
