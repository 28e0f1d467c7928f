package scene

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// moved returns the reconstruction's poses seen from another world frame: y = s·R·x + t.
func moved(r *Reconstruction, s Similarity) *Reconstruction {
	out := &Reconstruction{Cameras: r.Cameras}
	for i := range r.Images {
		im := r.Images[i]
		im.CamFromWorld = Rigid3FromCenter(mulMat(im.CamFromWorld.Matrix(), transpose(s.Rotation)), s.Apply(im.Center()))
		out.Images = append(out.Images, im)
	}
	return out
}

func TestCompareUndoesASimilarity(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := range 200 {
		truth := synthetic(3+trial%9, uint64(trial))
		want := Similarity{Scale: math.Exp(rng.NormFloat64()), Rotation: QuaternionMatrix(randomQuaternion(rng)),
			Translation: [3]float64{rng.NormFloat64() * 10, rng.NormFloat64(), 3}}
		inverse := Similarity{Scale: 1 / want.Scale, Rotation: transpose(want.Rotation)}
		inverse.Translation = inverse.Apply([3]float64{-want.Translation[0], -want.Translation[1], -want.Translation[2]})
		c, err := Compare(moved(truth, inverse), truth)
		if err != nil {
			t.Fatal(err)
		}
		if !(c.PositionMax < 1e-9 && c.RotationMaxDeg < 1e-6 && c.PositionRMSE <= c.PositionMax && c.RotationMedianDeg <= c.RotationMaxDeg) {
			t.Fatalf("trial %d: %+v", trial, c)
		}
		if !(math.Abs(c.Similarity.Scale-want.Scale) < 1e-9*want.Scale) || c.Images != len(truth.Images) {
			t.Fatalf("trial %d: scale %v, want %v; %d images", trial, c.Similarity.Scale, want.Scale, c.Images)
		}
	}
}

// One camera of ten is moved by 1: no similarity can hide it, and the numbers have known bounds.
func TestCompareMeasuresOneWrongCamera(t *testing.T) {
	truth := synthetic(10, 11)
	est := moved(truth, Similarity{Scale: 1, Rotation: QuaternionMatrix([4]float64{1, 0, 0, 0})})
	center := est.Images[4].Center()
	center[0]++
	tilt := QuaternionMatrix([4]float64{math.Cos(math.Pi / 36), math.Sin(math.Pi / 36), 0, 0}) // 10°
	est.Images[4].CamFromWorld = Rigid3FromCenter(mulMat(tilt, est.Images[4].CamFromWorld.Matrix()), center)
	c, err := Compare(est, truth)
	if err != nil {
		t.Fatal(err)
	}
	// The identity would leave an RMSE of 1/√10; the best fit leaves less, but most of it.
	if !(c.PositionRMSE > 0.15 && c.PositionRMSE < 1/math.Sqrt(10)) || c.WorstPositionImage != truth.Images[4].Name {
		t.Errorf("RMSE %v, worst %q", c.PositionRMSE, c.WorstPositionImage)
	}
	if !(c.RotationMaxDeg > 5 && c.RotationMaxDeg < 25 && c.RotationMedianDeg < c.RotationMaxDeg) {
		t.Errorf("rotations: median %v°, max %v°", c.RotationMedianDeg, c.RotationMaxDeg)
	}
	if !(math.Abs(c.PositionRMSEPct-100*c.PositionRMSE/c.BoxDiagonal) < 1e-12) {
		t.Errorf("%v %% of %v", c.PositionRMSEPct, c.BoxDiagonal)
	}
}

// Least squares: no similarity near the found one has a smaller residual.
func TestAlignIsALocalMinimum(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	src, dst := make([][3]float64, 12), make([][3]float64, 12)
	for i := range src {
		for k := range 3 {
			src[i][k] = rng.NormFloat64()
			dst[i][k] = 2*src[i][(k+1)%3] + 0.3*rng.NormFloat64()
		}
	}
	best, err := align(src, dst, nil)
	if err != nil {
		t.Fatal(err)
	}
	residual := func(s Similarity) (sum float64) {
		for i := range src {
			d := norm(sub(s.Apply(src[i]), dst[i]))
			sum += d * d
		}
		return sum
	}
	atBest := residual(best)
	for range 500 {
		near := best
		near.Scale *= 1 + 0.01*rng.NormFloat64()
		near.Rotation = mulMat(QuaternionMatrix([4]float64{1, 0.01 * rng.NormFloat64(), 0.01 * rng.NormFloat64(), 0.01 * rng.NormFloat64()}), near.Rotation)
		near.Translation[0] += 0.01 * rng.NormFloat64()
		if !(residual(near) >= atBest) {
			t.Fatalf("a neighbour is better: %v < %v", residual(near), atBest)
		}
	}
}

