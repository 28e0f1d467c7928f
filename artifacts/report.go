package artifacts

import (
	"encoding/json"
	"fmt"

	"github.com/splatworks/splatworks/pipeline"
)

// ReportDocument is report.json: what a person or a script wants to know about a finished request. Every stage records the
// part it knows (StageRecord.Report), and the parts laid over one another make the whole.
type ReportDocument struct {
	Status    pipeline.Status    `json:"status,omitempty"`
	RequestID string             `json:"request_id,omitempty"`
	Options   *pipeline.Options  `json:"options,omitempty"`
	Images    *ImagesReport      `json:"images,omitempty"`
	Plan      *pipeline.Plan     `json:"plan,omitempty"` // what was expected before the work started, and what it took
	SfM       *SfMReport         `json:"sfm,omitempty"`
	Depth     *DepthReportPart   `json:"depth,omitempty"`
	Training  *TrainingReport    `json:"training,omitempty"`
	Cleanup   any                `json:"cleanup,omitempty"` // what was removed from the trained splat, by reason, and what each step cost
	Splat     *SplatReport       `json:"splat,omitempty"`
	Mesh      any                `json:"mesh,omitempty"` // its size, whether it is watertight, how much of it images show
	Quality   *QualityReport     `json:"quality,omitempty"`
	Stages    []StageRecord      `json:"stages,omitempty"`
	CostUSD   float64            `json:"cost_usd,omitempty"` // of all stages, an estimate; absent where workers have no price
	Warnings  []pipeline.Warning `json:"warnings,omitzero"`
}

// ImagesReport counts frames or photos.
type ImagesReport struct {
	Input      int     `json:"input,omitempty"`      // in the capture
	Used       int     `json:"used,omitempty"`       // chosen by filter
	Registered int     `json:"registered,omitempty"` // posed by structure from motion
	DurationS  float64 `json:"duration_s,omitempty"` // of the video; absent for photos
}

// SfMReport describes the model that was used.
type SfMReport struct {
	Mapper              string  `json:"mapper"` // COLMAP's command: global_mapper or mapper
	Points              int     `json:"points"`
	ReprojectionErrorPx float64 `json:"reprojection_error_px"`
	MeanTrackLength     float64 `json:"mean_track_length"`
	Matcher             string  `json:"matcher,omitempty"`
	Reason              string  `json:"reason,omitempty"`     // why this model, for people
	World               any     `json:"world,omitempty"`      // which way is up, what a unit is: conventions.md
	Candidates          any     `json:"candidates,omitempty"` // every model that was tried, with its scores
	Agreement           any     `json:"agreement,omitempty"`  // between the two mappers
	// Tries are all ways that were gone to the poses, in this order.
	Tries []PosesTry `json:"tries,omitempty"`
}

// PosesTry is one way that was gone to the poses.
type PosesTry struct {
	What       string  `json:"what"`
	LongEdgePx int     `json:"long_edge_px"` // longer side at which features were looked for
	Features   int     `json:"features"`     // most of an image
	Search     string  `json:"search"`       // plain, lenient or affine
	Matcher    string  `json:"matcher,omitempty"`
	Images     int     `json:"images"`
	Registered int     `json:"registered"`
	Points     int     `json:"points"`
	WallS      float64 `json:"wall_s"`
	CPUS       float64 `json:"cpu_s"`
	// PlannedWallS was expected once the features were counted.
	PlannedWallS float64 `json:"planned_wall_s,omitempty"`
	Disagree     bool    `json:"disagree,omitempty"` // the mappers, and neither is clearly the wrong one
	Failure      string  `json:"failure,omitempty"`  // code
	Chosen       bool    `json:"chosen,omitempty"`
}

// DepthReportPart says whether depth maps exist, and if not, why.
type DepthReportPart struct {
	Model       string  `json:"model,omitempty"`
	License     string  `json:"license,omitempty"`  // of the model, SPDX
	Provider    string  `json:"provider,omitempty"` // what computed: cpu, cuda, ...
	Skipped     string  `json:"skipped,omitempty"`  // in one sentence, why there are no maps
	Images      int     `json:"images,omitempty"`   // that the model was asked about
	Aligned     int     `json:"aligned"`            // images whose depth agrees with the sparse points
	MedianScale float64 `json:"median_scale,omitempty"`
	Residual    float64 `json:"residual,omitempty"`   // median over aligned images of their median |z/z_sfm - 1|
	Alignments  any     `json:"alignments,omitempty"` // of every image: scale, shift, quality, or why it was left out
}

