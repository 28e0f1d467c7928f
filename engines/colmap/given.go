package colmap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// Given are poses that a capture came with. They are kept as they are; what may be missing are points.
type Given struct {
	From string // where they are from, for people
	// Model has the images of the plan under the names of their files, with cameras of their size, and perhaps points.
	Model *scene.Reconstruction
	// Turned are EXIF orientations of images that are not stored as they are shown, by name.
	Turned map[string]int
}

// givenPoses is the name of the mapper where there was none.
const givenPoses = "given"

const (
	// randomPoints is what training begins with where nothing can be triangulated.
	randomPoints = 5000
	// nearestGiven is the number of images near by that each is matched with. For points that are seen under wide angles come those
	// farther away by twice the rank each, of which there are about fartherGiven. Up to allGiven images every pair is matched.
	nearestGiven = 8
	fartherGiven = 4
	allGiven     = 25
	// facingDeg is how far two viewing directions may be apart for a feature to be found in both.
	facingDeg = 75
)

// solveGiven takes the given poses, and points from the first source that has enough: the model, triangulation, chance.
func (r *reconstructor) solveGiven(ctx context.Context) (*scene.Reconstruction, error) {
	m := r.plan.Given.Model
	for _, im := range m.Images {
		if !slices.Contains(r.images, im.Name) {
			return nil, fmt.Errorf("the given poses are of %s, which is no image of the plan", im.Name)
		}
	}
	r.result.Mapper = givenPoses
	reason := fmt.Sprintf("poses and %d points are those of %s", len(m.Points3D), r.plan.Given.From)
	if len(m.Points3D) < minPoints {
		triangulated, err := r.triangulate(ctx, m)
		if err != nil {
			return nil, err
		}
		reason = fmt.Sprintf("poses are those of %s, points were triangulated with the poses held", r.plan.Given.From)
		if m = triangulated; len(m.Points3D) < minPoints {
			r.warn("random_points", "Check that the poses are of exactly these images, not mirrored, and of cameras that look along +z with y down (COLMAP) or along -z with y up (transforms.json).",
				"Only %s agree with the poses in %s: they do not fit the images, or the images show too little texture. Training begins with random points.", say(len(m.Points3D), "point", "points"), r.plan.Given.From)
			m, reason = withRandomPoints(m, randomPoints), fmt.Sprintf("poses are those of %s, points are random", r.plan.Given.From)
		}
	}
	r.result.Reason = reason
	r.result.Quality = m.Quality()
	return m, nil
}

// triangulate finds features, matches pairs that may see the same, and triangulates. Where the images show too little for that, the
// result has no points.
func (r *reconstructor) triangulate(ctx context.Context, m *scene.Reconstruction) (*scene.Reconstruction, error) {
	ids, err := r.extractGiven(ctx, m)
	if err != nil || len(ids) < minImages {
		return withoutPoints(m), notOfImages(err)
	}
	r.progress.phase(phaseMatch)
	r.result.Matcher = ByPoses
	pairs := pairsOf(m)
	done, err := r.matchCompared(ctx, Matching{}, func(images []described) ([][2]int, error) { return byNames(images, pairs), nil })
	if err == nil && !done {
		err = r.verify(ctx, pairs, Matching{})
	}
	if err != nil {
		return withoutPoints(m), notOfImages(err)
	}
	r.progress.phase(phaseMap)
	input, output := filepath.Join(r.plan.WorkPath, "given"), filepath.Join(r.plan.WorkPath, "triangulated")
	if err := os.RemoveAll(output); err != nil {
		return nil, fmt.Errorf("preparing triangulation: %w", err)
	}
	if err := numbered(m, ids).Write(input); err != nil {
		return nil, err
	}
	if err := r.ran(r.colmap.PointTriangulator(ctx, PointTriangulatorOptions{
		DatabasePath: r.databasePath(), ImagePath: r.rigs.imagePath, InputPath: input, OutputPath: output,
	})); err != nil {
		return withoutPoints(m), notOfImages(err)
	}
	found, err := scene.Read(output)
	if err != nil {
		return nil, fmt.Errorf("reading triangulated points: %w", err)
	}
	return withThoseLeftOut(found, m), nil
}

