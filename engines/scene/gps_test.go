package scene

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A degree of latitude at 45° is 111,131.8 m of the meridian and a degree of longitude 78,846.8 m of the parallel
// (WGS 84); a thousandth of each is in the plane.
func TestEastNorthUp(t *testing.T) {
	at := func(lat, lon, up float64) Geodetic {
		return Geodetic{LatitudeDeg: 45 + lat, LongitudeDeg: -73 + lon, AltitudeM: 30 + up}
	}
	got, origin := EastNorthUp([]Geodetic{at(0.001, 0, 0), at(-0.001, 0, 0), at(0, 0.001, 0), at(0, -0.001, 0), at(0, 0, 8), at(0, 0, -8)})
	want := [][3]float64{{0, 111.13, 0}, {0, -111.13, 0}, {78.85, 0, 0}, {-78.85, 0, 0}, {0, 0, 8}, {0, 0, -8}}
	for i := range want {
		for k := range 3 {
			if !(math.Abs(got[i][k]-want[i][k]) < 0.02) {
				t.Errorf("place %d is at %.3f, want %.3f", i, got[i], want[i])
			}
		}
	}
	if !(math.Abs(origin.LatitudeDeg-45) < 1e-9 && math.Abs(origin.LongitudeDeg+73) < 1e-9 && math.Abs(origin.AltitudeM-30) < 1e-9) {
		t.Errorf("they are measured from %+v", origin)
	}
	if none, _ := EastNorthUp(nil); none != nil {
		t.Error("no places were placed")
	}
}

// Known coordinates: the Earth-fixed axes begin in the middle of the Earth, x through the equator at Greenwich, z through the north pole,
// 6378137 and 6356752.3142 m away and the middle of Greenwich's Airy transit circle (NGA.STND.0036, EPSG 4978).
func TestPlaceOnTheEarth(t *testing.T) {
	for _, c := range []struct {
		at   Geodetic
		want [3]float64
	}{
		{Geodetic{0, 0, 0}, [3]float64{6378137, 0, 0}},
		{Geodetic{0, 90, 100}, [3]float64{0, 6378237, 0}},
		{Geodetic{90, 0, 50}, [3]float64{0, 0, 6356802.3142}},
		{Geodetic{45, 45, 0}, [3]float64{3194419.145, 3194419.145, 4487348.409}},
	} {
		p := c.at.earthFixed()
		if d := norm(sub(p, c.want)); !(d < 1e-3) {
			t.Errorf("%+v is at %v, %g m off", c.at, p, d)
		}
		if back := geodetic(p); !(math.Abs(back.LatitudeDeg-c.at.LatitudeDeg) < 1e-9 && math.Abs(back.AltitudeM-c.at.AltitudeM) < 1e-6) {
			t.Errorf("%+v became %+v", c.at, back)
		}
	}
	// A capture of 20 m around a place in Zürich, of which GPS knows every camera to the millimetre: each camera of the settled world
	// is where its GPS says, also when up and scale were asked for.
	rng := rand.New(rand.NewPCG(31, 32))
	capture := handheld(30, rng, orbit(30, 360))
	around := Geodetic{LatitudeDeg: 47.3769, LongitudeDeg: 8.5417, AltitudeM: 455}
	fromENU, middle := transpose(around.axes()), around.earthFixed()
	places := make([]Geodetic, len(capture.Images))
	for i := range capture.Images {
		c := capture.Images[i].Center()
		offset := mulVec(fromENU, [3]float64{7 * c[0], 7 * c[2], -7 * c[1]})
		places[i] = geodetic([3]float64{middle[0] + offset[0], middle[1] + offset[1], middle[2] + offset[2]})
	}
	enu, origin := EastNorthUp(places)
	known := map[string][3]float64{}
	for i := range enu {
		known[capture.Images[i].Name] = enu[i]
	}
	moved := capture.Moved(randomSimilarity(rng))
	for _, asked := range []Asked{{}, {Up: [3]float64{0.3, -1, 0.4}}, {Level: true}} {
		settled, world, err := moved.Settle(known, nil, asked)
		if err != nil {
			t.Fatal(err)
		}
		place := world.PlaceAt(origin)
		if place == nil {
			t.Fatalf("%+v has no place", world)
		}
		m := place.EarthFixed
		for i := range settled.Images {
			c, want := settled.Images[i].Center(), places[i].earthFixed()
			for k := range 3 {
				if is := m[k]*c[0] + m[4+k]*c[1] + m[8+k]*c[2] + m[12+k]; !(math.Abs(is-want[k]) < 1e-3) {
					t.Fatalf("asked %+v: camera %d is %g m off in axis %d", asked, i, is-want[k], k)
				}
			}
		}
		if !(math.Abs(place.LatitudeDeg-around.LatitudeDeg) < 1e-4 && math.Abs(place.LongitudeDeg-around.LongitudeDeg) < 1e-4 && math.Abs(place.AltitudeM-around.AltitudeM) < 5) {
			t.Errorf("the origin is at %+v", place)
		}
	}
	if _, world, err := moved.Settle(nil, nil, Asked{}); err != nil || world.PlaceAt(origin) != nil {
		t.Errorf("a place without GPS: %v", err)
	}
}
