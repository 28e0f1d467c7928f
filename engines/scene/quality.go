package scene

// Quality summarises a reconstruction with the numbers of COLMAP's model_analyzer.
type Quality struct {
	RegisteredImages         int     `json:"registered_images"`
	Points                   int     `json:"points"`
	Observations             int     `json:"observations"`
	MeanTrackLength          float64 `json:"mean_track_length"`           // observations per point
	MeanObservationsPerImage float64 `json:"mean_observations_per_image"` // observations per registered image
	MeanReprojectionErrorPx  float64 `json:"mean_reprojection_error_px"`  // mean over the points that have one
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
	return q
}

func ratio(sum float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