// ProcessorTrained is the device of a training that no graphics card made.
const ProcessorTrained = "processor"

// TrainingReport is what came of the options that say what training is to expect of the capture.
type TrainingReport struct {
	BackgroundMode string  `json:"background_mode"`
	SkyGaussians   int     `json:"sky_gaussians"`            // far behind the scene, at the start
	RefinedPoses   int     `json:"refined_poses,omitempty"`  // cameras that moved along
	RefinedDeg     float64 `json:"refined_deg,omitempty"`    // median of their turns
	ExposureStops  float64 `json:"exposure_stops,omitempty"` // the most that an image was brighter or darker than the mean
	PartlyHidden   int     `json:"partly_hidden,omitempty"`  // images of which a part did not count, since others show something else there
	Device         string  `json:"device,omitempty"`         // what trained: ProcessorTrained, or the name of a graphics card
	DeviceReason   string  `json:"device_reason,omitempty"`  // why
}

// SplatReport describes the result.
type SplatReport struct {
	Gaussians  int    `json:"gaussians"`
	Cropped    int    `json:"cropped,omitempty"` // Gaussians that were outside the box that was asked for
	SHDegree   int    `json:"sh_degree"`
	Bytes      int64  `json:"bytes,omitempty"` // of splat.ply
	RenderMode string `json:"render_mode,omitempty"`
	View       *View  `json:"view,omitempty"`
}

// View is where the film starts and the thumbnail was taken: a good first view for a viewer. It is in the world of the splat
// (docs/conventions.md); the horizon is level.
type View struct {
	Position [3]float64 `json:"position"`
	Target   [3]float64 `json:"target"`  // in the middle of the picture, at the median depth of what is seen
	FOVDeg   float64    `json:"fov_deg"` // of the picture's longer side
}

// QualityReport is measured on images that training never saw.
type QualityReport struct {
	PSNRdB float64 `json:"psnr_db"`
	// CorrectedPSNRdB allows each channel of each image a gain and an offset of its own, so that the camera's exposure and white
	// balance do not count.
	CorrectedPSNRdB float64 `json:"corrected_psnr_db,omitempty"`
	SSIM            float64 `json:"ssim"`
	HeldOut         int     `json:"held_out"`        // images measured; 0 means that the training images were, for want of enough
	Trial           bool    `json:"trial,omitempty"` // they were left out of a shorter training before, since the splat needed every image
	Width           int     `json:"width"`
	Height          int     `json:"height"`
	Iterations      int     `json:"iterations,omitempty"`
	Pairs           []Pair  `json:"pairs,omitempty"` // some of the measured views, worst and best among them: the rows of pairs.jpg
}

// Pair is a measured view in pairs.jpg, in pixels from the upper left corner: the photograph is at (0, Y), what the splat shows there at (X, Y).
type Pair struct {
	Name   string  `json:"name"`
	PSNRdB float64 `json:"psnr_db"`
	SSIM   float64 `json:"ssim"`
	X      int     `json:"x"`
	Y      int     `json:"y"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
}

// NewReport lays the stages' parts over one another.
func NewReport(r pipeline.Request, history []StageRecord) (*ReportDocument, error) {
	options := r.Options.WithDefaults()
	d := &ReportDocument{RequestID: r.ID, Options: &options, Warnings: []pipeline.Warning{}}
	for _, record := range history {
		if len(record.Report) > 0 {
			if err := json.Unmarshal(record.Report, d); err != nil {
				return nil, fmt.Errorf("report of %s: %w", record.Stage, err)
			}
		}
		d.Warnings = append(d.Warnings, record.Warnings...)
		record.Report, record.Warnings = nil, nil // said once, above
		d.Stages = append(d.Stages, record)
		d.CostUSD += record.Cost()
	}
	if d.Plan != nil {
		for i := range d.Stages {
			d.Plan.Took(d.Stages[i].Stage, d.Stages[i].WallS, d.Stages[i].PeakRSSBytes)
		}
	}
	d.Status = pipeline.Completed
	return d, nil
}
