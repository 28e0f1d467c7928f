package mesh

import (
	"slices"
)

// quadric is the sum of squared distances to planes (Garland and Heckbert 1997): xᵀAx + 2bᵀx + c, A symmetric as xx xy xz yy yz zz.
type quadric struct {
	a [6]float64
	b vec
	c float64
}

// plane adds the squared distance to a plane through p with a unit normal, times a weight.
func (q *quadric) plane(n, p vec, weight float64) {
	d := -dot(n, p)
	for k, v := range [6]float64{n[0] * n[0], n[0] * n[1], n[0] * n[2], n[1] * n[1], n[1] * n[2], n[2] * n[2]} {
		q.a[k] += weight * v
	}
	for k := range 3 {
		q.b[k] += weight * d * n[k]
	}
	q.c += weight * d * d
}

func (q *quadric) add(o *quadric) {
	for k := range q.a {
		q.a[k] += o.a[k]
	}
	for k := range q.b {
		q.b[k] += o.b[k]
	}
	q.c += o.c
}

func (q *quadric) times(p vec) vec {
	return vec{q.a[0]*p[0] + q.a[1]*p[1] + q.a[2]*p[2], q.a[1]*p[0] + q.a[3]*p[1] + q.a[4]*p[2], q.a[2]*p[0] + q.a[4]*p[1] + q.a[5]*p[2]}
}

func (q *quadric) at(p vec) float64 { return dot(p, q.times(p)) + 2*dot(q.b, p) + q.c }

// lowest is the point where the quadric is least. On a plane or along a line of such points it is the one nearest to p: a thousandth
// of the sum of the planes pulls there.
func (q *quadric) lowest(p vec) vec {
	pull := 1e-3 * (q.a[0] + q.a[3] + q.a[5])
	if !(pull > 0) {
		return p
	}
	xx, xy, xz, yy, yz, zz := q.a[0]+pull, q.a[1], q.a[2], q.a[3]+pull, q.a[4], q.a[5]+pull
	r := sub(scaled(q.times(p), -1), q.b) // of the system (A + pull)·step = r
	c0, c1, c2 := yy*zz-yz*yz, xz*yz-xy*zz, xy*yz-xz*yy
	det := xx*c0 + xy*c1 + xz*c2
	step := vec{
		(c0*r[0] + c1*r[1] + c2*r[2]) / det,
		(c1*r[0] + (xx*zz-xz*xz)*r[1] + (xy*xz-xx*yz)*r[2]) / det,
		(c2*r[0] + (xy*xz-xx*yz)*r[1] + (xx*yy-xy*xy)*r[2]) / det,
	}
	return add(p, step)
}

const (
	border   = 10.0 // weight of the planes that hold an open edge in its place
	evenness = 1e-4 // of the squared length of an edge, times its faces' area, on top of its cost: on a plane the shortest goes first
	turn     = 0.2  // cosine by which a collapse may turn a face at most
	thinnest = 0.03 // ratio of twice the area to the squared longest edge that a face may get, unless it was worse
)

// collapse is an edge with its cost at the time when both ends had these versions.
type collapse struct {
	cost     float64
	a, b     int32
	versions [2]uint32
}

// decimator collapses edges.
type decimator struct {
	m        *Mesh
	quadrics []quadric
	faces    [][]int32 // of each vertex; nil once it is gone
	gone     []bool    // faces
	left     int       // faces
	version  []uint32
	queue    []collapse // a heap, the cheapest first
	mark     []int32    // scratch: a number for each vertex
	stamp    int32
}

// decimated collapses the edges that cost least until at most that many faces are left, or no edge is left that can go without
// turning a face over or joining what is apart.
func (m *Mesh) decimated(faces int) *Mesh {
	if len(m.Faces) <= faces {
		return m
	}
	d := newDecimator(&Mesh{Vertices: slices.Clone(m.Vertices), Faces: slices.Clone(m.Faces)})
	for d.left > faces && len(d.queue) > 0 {
		c := d.pop()
		if d.faces[c.a] == nil || d.faces[c.b] == nil || d.version[c.a] != c.versions[0] || d.version[c.b] != c.versions[1] {
			continue
		}
		_, to := d.cost(c.a, c.b)
		if d.allowed(c.a, c.b, to) {
			d.collapse(c.a, c.b, to)
		}
	}
	return d.m.kept(func(f int) bool { return !d.gone[f] })
}

func newDecimator(m *Mesh) *decimator {
	n := len(m.Vertices)
	d := &decimator{m: m, quadrics: make([]quadric, n), faces: make([][]int32, n), gone: make([]bool, len(m.Faces)), left: len(m.Faces),
		version: make([]uint32, n), mark: make([]int32, n)}
	first, list := m.corners()
	for v := range n {
		d.faces[v] = list[first[v]:first[v+1]:first[v+1]]
	}
	for f, t := range m.Faces {
		normal := m.normal(f)
		area := length(normal) / 2
		if !(area > 0) {
			continue
		}
		normal = scaled(normal, 1/(2*area))
		for k, v := range t {
			d.quadrics[v].plane(normal, m.Vertices[t[0]], area)
			a, b := v, t[(k+1)%3]
			if d.shared(a, b) == 1 {
				along := sub(m.Vertices[b], m.Vertices[a])
				if l := length(along); l > 0 {
					wall := scaled(cross(along, normal), 1/l)
					d.quadrics[a].plane(wall, m.Vertices[a], border*l*l)
					d.quadrics[b].plane(wall, m.Vertices[a], border*l*l)
				}
			}
		}
	}
	for _, t := range m.Faces {
		for k := range 3 {
			if a, b := t[k], t[(k+1)%3]; a < b || d.shared(a, b) == 1 {
				d.push(a, b)
			}
		}
	}
	return d
}

