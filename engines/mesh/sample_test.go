package mesh

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// The mesh of a real splat is measured by hand, because making one takes longer than a test may:
//
//	splatworks sample -o sample && splatworks run sample/sample.mp4 -o out --scene
//	go test ./engines/mesh -run TestMeshOfASplat -v -out "$PWD/out" -sample
//
// -out is a folder that splatworks run --scene left; with -sample it is the default sample, whose true surfaces are known.
var (
	outDir   = flag.String("out", "", "folder of a finished run with its scene for TestMeshOfASplat")
	isSample = flag.Bool("sample", false, "the run was of the default sample")
	voxelArg = flag.Float64("voxel", 0, "size of a voxel instead of the default")
	writeTo  = flag.String("write", "", "write pictures into this folder")
)

func TestMeshOfASplat(t *testing.T) {
	if *outDir == "" {
		t.Skip("give the folder of a run with -out")
	}
	cfg, err := trainer.Defaults(trainer.Standard)
	if err != nil {
		t.Fatal(err)
	}
	cloud, _, err := splat.ReadFile(filepath.Join(*outDir, "splat.ply"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxSide = 4096
	data, err := trainer.Load(filepath.Join(*outDir, "scene"), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	o := Options{VoxelSize: *voxelArg, Progress: func(step string, share float64) error {
		if step != "rendering depth" || share == 0.35 {
			t.Logf("%5.1f s  %3.0f %%  %s", time.Since(start).Seconds(), 100*share, step)
		}
		return nil
	}}
	tex, err := Build(cloud, data, o)
	if err != nil {
		t.Fatal(err)
	}
	cpu, peak := usage(t)
	t.Logf("%.1f s, of processors %.1f s, peak %d MiB  %+v", time.Since(start).Seconds(), cpu.Seconds(), peak>>20, tex.Report)
	t.Logf("%d of %d edges are folded over", tex.folded(), 3*len(tex.Faces)/2)
	if *isSample {
		measure(t, tex.Mesh)
	}
	if *writeTo != "" {
		views := slices.Concat(data.Train, data.Test)
		savePNG(t, filepath.Join(*writeTo, "texture.png"), tex.Texture)
		for k := range 3 {
			v := views[k*len(views)/3]
			savePNG(t, filepath.Join(*writeTo, fmt.Sprintf("photo%d.png", k)), v.Levels[0].Image())
			savePNG(t, filepath.Join(*writeTo, fmt.Sprintf("mesh%d.png", k)), tex.paint(v.Levels[0].Camera, false))
			savePNG(t, filepath.Join(*writeTo, fmt.Sprintf("shape%d.png", k)), tex.paint(v.Levels[0].Camera, true))
		}
	}
}

// measure compares a mesh of the default sample with its true surfaces.
func measure(t *testing.T, m *Mesh) {
	t.Helper()
	c, err := sample.New(sample.Options{})
	if err != nil {
		t.Fatal(err)
	}
	model, err := scene.Read(filepath.Join(*outDir, "scene", "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	fit, err := scene.Compare(model, c.Reconstruction())
	if err != nil {
		t.Fatal(err)
	}
	const size = 10.4 // metres: the side of the court
	var off []float64
	sum := 0.0
	for _, p := range m.scattered(100_000) {
		d := c.Distance(fit.Similarity.Apply(p))
		off = append(off, d)
		sum += d
	}
	slices.Sort(off)
	t.Logf("poses %.3f %% off; the mesh: mean %.3f %% of the scene's size, median %.3f %%, 95th percentile %.3f %%, 99th %.3f %%, largest %.3f %%", fit.PositionRMSEPct,
		100*sum/float64(len(off))/size, 100*off[len(off)/2]/size, 100*off[len(off)*95/100]/size, 100*off[len(off)*99/100]/size, 100*off[len(off)-1]/size)
}

// folded counts the edges whose faces look against each other, as they do where one of them is turned over.
func (m *Mesh) folded() (n int) {
	for f, beside := range m.beside() {
		for _, g := range beside {
			if int(g) > f {
				if opposed(m.normal(f), m.normal(int(g))) {
					n++
				}
			}
		}
	}
	return n
}

// usage is the processor time and the most memory of this program.
func usage(t *testing.T) (cpu time.Duration, peak int64) {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss << 10
}

// scattered are random points of the surface, evenly by area.
func (m *Mesh) scattered(n int) (points []vec) {
	rng := rand.New(rand.NewPCG(3, 4))
	ends := make([]float64, len(m.Faces))
	sum := 0.0
	for f := range m.Faces {
		sum += length(m.normal(f))
		ends[f] = sum
	}
	for range n {
		f, _ := slices.BinarySearch(ends, rng.Float64()*sum)
		a, b := math.Sqrt(rng.Float64()), rng.Float64()
		t := m.Faces[min(f, len(m.Faces)-1)]
		points = append(points, add(add(scaled(m.Vertices[t[0]], 1-a), scaled(m.Vertices[t[1]], a*(1-b))), scaled(m.Vertices[t[2]], a*b)))
	}
	return points
}
