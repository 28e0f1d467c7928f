package mesh

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
)

// shape is a signed distance, positive outside.
type shape func(p vec) float64

func sphere(p vec) float64 { return length(p) - 1 }

// box of half sides 0.8, 0.6, 0.5, turned about z.
func crate(p vec) float64 {
	c, s := math.Cos(0.4), math.Sin(0.4)
	q := vec{math.Abs(c*p[0]+s*p[1]) - 0.8, math.Abs(c*p[1]-s*p[0]) - 0.6, math.Abs(p[2]) - 0.5}
	outside := vec{max(q[0], 0), max(q[1], 0), max(q[2], 0)}
	return length(outside) + min(0, max(q[0], q[1], q[2]))
}

// ring is a torus: one handle, Euler characteristic 0.
func ring(p vec) float64 {
	return math.Hypot(math.Hypot(p[0], p[1])-0.8, p[2]) - 0.3
}

// two walls that meet at a right angle: an open surface.
func walls(p vec) float64 { return min(p[2]+0.5, p[0]+0.5) }

// sampled is a volume of a distance within a box, known only near the surface, as views leave it.
func sampled(f shape, size, reach float64) *volume {
	var keys []key
	n := int32(math.Ceil(reach / (size * side)))
	for z := -n; z < n; z++ {
		for y := -n; y < n; y++ {
			for x := -n; x < n; x++ {
				keys = append(keys, key{x, y, z})
			}
		}
	}
	v := newVolume(size, keys)
	for i, k := range keys {
		for at := range blockVoxels {
			p := vec{float64(int(k[0])*side+at%side) * size, float64(int(k[1])*side+at/side%side) * size, float64(int(k[2])*side+at/side/side) * size}
			if d := f(p); math.Abs(d) < band*size && max(math.Abs(p[0]), math.Abs(p[1]), math.Abs(p[2])) < reach {
				v.blocks[i].distance[at], v.blocks[i].weight[at] = float32(d), 1
			}
		}
	}
	return v
}

// Every way to cut a cell gives triangles whose border is exactly the lines on the cell's sides, with no diagonal inside a side; and
// the opposite cell's lines of a side are the same ones backwards, so that meshes of cells have no gap.
func TestEveryCellIsCutWithoutAGap(t *testing.T) {
	for inside := range cubeCases {
		lines, borders := map[[2]uint8]int{}, map[[2]uint8]int{}
		for e, next := range linesOf(inside) {
			if next >= 0 {
				lines[[2]uint8{uint8(e), uint8(next)}]++
			}
		}
		crossed := 0
		for _, e := range cubeEdges {
			if inside>>e.from&1 != inside>>(e.from|1<<e.axis)&1 {
				crossed++
			}
		}
		if len(lines) != crossed {
			t.Fatalf("case %08b: %d lines for %d crossed edges", inside, len(lines), crossed)
		}
		for _, f := range cubeCases[inside] {
			for k := range 3 {
				a, b := f[k], f[(k+1)%3]
				if borders[[2]uint8{b, a}] > 0 {
					borders[[2]uint8{b, a}]--
					if shareSide(a, b) {
						t.Errorf("case %08b: the diagonal %d-%d is inside a side", inside, a, b)
					}
					continue
				}
				borders[[2]uint8{a, b}]++
			}
		}
		for line, n := range borders {
			if n != lines[line] {
				t.Errorf("case %08b: line %v is drawn %d times by triangles and %d times by sides", inside, line, n, lines[line])
			}
		}
	}
}

// Closed solids give closed meshes on their surface, of the right kind, with the normals outward; random solids too, however
// ambiguous their cells are.
func TestExtractionIsTheSurface(t *testing.T) {
	const size = 0.04
	for name, c := range map[string]struct {
		f      shape
		euler  int
		within float64 // voxels
	}{"sphere": {sphere, 2, 0.03}, "box": {crate, 2, 0.6}, "ring": {ring, 0, 0.1}} {
		m := sampled(c.f, size, 1.4).extract(2)
		s := m.Shape()
		if !s.Watertight || s.Euler != c.euler || s.Degenerate > 0 || s.Unused > 0 {
			t.Errorf("%s: %+v, the Euler characteristic is %d", name, s, c.euler)
		}
		checkSurface(t, name, m, c.f, c.within*size)
	}
	open := sampled(walls, size, 1).extract(2)
	if s := open.Shape(); s.Watertight || s.Open == 0 || s.Crossed > 0 || s.Euler != 1 {
		t.Errorf("two walls: %+v", s)
	}
	checkSurface(t, "two walls", open, walls, 0.6*size)

	rng := rand.New(rand.NewPCG(1, 2))
	noise := sampled(func(p vec) float64 { // every voxel inside or outside by chance, all outside at the rim
		if max(math.Abs(p[0]), math.Abs(p[1]), math.Abs(p[2])) > 0.5 {
			return 0.01
		}
		return 0.02 * (rng.Float64() - 0.5)
	}, size, 0.7).extract(2)
	if s := noise.Shape(); !s.Watertight || s.Faces < 1000 {
		t.Errorf("noise: %+v", s)
	}
}

