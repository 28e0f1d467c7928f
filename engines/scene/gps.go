package scene

import "math"

// Geodetic is a place on WGS 84, as GPS gives it.
type Geodetic struct {
	LatitudeDeg, LongitudeDeg float64
	AltitudeM                 float64
}

// The ellipsoid of WGS 84.
const (
	equatorM     = 6378137.0
	eccentricity = 6.69437999014e-3 // squared
)

// EastNorthUp gives places in metres to the east, to the north and up from their mean, in the frame whose plane touches the
// ellipsoid there.
func EastNorthUp(places []Geodetic) [][3]float64 {
	if len(places) == 0 {
		return nil
	}
	var origin Geodetic
	n := float64(len(places))
	for _, p := range places {
		origin.LatitudeDeg += p.LatitudeDeg / n
		origin.LongitudeDeg += p.LongitudeDeg / n
		origin.AltitudeM += p.AltitudeM / n
	}
	center := origin.earthFixed()
	sinLat, cosLat := math.Sincos(origin.LatitudeDeg * math.Pi / 180)
	sinLon, cosLon := math.Sincos(origin.LongitudeDeg * math.Pi / 180)
	axes := [3][3]float64{
		{-sinLon, cosLon, 0},
		{-sinLat * cosLon, -sinLat * sinLon, cosLat},
		{cosLat * cosLon, cosLat * sinLon, sinLat},
	}
	out := make([][3]float64, len(places))
	for i, p := range places {
		out[i] = mulVec(axes, sub(p.earthFixed(), center))
	}
	return out
}

// earthFixed is the place in metres from the middle of the Earth: x to the Gulf of Guinea, z to the north pole.
func (g Geodetic) earthFixed() [3]float64 {
	sinLat, cosLat := math.Sincos(g.LatitudeDeg * math.Pi / 180)
	sinLon, cosLon := math.Sincos(g.LongitudeDeg * math.Pi / 180)
	normal := equatorM / math.Sqrt(1-eccentricity*sinLat*sinLat)
	return [3]float64{
		(normal + g.AltitudeM) * cosLat * cosLon,
		(normal + g.AltitudeM) * cosLat * sinLon,
		(normal*(1-eccentricity) + g.AltitudeM) * sinLat,
	}
}
