package trainer

import (
	"cmp"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/scene"
)

// Dataset is a capture ready for training: undistorted images with their cameras, and the sparse points.
type Dataset struct {
	Train, Test []*View // sorted by name
	Points      []Point
	// Extent is the typical depth of the scene in world units: the yardstick of position steps.
	Extent float64
	// Larger says that an image was made smaller for Config.MaxSide.
	Larger bool
	// Warnings gathered while loading, for the caller to report.
	Warnings []fault.Warning
}

// Point is a sparse point that survived the filter.
type Point struct {
	XYZ [3]float64
	RGB [3]uint8
}

// Load reads images/ and sparse/ (or sparse/0/) of a folder as COLMAP's image_undistorter writes them.
func Load(dir string, cfg *Config) (*Dataset, error) {
	sparse := filepath.Join(dir, "sparse")
	if _, err := os.Stat(filepath.Join(sparse, scene.CamerasFile)); errors.Is(err, os.ErrNotExist) {
		sparse = filepath.Join(sparse, "0")
	}
	model, err := scene.Read(sparse)
	if err != nil {
		return nil, err
	}
	return FromModel(model, filepath.Join(dir, "images"), cfg)
}

// FromModel builds the dataset from a reconstruction and the folder of its images.
func FromModel(model *scene.Reconstruction, images string, cfg *Config) (*Dataset, error) {
	if len(model.Images) == 0 {
		return nil, errors.New("the reconstruction holds no images: there is nothing to train on")
	}
	sorted := slices.Clone(model.Images)
	slices.SortFunc(sorted, func(a, b scene.Image) int { return cmp.Compare(a.Name, b.Name) })
	d := &Dataset{Larger: slices.ContainsFunc(sorted, func(im scene.Image) bool {
		cam := model.Camera(im.CameraID)
		return cam != nil && max(cam.Width, cam.Height) > cfg.MaxSide
	})}
	views := make([]*View, len(sorted))
	errs := make([]error, len(sorted))
	channels := 3
	if _, err := os.Stat(masksOf(images)); err == nil {
		channels++
	}
	shrink := memoryShrink(model, sorted, channels, cfg)
	raster.Each(workers(cfg), len(sorted), func(_, i int) {
		views[i], errs[i] = loadView(model, &sorted[i], images, cfg, shrink)
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, v := range views {
		if cfg.HoldOut > 0 && i%cfg.HoldOut == 0 && len(views) > 2 {
			d.Test = append(d.Test, v)
		} else {
			d.Train = append(d.Train, v)
		}
	}
	d.Extent = sceneExtent(model)
	near := nearPlane(model, d.Extent)
	for _, v := range views {
		for level := range v.Levels {
			v.Levels[level].Camera.Near = near
		}
	}
	d.Points = filterPoints(model, d.Extent, sorted, views)
	d.warn(model, shrink, cfg)
	return d, nil
}

// warn gathers what a user should know about the capture before it is trained.
func (d *Dataset) warn(model *scene.Reconstruction, shrink float64, cfg *Config) {
	say := func(code, advice, format string, args ...any) {
		d.Warnings = append(d.Warnings, fault.Warn(code, advice, format, args...))
	}
	if dropped := len(model.Points3D) - len(d.Points); dropped > len(model.Points3D)/4 {
		say("points_left_out", "If the result has holes or fog, send sharper images with smaller steps in between.",
			"%d of %d sparse points are too far away or too inaccurate and were not used.", dropped, len(model.Points3D))
	}
	if len(d.Points) < scarcePoints {
		say("few_points", "If the result has holes or fog, send more images that overlap more.",
			"Only %d sparse points are known: training adds its own, from depth maps or at random.", len(d.Points))
	}
	if shrink > 1 {
		cam := usualCamera(append(slices.Clone(d.Train), d.Test...))
		say("images_shrunk", "Send fewer images, or have them trained with more memory.",
			"Images are trained at %dx%d pixels to stay within %d MiB.", cam.Width, cam.Height, cfg.MemoryBytes>>20)
	}
}

// LeaveOut returns the dataset with some of the training images, by their place in the order of names, held out too. Images are
// shared with d.
func (d *Dataset) LeaveOut(out func(i int) bool) *Dataset {
	some := *d
	some.Train, some.Test = nil, slices.Clone(d.Test)
	for i, v := range d.Train {
		if out(i) {
			some.Test = append(some.Test, v)
		} else {
			some.Train = append(some.Train, v)
		}
	}
	return &some
}

// CutOut says whether any training image has transparent parts.
func (d *Dataset) CutOut() bool {
	return slices.ContainsFunc(d.Train, func(v *View) bool { return v.Levels[0].Alpha != nil })
}

// sceneExtent is the median over images of the median depth of the points each sees; without points, the largest
// distance of a camera from their middle; without that, 1.
func sceneExtent(model *scene.Reconstruction) float64 {
	var medians []float64
	for i := range model.Images {
		im := &model.Images[i]
		var depths []float64
		for _, p2 := range im.Points2D {
			if p := model.Point3D(p2.Point3DID); p != nil {
				if z := im.CamFromWorld.Apply(p.XYZ)[2]; z > 0 {
					depths = append(depths, z)
				}
			}
		}
		if len(depths) > 0 {
			medians = append(medians, median(depths))
		}
	}
	if len(medians) > 0 {
		if e := median(medians); e > 0 && !math.IsInf(e, 0) {
			return e
		}
	}
	var mean [3]float64
	for i := range model.Images {
		c := model.Images[i].Center()
		for k := range 3 {
			mean[k] += c[k] / float64(len(model.Images))
		}
	}
	extent := 0.0
	for i := range model.Images {
		extent = max(extent, 1.1*distance(model.Images[i].Center(), mean))
	}
	if extent > 0 {
		return extent
	}
	return 1
}

// nearPlane is a quarter of the smallest depth at which a point is seen, within 0.01 to 0.2 of the extent.
func nearPlane(model *scene.Reconstruction, extent float64) float64 {
	var depths []float64
	for i := range model.Images {
		im := &model.Images[i]
		for _, p2 := range im.Points2D {
			if p := model.Point3D(p2.Point3DID); p != nil {
				depths = append(depths, im.CamFromWorld.Apply(p.XYZ)[2])
			}
		}
	}
	if len(depths) == 0 {
		return 0.01 * extent
	}
	slices.Sort(depths)
	return min(max(depths[len(depths)/100]/4, 0.01*extent), 0.2*extent)
}

// filterPoints leaves out what would start as a floater: reprojection errors over 2 px and points farther than 20
// extents from every camera. The views, in the order of the images, learn which of the others were matched in them.
func filterPoints(model *scene.Reconstruction, extent float64, images []scene.Image, views []*View) []Point {
	var mean [3]float64
	for i := range model.Images {
		c := model.Images[i].Center()
		for k := range 3 {
			mean[k] += c[k] / float64(len(model.Images))
		}
	}
	var points []Point
	at := make(map[uint64]int32, len(model.Points3D))
	for i := range model.Points3D {
		p := &model.Points3D[i]
		if p.Error <= 2 && distance(p.XYZ, mean) <= 20*extent {
			at[p.Point3DID] = int32(len(points))
			points = append(points, Point{p.XYZ, p.RGB})
		}
	}
	for i, v := range views {
		for _, p2 := range images[i].Points2D {
			if k, ok := at[p2.Point3DID]; ok {
				v.Matched = append(v.Matched, k)
			}
		}
	}
	return points
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
