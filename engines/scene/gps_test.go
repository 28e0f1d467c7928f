package scene

import (
	"math"
	"testing"
)

// A degree of latitude at 45° is 111,131.8 m of the meridian and a degree of longitude 78,846.8 m of the parallel
// (WGS 84); a thousandth of each is in the plane.
func TestEastNorthUp(t *testing.T) {
	at := func(lat, lon, up float64) Geodetic {
		return Geodetic{LatitudeDeg: 45 + lat, LongitudeDeg: -73 + lon, AltitudeM: 30 + up}
	}
	got := EastNorthUp([]Geodetic{at(0.001, 0, 0), at(-0.001, 0, 0), at(0, 0.001, 0), at(0, -0.001, 0), at(0, 0, 8), at(0, 0, -8)})
	want := [][3]float64{{0, 111.13, 0}, {0, -111.13, 0}, {78.85, 0, 0}, {-78.85, 0, 0}, {0, 0, 8}, {0, 0, -8}}
	for i := range want {
		for k := range 3 {
			if !(math.Abs(got[i][k]-want[i][k]) < 0.02) {
				t.Errorf("place %d is at %.3f, want %.3f", i, got[i], want[i])
			}
		}
	}
	if EastNorthUp(nil) != nil {
		t.Error("no places were placed")
	}
}