// ids are those of an image and its camera in a database.
type ids struct{ image, camera uint32 }

// extractGiven finds the features of all images, each with a camera of its own, and returns the ids that COLMAP gave them by name:
// point_triangulator wants a model with the same.
func (r *reconstructor) extractGiven(ctx context.Context, m *scene.Reconstruction) (map[string]ids, error) {
	r.progress.phase(phaseExtract)
	if err := os.RemoveAll(r.databasePath()); err != nil { // ids of an earlier run are not known
		return nil, fmt.Errorf("preparing features: %w", err)
	}
	masks, err := r.completeMasks()
	if err != nil {
		return nil, err
	}
	options := FeatureExtractorOptions{
		DatabasePath: r.databasePath(), ImagePath: r.rigs.imagePath, MaskPath: masks, CameraPerImage: true, DefaultFocalLengthFactor: focalLengthFactor,
		MaxImageSize: r.plan.MaxImageSize, MaxNumFeatures: r.plan.MaxNumFeatures, ImageListPath: filepath.Join(r.plan.WorkPath, "images-given.txt"),
	}
	// What all images have in common helps to verify matches.
	if len(m.Cameras) == 1 {
		options.CameraModel, options.CameraParams = m.Cameras[0].Model.String(), m.Cameras[0].Params
		r.result.CameraModel = options.CameraModel
	}
	names := make([]string, len(m.Images))
	for i := range m.Images {
		names[i] = m.Images[i].Name
	}
	if err := writeList(options.ImageListPath, names); err != nil {
		return nil, fmt.Errorf("preparing features: %w", err)
	}
	run, extracted, err := r.colmap.FeatureExtractor(ctx, options)
	if err := r.ran(run, err); err != nil {
		return nil, err
	}
	cameras := make(map[string]uint32, len(names))
	for i, name := range names {
		cameras[name] = uint32(i + 1)
	}
	found := make(map[string]ids, len(names))
	for i, name := range extracted.Order {
		found[name] = ids{uint32(i + 1), cameras[name]}
	}
	return found, nil
}

// numbered is a model without points of the images with ids, each with a camera of its own.
func numbered(m *scene.Reconstruction, known map[string]ids) *scene.Reconstruction {
	out := &scene.Reconstruction{}
	for _, im := range withoutPoints(m).Images {
		id, ok := known[im.Name]
		if !ok {
			continue
		}
		camera := *m.Camera(im.CameraID)
		camera.CameraID, im.ImageID, im.CameraID = id.camera, id.image, id.camera
		out.Cameras, out.Images = append(out.Cameras, camera), append(out.Images, im)
	}
	slices.SortFunc(out.Cameras, func(a, b scene.Camera) int { return cmp.Compare(a.CameraID, b.CameraID) })
	slices.SortFunc(out.Images, func(a, b scene.Image) int { return cmp.Compare(a.ImageID, b.ImageID) })
	return out
}

// withThoseLeftOut adds the images of the given model that the other lacks. Poses and cameras are those that were given.
func withThoseLeftOut(found, given *scene.Reconstruction) *scene.Reconstruction {
	out := &scene.Reconstruction{Cameras: given.Cameras, Points3D: found.Points3D}
	highest := uint32(0)
	for i := range found.Images {
		highest = max(highest, found.Images[i].ImageID)
	}
	for _, im := range given.Images {
		if f := found.ImageByName(im.Name); f != nil {
			im.ImageID, im.Points2D = f.ImageID, f.Points2D
		} else {
			highest++
			im.ImageID, im.Points2D = highest, nil
		}
		out.Images = append(out.Images, im)
	}
	slices.SortFunc(out.Images, func(a, b scene.Image) int { return cmp.Compare(a.ImageID, b.ImageID) })
	return out
}

