package preprocess

import (
	"bytes"
	"context"
	"math"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
)

// publishPoints leaves the cameras and the sparse points as a splat, so that whatever shows splats shows them in 3D before there is one.
func publishPoints(ctx context.Context, job *stage.Job, model *scene.Reconstruction) error {
	var file bytes.Buffer
	if err := pointCloud(model).WriteCompressedPLY(&file); err != nil {
		return err
	}
	return job.PublishFrom(ctx, artifacts.Points, &file)
}

const (
	mostPoints  = 50_000 // of the sparse points, every k-th otherwise
	mostCameras = 400
	nearby      = 4 // half sides of the window around cameras and points: what is farther away would hide the rest when all is framed

	pointSize     = 0.0025 // standard deviation, in half sides of the window
	pyramidLength = 0.06
	lineWidth     = 0.0012
	lineParts     = 3 // Gaussians one after another
)

// pointCloud draws each point as a ball and each camera as a pyramid of needles.
func pointCloud(r *scene.Reconstruction) *splat.Cloud {
	middle, reach := r.Window()
	drawn := splat.New(0, 0, splat.Classic)
	step := 1 + (len(r.Points3D)-1)/mostPoints
	for i := 0; i < len(r.Points3D); i += step {
		p := &r.Points3D[i]
		if distance(p.XYZ, middle) <= nearby*reach {
			addBlob(drawn, p.XYZ, [4]float64{1}, [3]float64{pointSize * reach, pointSize * reach, pointSize * reach}, p.RGB)
		}
	}
	lines := r.CameraLines(pyramidLength * reach)
	const each = 8 // lines of a camera
	step = each * (1 + (len(r.Images)-1)/mostCameras)
	for i := 0; i < len(lines); i += step {
		for _, l := range lines[i : i+each] {
			addLine(drawn, l, lineWidth*reach)
		}
	}
	return drawn
}

// addLine draws a line by needles. Neighbours are a part of it apart and half as wide, so that together they are even.
func addLine(c *splat.Cloud, l scene.Line, width float64) {
	length := distance(l.From, l.To)
	if !(length > 0) {
		return
	}
	along := [3]float64{}
	for k := range 3 {
		along[k] = (l.To[k] - l.From[k]) / length
	}
	for part := range lineParts {
		t := (float64(part) + 0.5) / lineParts
		at := [3]float64{}
		for k := range 3 {
			at[k] = l.From[k] + t*(l.To[k]-l.From[k])
		}
		addBlob(c, at, turnFromX(along), [3]float64{length / (2 * lineParts), width, width}, [3]uint8{l.Ink.R, l.Ink.G, l.Ink.B})
	}
}

// turnFromX is the shortest rotation from the x axis to a direction: w, x, y, z.
func turnFromX(d [3]float64) [4]float64 {
	if d[0] < -0.999999 {
		return [4]float64{0, 0, 0, 1}
	}
	q := [4]float64{1 + d[0], 0, -d[2], d[1]} // 1 + x·d, x × d
	n := math.Sqrt(q[0]*q[0] + q[2]*q[2] + q[3]*q[3])
	return [4]float64{q[0] / n, 0, q[2] / n, q[3] / n}
}

// opaque is the logit of an opacity of 0.97.
const opaque = 3.5

func addBlob(c *splat.Cloud, at [3]float64, turn [4]float64, size [3]float64, rgb [3]uint8) {
	for k := range 3 {
		c.Means = append(c.Means, float32(at[k]))
		c.LogScales = append(c.LogScales, float32(math.Log(size[k])))
		c.DC = append(c.DC, float32((float64(rgb[k])/255-0.5)/splat.C0))
	}
	for _, v := range turn {
		c.Quats = append(c.Quats, float32(v))
	}
	c.Opacities = append(c.Opacities, opaque)
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}
