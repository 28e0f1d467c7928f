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

// EastNorthUp gives places in metres to the east, to the north and up from their mean, which is origin, in the frame whose plane touches
// the ellipsoid there.
func EastNorthUp(places []Geodetic) (enu [][3]float64, origin Geodetic) {
	if len(places) == 0 {
		return nil, origin
	}
	n := float64(len(places))
	for _, p := range places {
		origin.LatitudeDeg += p.LatitudeDeg / n
		origin.LongitudeDeg += p.LongitudeDeg / n
		origin.AltitudeM += p.AltitudeM / n
	}
	center, axes := origin.earthFixed(), origin.axes()
	enu = make([][3]float64, len(places))
	for i, p := range places {
		enu[i] = mulVec(axes, sub(p.earthFixed(), center))
	}
	return enu, origin
}

// axes are east, north and up at a place, as rows in earth-fixed axes.
func (g Geodetic) axes() [3][3]float64 {
	sinLat, cosLat := math.Sincos(g.LatitudeDeg * math.Pi / 180)
	sinLon, cosLon := math.Sincos(g.LongitudeDeg * math.Pi / 180)
	return [3][3]float64{
		{-sinLon, cosLon, 0},
		{-sinLat * cosLon, -sinLat * sinLon, cosLat},
		{cosLat * cosLon, cosLat * sinLon, sinLat},
	}
}

// Place is where the world is on the Earth.
type Place struct {
	LatitudeDeg  float64 `json:"latitude_deg"` // of the world's origin, on WGS 84
	LongitudeDeg float64 `json:"longitude_deg"`
	AltitudeM    float64 `json:"altitude_m"` // as GPS gives it: above the ellipsoid, or above the sea where cameras correct it
	// EarthFixed takes points of the world to metres in the earth-fixed axes of WGS 84 (EPSG 4978): a matrix of 4 x 4, columns first.
	EarthFixed [16]float64 `json:"earth_fixed"`
}

// PlaceAt is where the world is, of images whose places were given to Settle in metres from an origin; nil where they did not decide north.
func (w *World) PlaceAt(origin Geodetic) *Place {
	if w.enu == nil {
		return nil
	}
	fromENU := transpose(origin.axes())
	rotation, at := mulMat(fromENU, w.enu.Rotation), mulVec(fromENU, w.enu.Translation)
	for k, c := range origin.earthFixed() {
		at[k] += c
	}
	p := &Place{}
	for column := range 3 {
		for row := range 3 {
			p.EarthFixed[4*column+row] = w.enu.Scale * rotation[row][column]
		}
	}
	copy(p.EarthFixed[12:], at[:])
	p.EarthFixed[15] = 1
	g := geodetic(at)
	p.LatitudeDeg, p.LongitudeDeg, p.AltitudeM = g.LatitudeDeg, g.LongitudeDeg, g.AltitudeM
	return p
}

// geodetic is the inverse of earthFixed, by fixed-point iteration on the latitude (Hofmann-Wellenhof et al., "GPS: Theory and Practice",
// 10.2.1): each step gains more than two digits near the ground.
func geodetic(p [3]float64) Geodetic {
	across := math.Hypot(p[0], p[1])
	latitude, height := math.Atan2(p[2], across*(1-eccentricity)), 0.0
	for range 10 {
		sin, cos := math.Sincos(latitude)
		normal := equatorM / math.Sqrt(1-eccentricity*sin*sin)
		height = across*cos + p[2]*sin - equatorM*equatorM/normal
		latitude = math.Atan2(p[2], across*(1-eccentricity*normal/(normal+height)))
	}
	return Geodetic{LatitudeDeg: latitude * 180 / math.Pi, LongitudeDeg: math.Atan2(p[1], p[0]) * 180 / math.Pi, AltitudeM: height}
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