// notOfImages drops a failure that is about the images, or of COLMAP because of them, and keeps what ends the work.
func notOfImages(err error) error {
	var f *fault.Failure
	if errors.As(err, &f) && (f.Kind == fault.Input || f.Code == Failed || f.Code == Crashed) {
		return nil
	}
	return err
}

// withoutPoints is a copy with cameras and poses alone.
func withoutPoints(m *scene.Reconstruction) *scene.Reconstruction {
	bare := &scene.Reconstruction{Cameras: m.Cameras, Images: slices.Clone(m.Images)}
	for i := range bare.Images {
		bare.Images[i].Points2D = nil
	}
	return bare
}

// pairsOf lists the pairs of images that may show the same by their poses: those that look in
// similar directions, the nearest first, and of those farther away fewer and fewer.
func pairsOf(m *scene.Reconstruction) [][2]string {
	n := len(m.Images)
	centers, axes := make([][3]float64, n), make([][3]float64, n)
	for i := range m.Images {
		centers[i], axes[i] = m.Images[i].Center(), m.Images[i].CamFromWorld.Matrix()[2]
	}
	facing := math.Cos(facingDeg * math.Pi / 180)
	chosen := make(map[[2]int]bool)
	for i := range n {
		var others []int
		for k := range n {
			if k != i && dot(axes[i], axes[k]) > facing {
				others = append(others, k)
			}
		}
		slices.SortStableFunc(others, func(a, b int) int {
			return cmp.Compare(distance(centers[i], centers[a]), distance(centers[i], centers[b]))
		})
		farther := nearestGiven
		for rank, k := range others {
			if n <= allGiven || rank < nearestGiven || rank == farther {
				chosen[[2]int{min(i, k), max(i, k)}] = true
			}
			if rank == farther {
				farther *= 2
			}
		}
	}
	var pairs [][2]string
	for p := range chosen {
		pairs = append(pairs, [2]string{m.Images[p[0]].Name, m.Images[p[1]].Name})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	return pairs
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

// withRandomPoints is a copy with more points, drawn from the box around the cameras, enlarged by half its longest side, as far as
// at least one camera looks there.
func withRandomPoints(m *scene.Reconstruction, n int) *scene.Reconstruction {
	low, high := m.Images[0].Center(), m.Images[0].Center()
	for i := range m.Images {
		for k, v := range m.Images[i].Center() {
			low[k], high[k] = min(low[k], v), max(high[k], v)
		}
	}
	margin := max(high[0]-low[0], high[1]-low[1], high[2]-low[2]) / 2
	if !(margin > 0) {
		margin = 1
	}
	out, next := &scene.Reconstruction{Cameras: m.Cameras, Images: m.Images, Points3D: slices.Clone(m.Points3D)}, uint64(1)
	for i := range m.Points3D {
		next = max(next, m.Points3D[i].Point3DID+1)
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for tries := 0; len(out.Points3D) < n && tries < 50*n; tries++ {
		var x [3]float64
		for k := range x {
			x[k] = low[k] - margin + rng.Float64()*(high[k]-low[k]+2*margin)
		}
		if slices.ContainsFunc(m.Images, func(im scene.Image) bool { return sees(m.Camera(im.CameraID), &im, x) }) {
			out.Points3D = append(out.Points3D, scene.Point3D{Point3DID: next + uint64(len(out.Points3D)), XYZ: x, RGB: [3]uint8{128, 128, 128}, Error: -1})
		}
	}
	return out
}

// sees says whether a point is in the picture of a camera, whose distortion is left out of account.
func sees(c *scene.Camera, im *scene.Image, x [3]float64) bool {
	p := im.CamFromWorld.Apply(x)
	fx, fy, cx, cy := c.Intrinsics()
	u, v := fx*p[0]/p[2]+cx, fy*p[1]/p[2]+cy
	return p[2] > 0 && u >= 0 && v >= 0 && u < float64(c.Width) && v < float64(c.Height)
}