// A mirrored capture has no rotation that fits; the result must still be a rotation.
func TestAlignNeverReflects(t *testing.T) {
	truth := synthetic(8, 12)
	src, dst := make([][3]float64, 8), make([][3]float64, 8)
	for i := range src {
		src[i] = truth.Images[i].Center()
		dst[i] = [3]float64{src[i][0], src[i][1], -src[i][2]}
	}
	s, err := align(src, dst, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := determinant(s.Rotation); !(math.Abs(d-1) < 1e-9) {
		t.Errorf("the determinant is %v", d)
	}
}

func TestCompareOnALine(t *testing.T) {
	truth := synthetic(6, 13)
	for i := range truth.Images {
		truth.Images[i].CamFromWorld = Rigid3FromCenter(truth.Images[i].CamFromWorld.Matrix(), [3]float64{float64(i * i), 0, 0})
	}
	est := moved(truth, Similarity{Scale: 0.1, Rotation: QuaternionMatrix([4]float64{0.1, 0.2, 0.3, 0.4})})
	c, err := Compare(est, truth)
	if err != nil {
		t.Fatal(err)
	}
	if !(c.PositionMax < 1e-9 && c.RotationMaxDeg < 1e-6) {
		t.Errorf("%+v", c)
	}
}

func TestCompareNeedsImages(t *testing.T) {
	truth := synthetic(5, 14)
	two := &Reconstruction{Cameras: truth.Cameras, Images: truth.Images[:2]}
	if _, err := Compare(two, truth); err == nil || !strings.Contains(err.Error(), "2 common images") {
		t.Errorf("two images: %v", err)
	}
	same := moved(truth, Similarity{Scale: 0, Rotation: QuaternionMatrix([4]float64{1, 0, 0, 0})})
	if _, err := Compare(same, truth); err == nil || !strings.Contains(err.Error(), "coincide") {
		t.Errorf("coinciding centres: %v", err)
	}
	renamed := moved(truth, Similarity{Scale: 1, Rotation: QuaternionMatrix([4]float64{1, 0, 0, 0})})
	for i := range renamed.Images {
		renamed.Images[i].Name = "frames/" + stem(renamed.Images[i].Name) + ".png"
	}
	if c, err := Compare(renamed, truth); err != nil || c.Images != 5 {
		t.Errorf("other folder and extension: %d images, %v", c.Images, err)
	}
}

func TestReadTransforms(t *testing.T) {
	// A camera at (1, 2, 3) with OpenGL axes equal to the world's looks along -z with y up. In COLMAP's frame, a point
	// two units before it (z = 1) is at depth 2, and a higher point is at negative y.
	file := filepath.Join(t.TempDir(), "transforms.json")
	text := `{"fl_x": 500, "cx": 320, "cy": 240, "w": 640, "h": 480, "frames": [
	  {"file_path": "./images/b.jpg", "transform_matrix": [[1,0,0,1],[0,1,0,2],[0,0,1,3],[0,0,0,1]]},
	  {"file_path": "./images/a.jpg", "transform_matrix": [[0,0,1,0],[1,0,0,0],[0,1,0,0],[0,0,0,1]], "fl_x": 7, "w": 64, "h": 48}]}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := ReadTransforms(file)
	if err != nil {
		t.Fatal(err)
	}
	b := r.ImageByName("images/b.jpg")
	if b == nil || b.ImageID != 2 || len(r.Cameras) != 2 {
		t.Fatalf("%+v", r)
	}
	if got := b.CamFromWorld.Apply([3]float64{1, 2.5, 1}); !(norm(sub(got, [3]float64{0, -0.5, 2})) < 1e-12) {
		t.Errorf("the point is at %v in the camera frame", got)
	}
	if got := b.Center(); !(norm(sub(got, [3]float64{1, 2, 3})) < 1e-12) {
		t.Errorf("the centre is %v", got)
	}
	if c := r.Camera(b.CameraID); c.Model != OpenCV || c.Params[1] != 500 {
		t.Errorf("camera %+v", c)
	}
	for name, damaged := range map[string]string{
		"reflection":     strings.Replace(text, "[[1,0,0,1]", "[[-1,0,0,1]", 1),
		"not a rotation": strings.Replace(text, "[[1,0,0,1]", "[[2,0,0,1]", 1),
		"not 4×4":        strings.Replace(text, ",[0,0,1,3],[0,0,0,1]]", "]", 1),
		"focal length":   strings.Replace(text, `"fl_x": 500`, `"fl_x": 0`, 1),
	} {
		if _, err := ParseTransforms([]byte(damaged)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
