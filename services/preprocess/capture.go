package preprocess

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/posed"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// capture is the upload, opened, with what filter chose from it and says about it.
type capture struct {
	*frames.Capture
	selection choose.Selection
	report    frames.Report
}

func (c Config) open(ctx context.Context, job *stage.Job) (*capture, error) {
	var opened capture
	if err := job.FetchJSON(ctx, artifacts.Selection, &opened.selection); err != nil {
		return nil, err
	}
	if err := job.FetchJSON(ctx, artifacts.CaptureReport, &opened.report); err != nil {
		return nil, err
	}
	unpacked := filepath.Join(job.Dir, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return nil, err
	}
	var err error
	if opened.Capture, err = c.openUpload(ctx, job, unpacked); err != nil {
		return nil, err
	}
	if err := opened.Project(frames.Projection(job.Options.Projection)); err != nil {
		_ = opened.Close()
		return nil, err
	}
	return &opened, nil
}

// openUpload reads a video and unpacks an archive from storage, and fetches every other upload.
func (c Config) openUpload(ctx context.Context, job *stage.Job, unpacked string) (*frames.Capture, error) {
	job.Progress(pipeline.Progress{Step: "opening the upload"})
	room, err := job.Room()
	if err != nil {
		return nil, err
	}
	upload, err := job.OpenUpload(ctx)
	if err != nil {
		return nil, err
	}
	if upload != nil {
		capture, err := frames.OpenFrom(ctx, c.Tools, upload, unpacked, c.Limits.Within(room))
		if !errors.Is(err, frames.ErrNeedsFile) {
			return capture, err
		}
	}
	job.Progress(pipeline.Progress{Step: "fetching the upload"})
	file, err := job.FetchUpload(ctx)
	if err != nil {
		return nil, err
	}
	return frames.Open(ctx, c.Tools, file, unpacked, c.Limits)
}

// extract writes the selected images, and their masks beside them, into a folder below dir.
func (c *capture) extract(ctx context.Context, pace *pace, dir string, edgePx int) (folder string, images []frames.Image, err error) {
	folder = filepath.Join(dir, "images")
	images, err = c.Extract(ctx, c.selection, folder, edgePx, func(done, total int) {
		pace.extracting(pipeline.Progress{Step: "extracting frames", Done: float64(done), Total: float64(total), Message: fmt.Sprintf("%d of %d", done, total)},
			float64(done)/float64(max(total, 1)))
	})
	return folder, images, err
}

// inputs is what is known of the images, for COLMAP, and where their places are measured from.
func (c *capture) inputs(images []frames.Image) ([]colmap.ImageInput, scene.Geodetic) {
	inputs := make([]colmap.ImageInput, len(images))
	var places []scene.Geodetic
	var placed []int
	for i, m := range images {
		inputs[i] = colmap.ImageInput{Name: m.Name, Camera: m.Camera, FocalLengthPx: m.FocalLengthPx, Frame: c.IsFrame(m)}
		if v := m.View; v != nil {
			inputs[i].Sensor = &colmap.Sensor{Number: v.Number, Frame: v.Of, CamFromRig: v.CamFromRig}
		}
		if m.GPS != nil {
			places = append(places, scene.Geodetic{LatitudeDeg: m.GPS.LatitudeDeg, LongitudeDeg: m.GPS.LongitudeDeg, AltitudeM: m.GPS.AltitudeM})
			placed = append(placed, i)
		}
	}
	enu, origin := scene.EastNorthUp(places)
	for i, at := range enu {
		inputs[placed[i]].ENU = &at
	}
	return inputs, origin
}

// given are the poses that came with the capture, of an attempt's images, with points of its depth maps.
func (c *capture) given(job *stage.Job, a attempt) (*colmap.Given, error) {
	known, err := c.Posed(a.images)
	if err != nil {
		return nil, err
	}
	if bad := posed.AddDepthPoints(known.Model, a.folder, known.Depth); bad > 0 {
		job.Warn(pipeline.Warning{Code: "depth_unreadable", Message: fmt.Sprintf("%d of %d depth maps could not be read and were left out.", bad, len(known.Depth)),
			Advice: "Depth maps are read as PNG of 16 bits, with their confidence in a PNG of the same size."})
	}
	return &colmap.Given{From: c.Poses(), Model: known.Model, Turned: known.Turned}, nil
}

// mostImages is how many a second try may use where the client set no bound.
const mostImages = 600

// twice is how many frames a second try should choose, each of which gives a number of images, and whether the capture and the
// client's limit of images allow clearly more than before.
func twice(s choose.Selection, views, clientsLimit int) (wanted int, ok bool) {
	most := mostImages
	if clientsLimit > 0 {
		most = clientsLimit
	}
	before := len(s.Frames)
	wanted = min(2*before, most/views)
	return wanted, clearlyMore(min(wanted, before+s.Thinned+s.Blurred), before)
}

func clearlyMore(images, before int) bool { return 4*images >= 5*before }

// denser chooses again, more frames than before; ok is false when there are none. Where the camera moved too far between
// frames for their overlap, those between help.
func (c *capture) denser(ctx context.Context, job *stage.Job) (ok bool, err error) {
	views := max(c.report.Views, 1)
	wanted, ok := twice(c.selection, views, job.Request.Options.MaxImages)
	if !ok {
		return false, nil
	}
	selection, _, err := c.Choose(ctx, choose.Options{MaxImages: wanted * views, KeepAll: wanted}, func(done, expected int) {
		job.Progress(pipeline.Progress{Step: "looking for more frames", Done: float64(done), Total: float64(expected)})
	})
	if err != nil || !clearlyMore(len(selection.Frames), len(c.selection.Frames)) {
		return false, ignoreRefusal(err)
	}
	c.selection = selection
	return true, nil
}
