package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
)

// How brightness is compared at matched points.
const (
	patchLevel    = 0   // of the pyramid: points are corners, and at a coarser one their surroundings count
	patchReach    = 1   // pixels to every side: 3×3
	patchDarkest  = 8   // of 255; below it a ratio is noise
	patchLightest = 247 // above it the image is clipped
	// patchNoise is the difference of logarithms that is ordinary between two looks at a point: reflections, and patches
	// that do not cover the same surface. Larger ones count less, as in Huber's loss.
	patchNoise = 0.1
	// gainWeight is the square of that over the gain that is ordinary, 0.7.
	gainWeight    = 0.02
	matchedRounds = 8 // of weighting and solving
)

// matchedGains is the logarithm of how much brighter each training image was taken than the mean of all, 3 channels for
// each image: what the images themselves say at the points that were matched in them, before anything is trained. It is the
// gain compensation of Brown and Lowe (Automatic Panoramic Image Stitching, 2007, section 6) with tracks for overlaps: a
// point has one unknown brightness, an image one unknown gain, and
//
//	Σ w (log I(image, point) − brightness(point) − gain(image))² + gainWeight · Σ gain(image)²
//
// is least. The second sum holds images that share no points at 0. With each gain comes the number of looks that it is
// from.
func matchedGains(d *Dataset) (gains []float32, looks []int) {
	const channels = 3
	gains = make([]float32, channels*len(d.Train))
	looks = make([]int, channels*len(d.Train))
	raster.Each(channels, channels, func(_, channel int) {
		list := d.looks(channel)
		for image, gain := range solveGains(list, len(d.Train), len(d.Points)) {
			gains[channels*image+channel] = float32(gain)
		}
		for i := range list {
			looks[channels*int(list[i].image)+channel]++
		}
	})
	return gains, looks
}

// look is a point in an image.
type look struct {
	image, point int32
	brightness   float64 // logarithm
	weight       float64
}

// looks lists the matched points of the training images that a channel shows well.
func (d *Dataset) looks(channel int) []look {
	var looks []look
	for image, v := range d.Train {
		pic := &v.Levels[patchLevel]
		solid := pic.solid()
		for _, point := range v.Matched {
			x, y, z := project(&pic.Camera, d.Points[point].XYZ)
			if !(z > 0) {
				continue
			}
			if mean, ok := pic.patch(channel, x, y, solid); ok {
				looks = append(looks, look{int32(image), point, math.Log(mean), 1})
			}
		}
	}
	return looks
}

// patch is the mean of a channel around an image point; ok is false where it leaves the image or what counts of it, and
// where it is too dark or clipped.
func (p *Picture) patch(channel int, u, v float64, solid []uint8) (mean float64, ok bool) {
	w, h := p.Camera.Width, p.Camera.Height
	if !(u >= patchReach && v >= patchReach && u < float64(w-patchReach) && v < float64(h-patchReach)) {
		return 0, false
	}
	sum, n := 0, 0
	for y := int(v) - patchReach; y <= int(v)+patchReach; y++ {
		for x := int(u) - patchReach; x <= int(u)+patchReach; x++ {
			value := p.Pix[channel][y*w+x]
			if value > patchLightest || solid != nil && solid[y*w+x] < maskHalf {
				return 0, false
			}
			sum += int(value)
			n++
		}
	}
	mean = float64(sum) / float64(n)
	return mean, mean >= patchDarkest
}

// solveGains is the gain of each image: least squares, with looks weighted anew after every solution.
func solveGains(looks []look, images, points int) []float64 {
	s := &gainSystem{looks: looks, mean: make([]float64, points), weight: make([]float64, points)}
	gains := make([]float64, images)
	for range matchedRounds {
		gains = s.solve(images)
		brightness := s.perPoint(func(l *look) float64 { return l.brightness - gains[l.image] })
		for i := range looks {
			l := &looks[i]
			if off := math.Abs(l.brightness - gains[l.image] - brightness[l.point]); off > patchNoise {
				l.weight = patchNoise / off
			} else {
				l.weight = 1
			}
		}
	}
	return gains
}

// gainSystem is the normal equations of the gains, the brightness of the points eliminated.
type gainSystem struct {
	looks        []look
	mean, weight []float64 // by point
}

// perPoint is the weighted mean of a value over the looks at each point.
func (s *gainSystem) perPoint(value func(*look) float64) []float64 {
	clear(s.mean)
	clear(s.weight)
	for i := range s.looks {
		l := &s.looks[i]
		s.mean[l.point] += l.weight * value(l)
		s.weight[l.point] += l.weight
	}
	for p, w := range s.weight {
		if w > 0 {
			s.mean[p] /= w
		}
	}
	return s.mean
}

// residual adds, for each image, what its looks differ from their points' means.
func (s *gainSystem) residual(images int, value func(*look) float64) []float64 {
	mean := s.perPoint(value)
	sum := make([]float64, images)
	for i := range s.looks {
		l := &s.looks[i]
		sum[l.image] += l.weight * (value(l) - mean[l.point])
	}
	return sum
}

// solve finds the gains by conjugate gradients: the matrix is positive definite, and the number of images, but for rounding, bounds the steps.
func (s *gainSystem) solve(images int) []float64 {
	times := func(x []float64) []float64 {
		y := s.residual(images, func(l *look) float64 { return x[l.image] })
		for i := range y {
			y[i] += gainWeight * x[i]
		}
		return y
	}
	x := make([]float64, images)
	r := s.residual(images, func(l *look) float64 { return l.brightness })
	direction := append([]float64(nil), r...)
	before := sumOfProducts(r, r)
	enough := 1e-12 * before
	for range 2*images + 10 {
		if !(before > enough) {
			break
		}
		a := times(direction)
		step := before / sumOfProducts(direction, a)
		for i := range x {
			x[i] += step * direction[i]
			r[i] -= step * a[i]
		}
		now := sumOfProducts(r, r)
		for i := range direction {
			direction[i] = r[i] + now/before*direction[i]
		}
		before = now
	}
	return x
}

func sumOfProducts(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// project is where a camera sees a world point, in pixels, and how far away.
func project(cam *raster.Camera, xyz [3]float64) (u, v, z float64) {
	var c [3]float64
	for k := range 3 {
		c[k] = cam.R[k][0]*xyz[0] + cam.R[k][1]*xyz[1] + cam.R[k][2]*xyz[2] + cam.T[k]
	}
	return cam.Fx*c[0]/c[2] + cam.Cx, cam.Fy*c[1]/c[2] + cam.Cy, c[2]
}
