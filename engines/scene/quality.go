package scene

import (
	"math"
	"slices"
)

// Quality summarises a reconstruction with the numbers of COLMAP's model_analyzer, and the angles that points are seen
// under, which say how well their depth is known.
type Quality struct {
	RegisteredImages            int     `json:"registered_images"`
	Points                      int     `json:"points"`
	Observations                int     `json:"observations"`
	MeanTrackLength             float64 `json:"mean_track_length"`              // observations per point
	MeanObservationsPerImage    float64 `json:"mean_observations_per_image"`    // observations per registered image
	MeanReprojectionErrorPx     float64 `json:"mean_reprojection_error_px"`     // mean over the points that have one
	MedianTriangulationAngleDeg float64 `json:"median_triangulation_angle_deg"` // over points, of the largest angle between two rays
}

// Quality computes the summary; means over nothing are 0.
func (r *Reconstruction) Quality() Quality {
	q := Quality{RegisteredImages: len(r.Images), Points: len(r.Points3D)}
	measured := 0
	for i := range r.Points3D {
		q.Observations += len(r.Points3D[i].Track)
		if e := r.Points3D[i].Error; e >= 0 {
			q.MeanReprojectionErrorPx += e
			measured++
		}
	}
	q.MeanTrackLength = ratio(float64(q.Observations), q.Points)
	q.MeanObservationsPerImage = ratio(float64(q.Observations), q.RegisteredImages)
	q.MeanReprojectionErrorPx = ratio(q.MeanReprojectionErrorPx, measured)
	if angles := r.triangulationAngles(); len(angles) > 0 {
		q.MedianTriangulationAngleDeg = median(angles) * 180 / math.Pi
	}
	return q
}

// raysCompared bounds the pairs of rays of one point: evenly chosen cameras of a long track show its width as well.
const raysCompared = 12

// triangulationAngles gives for each point the largest angle between the rays from it to the cameras that see it, in
// radians.
func (r *Reconstruction) triangulationAngles() []float64 {
	centers := make(map[uint32][3]float64, len(r.Images))
	for i := range r.Images {
		centers[r.Images[i].ImageID] = r.Images[i].Center()
	}
	angles := make([]float64, 0, len(r.Points3D))
	rays := make([][3]float64, 0, raysCompared)
	for i := range r.Points3D {
		p := &r.Points3D[i]
		n := min(len(p.Track), raysCompared)
		if n < 2 {
			continue
		}
		rays = rays[:0]
		for k := range n {
			rays = append(rays, sub(centers[p.Track[k*(len(p.Track)-1)/(n-1)].ImageID], p.XYZ))
		}
		largest := 0.0
		for a := range rays {
			for b := range a {
				// Rays without a direction give NaN, which is no angle.
				if angle := math.Atan2(norm(cross(rays[a], rays[b])), dot(rays[a], rays[b])); angle > largest {
					largest = angle
				}
			}
		}
		angles = append(angles, largest)
	}
	slices.Sort(angles)
	return angles
}

func ratio(sum float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