// checkSurface compares vertices and the middles of faces with a distance, and normals with its gradient.
func checkSurface(t *testing.T, name string, m *Mesh, f shape, within float64) {
	t.Helper()
	inverted, worst := 0, 0.0
	for i, face := range m.Faces {
		middle := scaled(add(add(m.Vertices[face[0]], m.Vertices[face[1]]), m.Vertices[face[2]]), 1.0/3)
		worst = max(worst, math.Abs(f(middle)))
		var slope vec
		for k := range 3 {
			step := vec{}
			step[k] = 1e-4
			slope[k] = f(add(middle, step)) - f(sub(middle, step))
		}
		if !(dot(m.normal(i), slope) > 0) {
			inverted++
		}
	}
	if inverted > 0 || !(worst <= within) || len(m.Faces) == 0 {
		t.Errorf("%s: %d of %d faces inverted, %.4f off at most, %.4f allowed", name, inverted, len(m.Faces), worst, within)
	}
}

// seen are the exact depths of a solid from cameras all around it.
func seen(f shape, count int) []*view {
	var views []*view
	for i := range count {
		// Directions spread evenly over the sphere by the golden angle.
		z := 1 - 2*(float64(i)+0.5)/float64(count)
		turn := float64(i) * math.Pi * (3 - math.Sqrt(5))
		out := vec{math.Sqrt(1-z*z) * math.Cos(turn), math.Sqrt(1-z*z) * math.Sin(turn), z}
		views = append(views, lookFrom(f, scaled(out, 3), 90))
	}
	return views
}

func lookFrom(f shape, eye vec, px int) *view {
	forward := scaled(eye, -1/length(eye))
	right := cross(forward, vec{0, 0, 1})
	right = scaled(right, 1/length(right))
	down := cross(forward, right)
	w := &view{cam: raster.Camera{R: [3][3]float64{right, down, forward}, Fx: float64(px), Fy: float64(px), Cx: float64(px) / 2, Cy: float64(px) / 2, Width: px, Height: px}}
	for k := range 3 {
		w.cam.T[k] = -dot(w.cam.R[k], eye)
	}
	s := raster.Surface{Width: px, Height: px, Depth: make([]float32, px*px), Normal: make([]float32, 3*px*px)}
	for at := range s.Depth {
		ray := w.ray(float64(at%px)+0.5, float64(at/px)+0.5)
		z := 0.5
		for range 200 { // sphere tracing
			p := w.worldOf(scaled(ray, z))
			d := f(p)
			if d < 1e-6 || z > 8 {
				break
			}
			z += d / length(ray)
		}
		if z > 8 {
			continue
		}
		s.Depth[at] = float32(z)
		p := w.worldOf(scaled(ray, z))
		var slope vec
		for k := range 3 {
			step := vec{}
			step[k] = 1e-5
			slope[k] = f(add(p, step)) - f(sub(p, step))
		}
		slope = scaled(slope, 1/length(slope))
		for k := range 3 {
			s.Normal[3*at+k] = float32(dot(w.cam.R[k], slope))
		}
	}
	w.depth, w.facing = append([]float32{}, s.Depth...), make([]uint8, px*px)
	w.face(&s, nil, nil, 10)
	return w
}

func fused(t *testing.T, views []*view, size float64, workers int) *Mesh {
	t.Helper()
	views = slices.Clone(views)
	for i, w := range views {
		again := *w
		again.depth = slices.Clone(w.depth)
		views[i] = &again
	}
	used, a, err := check(views, nil, workers)
	if err != nil {
		t.Fatal(err)
	}
	if !(a.Agree > 0.9) || a.Views != len(views) {
		t.Errorf("exact depths agree to %+v", a)
	}
	keys, err := near(used, size, 3, boxOf(nil), 1<<16, workers)
	if err != nil {
		t.Fatal(err)
	}
	v := newVolume(size, keys)
	v.integrate(used, 3, workers)
	return v.extract(workers)
}

// Depths of solids from all around are fused to their surface: to a twentieth of a voxel where it is smooth, watertight, whatever the
// number of threads.
func TestFusionOfExactDepths(t *testing.T) {
	const size = 0.04
	for name, c := range map[string]struct {
		f            shape
		mean, within float64 // voxels
	}{"sphere": {sphere, 0.05, 0.3}, "box": {crate, 0.2, 1.3}} {
		views := seen(c.f, 40)
		m := fused(t, views, size, 1)
		mean, worst := 0.0, 0.0
		for _, p := range m.Vertices {
			mean += math.Abs(c.f(p)) / float64(len(m.Vertices))
			worst = max(worst, math.Abs(c.f(p)))
		}
		s := m.Shape()
		if !s.Watertight || s.Euler != 2 || !(mean <= c.mean*size) || !(worst <= c.within*size) {
			t.Errorf("%s: %+v, %.4f voxels off on average, %.4f at most", name, s, mean/size, worst/size)
		}
		if again := fused(t, views, size, 4); !reflect.DeepEqual(m, again) {
			t.Errorf("%s: four threads give another mesh than one", name)
		}
	}
}
