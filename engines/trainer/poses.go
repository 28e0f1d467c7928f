package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
)

// poses holds a small change of the camera of each training image, x_c' = exp(ω)·x_c + τ, moved by Adam as the Gaussians
// are. The gauge is fixed after every step: the mean over cameras of their turns and of their shifts, in the world, is
// taken off all of them, so that the scene stays where structure from motion and the held-out images have it.
type poses struct {
	state []float64 // poseFloats for each image
}

// Of an image: ω, τ in units of the extent; their first moments; their second moments; visits.
const poseFloats = 19

// PoseChange is what refinement did to a camera.
type PoseChange struct {
	Name  string     `json:"name"`
	Omega [3]float64 `json:"omega"` // rotation vector in the camera's frame, radians
	Tau   [3]float64 `json:"tau"`   // translation in the camera's frame, world units
}

func newPoses(images int) poses { return poses{make([]float64, poseFloats*images)} }

func (p *poses) of(image int) []float64 { return p.state[poseFloats*image:][:poseFloats] }

func (p *poses) omega(image int) [3]float64 { return [3]float64(p.of(image)[0:3]) }
func (p *poses) tau(image int) [3]float64   { return [3]float64(p.of(image)[3:6]) }

// apply is the image's camera with its change.
func (p *poses) apply(cam *raster.Camera, image int, extent float64) raster.Camera {
	moved := *cam
	turn, tau := rotationVector(p.omega(image)), p.tau(image)
	for i := range 3 {
		moved.T[i] = dot3(turn[i], cam.T) + tau[i]*extent
		for j := range 3 {
			moved.R[i][j] = turn[i][0]*cam.R[0][j] + turn[i][1]*cam.R[1][j] + turn[i][2]*cam.R[2][j]
		}
	}
	return moved
}

// poseGradient is the sum of the parts: by ω, and by τ in units of the extent.
func poseGradient(parts []raster.Pose[float32], extent float64) (gradient [6]float64) {
	for i := range parts {
		for k := range 3 {
			gradient[k] += float64(parts[i].Omega[k])
			gradient[3+k] += float64(parts[i].Tau[k]) * extent
		}
	}
	return gradient
}

// step moves a camera against the sum of the parts and fixes the gauge.
func (p *poses) step(d *Dataset, parts []raster.Pose[float32], image int, rate float64) {
	gradient := poseGradient(parts, d.Extent)
	s := p.of(image)
	change, first, second := s[0:6], s[6:12], s[12:18]
	s[18]++
	for k, g := range gradient {
		if g-g != 0 {
			return // a Gaussian became NaN; it goes at the next refinement
		}
		first[k] += 0.1 * (g - first[k])
		second[k] += 0.001 * (g*g - second[k])
		m, v := first[k]/(1-math.Pow(0.9, s[18])), second[k]/(1-math.Pow(0.999, s[18]))
		change[k] -= rate * m / (math.Sqrt(v) + 1e-15)
	}
	p.fixGauge(d)
}

func (p *poses) fixGauge(d *Dataset) {
	var mean [6]float64
	n := float64(len(d.Train))
	for i, v := range d.Train {
		r, s := &v.Levels[0].Camera.R, p.of(i)
		for k := range 3 {
			for j := range 3 {
				mean[k] += r[j][k] * s[j] / n
				mean[3+k] += r[j][k] * s[3+j] / n
			}
		}
	}
	for i, v := range d.Train {
		r, s := &v.Levels[0].Camera.R, p.of(i)
		for j := range 3 {
			s[j] -= dot3(r[j], [3]float64(mean[0:3]))
			s[3+j] -= dot3(r[j], [3]float64(mean[3:6]))
		}
	}
}

// changes lists what was done to each camera.
func (p *poses) changes(d *Dataset) (list []PoseChange) {
	for i := range len(p.state) / poseFloats {
		tau := p.tau(i)
		for k := range tau {
			tau[k] *= d.Extent
		}
		list = append(list, PoseChange{d.Train[i].Name, p.omega(i), tau})
	}
	return list
}

// rotationVector is exp of the cross-product matrix of ω (Rodrigues).
func rotationVector(w [3]float64) (r [3][3]float64) {
	angle := math.Sqrt(dot3(w, w))
	sine, versine := 1.0, 0.5 // sin(a)/a and (1−cos(a))/a²
	if angle > 1e-6 {
		sine, versine = math.Sin(angle)/angle, (1-math.Cos(angle))/(angle*angle)
	}
	for i := range 3 {
		for j := range 3 {
			r[i][j] = versine * w[i] * w[j]
		}
		r[i][i] += 1 - versine*angle*angle
		r[i][(i+1)%3] -= sine * w[(i+2)%3]
		r[i][(i+2)%3] += sine * w[(i+1)%3]
	}
	return r
}