// shared counts the faces of an edge.
func (d *decimator) shared(a, b int32) (n int) {
	for _, f := range d.faces[a] {
		if slices.Contains(d.m.Faces[f][:], b) {
			n++
		}
	}
	return n
}

// cost of an edge, and where its vertex would be.
func (d *decimator) cost(a, b int32) (cost float64, to vec) {
	q := d.quadrics[a]
	q.add(&d.quadrics[b])
	pa, pb := d.m.Vertices[a], d.m.Vertices[b]
	middle := scaled(add(pa, pb), 0.5)
	to = q.lowest(middle)
	apart := sub(pa, pb)
	if away := sub(to, middle); !(dot(away, away) <= 4*dot(apart, apart)) {
		to = middle
	}
	return max(0, q.at(to)) + evenness*dot(apart, apart)*(q.a[0]+q.a[3]+q.a[5]), to
}

func (d *decimator) push(a, b int32) {
	cost, _ := d.cost(a, b)
	if cost != cost {
		return
	}
	d.queue = append(d.queue, collapse{cost, a, b, [2]uint32{d.version[a], d.version[b]}})
	for i := len(d.queue) - 1; i > 0; {
		up := (i - 1) / 2
		if !(d.queue[i].cost < d.queue[up].cost) {
			break
		}
		d.queue[i], d.queue[up] = d.queue[up], d.queue[i]
		i = up
	}
}

func (d *decimator) pop() collapse {
	top, last := d.queue[0], len(d.queue)-1
	d.queue[0] = d.queue[last]
	d.queue = d.queue[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && d.queue[down+1].cost < d.queue[down].cost {
			down++
		}
		if !(d.queue[down].cost < d.queue[i].cost) {
			break
		}
		d.queue[i], d.queue[down] = d.queue[down], d.queue[i]
		i = down
	}
	return top
}

// allowed says whether an edge may become one vertex at to: the mesh stays a manifold (the vertices that both ends are joined to are
// those of the edge's own faces), and no face turns over or becomes a needle.
func (d *decimator) allowed(a, b int32, to vec) bool {
	own := d.shared(a, b)
	if own == 0 || own > 2 || own == 2 && d.open(a) && d.open(b) {
		return false
	}
	d.stamp++
	both := 0
	for _, f := range d.faces[a] {
		for _, v := range d.m.Faces[f] {
			d.mark[v] = 2 * d.stamp
		}
	}
	for _, f := range d.faces[b] {
		for _, v := range d.m.Faces[f] {
			if v != a && v != b && d.mark[v] == 2*d.stamp {
				d.mark[v]++
				both++
			}
		}
	}
	return both == own && d.left-own >= 4 && d.keepsFaces(a, b, to) && d.keepsFaces(b, a, to)
}

// open says whether a vertex is on an open edge.
func (d *decimator) open(v int32) bool {
	for _, f := range d.faces[v] {
		for _, o := range d.m.Faces[f] {
			if o != v && d.shared(v, o) == 1 {
				return true
			}
		}
	}
	return false
}

func (d *decimator) keepsFaces(moved, other int32, to vec) bool {
	for _, f := range d.faces[moved] {
		t := d.m.Faces[f]
		if slices.Contains(t[:], other) {
			continue
		}
		var old, moves [3]vec
		for k, v := range t {
			old[k] = d.m.Vertices[v]
			if moves[k] = old[k]; v == moved {
				moves[k] = to
			}
		}
		was, is := between(old[0], old[1], old[2]), between(moves[0], moves[1], moves[2])
		if !(dot(was, is) > turn*length(was)*length(is)) {
			return false
		}
		if thin := thickness(moves, is); !(thin >= thinnest) && !(thin >= thickness(old, was)) {
			return false
		}
	}
	return true
}

// thickness is twice the area over the square of the longest edge.
func thickness(p [3]vec, normal vec) float64 {
	longest := 0.0
	for k := range 3 {
		e := sub(p[(k+1)%3], p[k])
		longest = max(longest, dot(e, e))
	}
	return length(normal) / longest
}

// collapse moves a to a point and lets b become a.
func (d *decimator) collapse(a, b int32, to vec) {
	d.m.Vertices[a] = to
	d.quadrics[a].add(&d.quadrics[b])
	var faces []int32
	for _, f := range d.faces[a] {
		if slices.Contains(d.m.Faces[f][:], b) {
			d.gone[f] = true
			d.left--
		} else {
			faces = append(faces, f)
		}
	}
	for _, f := range d.faces[b] {
		if !d.gone[f] {
			replace(&d.m.Faces[f], b, a)
			faces = append(faces, f)
		}
	}
	d.faces[a], d.faces[b] = faces, nil
	d.version[a]++
	d.stamp++
	for _, f := range faces {
		for _, v := range d.m.Faces[f] {
			if v == a || d.mark[v] == 2*d.stamp {
				continue
			}
			d.mark[v] = 2 * d.stamp
			d.faces[v] = slices.DeleteFunc(d.faces[v], func(f int32) bool { return d.gone[f] })
			d.push(min(a, v), max(a, v))
		}
	}
}
