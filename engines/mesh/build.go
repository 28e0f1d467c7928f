package mesh

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// Options of a mesh. The zero value of a field is its default.
type Options struct {
	Faces       int     // at most (200,000)
	TexturePx   int     // side of the texture at most (4096)
	VoxelSize   float64 // world units (1.5 pixels at the typical depth, or more where the depths are less certain)
	MemoryBytes int64   // of the volume (256 MiB)
	Threads     int     // (all)
	// Progress is called with the step and the share of the whole that is done; an error ends the work. May be nil.
	Progress func(step string, share float64) error
	Clock    func() time.Duration // for Report.Seconds; nil: not measured
}

func (o Options) withDefaults() Options {
	def := func(v *int, to int) {
		if *v <= 0 {
			*v = to
		}
	}
	def(&o.Faces, 200_000)
	def(&o.TexturePx, 4096)
	def(&o.Threads, runtime.GOMAXPROCS(0))
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 256 << 20
	}
	if o.Progress == nil {
		o.Progress = func(string, float64) error { return nil }
	}
	if o.Clock == nil {
		o.Clock = func() time.Duration { return 0 }
	}
	return o
}

// Report says what came out.
type Report struct {
	Shape
	Area      float64   `json:"area"`       // square world units
	VoxelSize float64   `json:"voxel_size"` // world units
	Extracted int       `json:"faces_before_decimation"`
	Closed    int       `json:"holes_closed"`
	Collision int       `json:"collision_faces"`
	TexturePx int       `json:"texture_px"`     // its side
	Seen      float64   `json:"textured_share"` // of the area, that a view shows
	Seconds   float64   `json:"seconds,omitempty"`
	Depth     Agreement `json:"depth"`
}

const (
	voxelPixels = 1.5  // a voxel in pixels at the typical depth
	piece       = 0.01 // of the largest piece's area: smaller ones go
	hole        = 0.15 // of the extent, around a hole: larger ones stay
	collisions  = 40   // times fewer faces in the mesh for collisions
	fewest      = 500  // of these
	uncertain   = 1.1  // a voxel over the error of the depths: the band holds three standard deviations of it
)

// box is what is reconstructed.
type box struct{ low, high vec }

func (b *box) holds(p vec) bool {
	for k := range 3 {
		if !(p[k] >= b.low[k] && p[k] <= b.high[k]) {
			return false
		}
	}
	return true
}

// boxOf is the box around the sparse points but the outermost, a tenth larger on each side.
func boxOf(points []trainer.Point) *box {
	b := &box{}
	for k := range 3 {
		b.low[k], b.high[k] = math.Inf(-1), math.Inf(1)
		if len(points) < 100 {
			continue
		}
		values := make([]float64, len(points))
		for i := range points {
			values[i] = points[i].XYZ[k]
		}
		slices.Sort(values)
		low, high := values[len(values)/200], values[len(values)-1-len(values)/200]
		b.low[k], b.high[k] = low-0.1*(high-low), high+0.1*(high-low)
	}
	return b
}

// Result is a mesh with its texture, and a lighter one to walk on and bump into.
type Result struct {
	*Textured
	Collision *Mesh
	Report    Report
}

// Build makes the mesh of a cloud that was trained on data. It fails where the views agree on no surface.
func Build(cloud *splat.Cloud, data *trainer.Dataset, options Options) (*Result, error) {
	o := options.withDefaults()
	start := o.Clock()
	out := &Result{}
	m, err := surface(cloud, data, o, &out.Report)
	if err != nil {
		return nil, err
	}
	if m, err = shaped(m, data.Extent, o, &out.Report); err != nil {
		return nil, err
	}
	out.Collision = m.decimated(max(len(m.Faces)/collisions, min(len(m.Faces), fewest)))
	if err := o.Progress("texturing the mesh", 0.75); err != nil {
		return nil, err
	}
	if out.Textured, err = textured(m, slices.Concat(data.Train, data.Test), o.TexturePx, o.Threads); err != nil {
		return nil, err
	}
	r := &out.Report
	r.Shape, r.Area, r.Collision = m.Shape(), m.Area(), len(out.Collision.Faces)
	r.TexturePx, r.Seen = out.Texture.Bounds().Dx(), out.Seen
	r.Seconds = (o.Clock() - start).Seconds()
	return out, o.Progress("texturing the mesh", 1)
}

// surface fuses what the views see.
func surface(cloud *splat.Cloud, data *trainer.Dataset, o Options, r *Report) (*Mesh, error) {
	all := slices.Concat(data.Train, data.Test)
	slices.SortFunc(all, func(a, b *trainer.View) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	views, err := render(cloud, all, data.Extent, o.Threads, func(share float64) error { return o.Progress("rendering depth", 0.35*share) })
	if err != nil {
		return nil, err
	}
	if views, r.Depth, err = check(views, data.Points, o.Threads); err != nil {
		return nil, err
	}
	if err := o.Progress("fusing depth", 0.4); err != nil {
		return nil, err
	}
	r.VoxelSize = o.VoxelSize
	if !(r.VoxelSize > 0) {
		c := &views[0].cam
		r.VoxelSize = data.Extent * max(voxelPixels/math.Max(c.Fx, c.Fy), uncertain*r.Depth.Points)
	}
	within := boxOf(data.Points)
	var keys []key
	for {
		keys, err = near(views, r.VoxelSize, data.Extent, within, int(o.MemoryBytes/blockBytes), o.Threads)
		if !errors.Is(err, errTooFine) {
			break
		}
		r.VoxelSize *= 1.2
	}
	v := newVolume(r.VoxelSize, keys)
	v.integrate(views, data.Extent, o.Threads)
	if err := o.Progress("extracting the surface", 0.55); err != nil {
		return nil, err
	}
	m := v.extract(o.Threads)
	if len(m.Faces) == 0 {
		return nil, fmt.Errorf("the views' depths enclose no surface")
	}
	return m, nil
}

// shaped turns what was extracted into what people use.
func shaped(m *Mesh, extent float64, o Options, r *Report) (*Mesh, error) {
	m.untouched()
	m = m.trimmed().large(piece)
	m.smooth(o.Threads)
	m = m.unfolded()
	r.Closed = m.closeHoles(hole * extent)
	r.Extracted = len(m.Faces)
	if err := o.Progress("simplifying the mesh", 0.6); err != nil {
		return nil, err
	}
	return m.decimated(o.Faces).unfolded(), nil
}
