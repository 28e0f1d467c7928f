package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are a client's wishes. They travel with the request and are part of every manifest. What each means, and which values it
// takes, is in OptionTable.
type Options struct {
	Preset       Preset   `json:"preset,omitempty"`
	TrainBudgetS float64  `json:"train_budget_s,omitempty"`
	MaxImages    int      `json:"max_images,omitempty"`
	LongEdgePx   int      `json:"long_edge_px,omitempty"`
	MaxGaussians int      `json:"max_gaussians,omitempty"`
	Seed         uint64   `json:"seed,omitempty"`
	Depth        string   `json:"depth,omitempty"`
	Projection   string   `json:"projection,omitempty"`
	Outputs      []string `json:"outputs,omitzero"` // nil: DefaultOutputs; empty: no others

	Cleanup string `json:"cleanup,omitempty"`
	Crop    string `json:"crop,omitempty"`
	Up      string `json:"up,omitempty"`
	Scale   string `json:"scale,omitempty"`

	// What training is to expect of the capture. Each costs time or quality where it does not apply (docs/captures.md).
	Sky                string `json:"sky,omitempty"`
	BackgroundMode     string `json:"background_mode,omitempty"`
	RefinePoses        bool   `json:"refine_poses,omitempty"`
	CompensateExposure bool   `json:"compensate_exposure,omitempty"`
}

// Preset is how much work a client wants spent on a request.
type Preset string

const (
	Preview  Preset = "preview"
	Standard Preset = "standard"
	High     Preset = "high"
)

// Values of Options.Depth that name no model.
const (
	DepthAuto = "auto"
	DepthOff  = "off"
)

// Values of Options.Projection.
const (
	ProjectionAuto   = "auto"
	ProjectionFlat   = "flat"   // what an ordinary lens sees
	ProjectionSphere = "sphere" // all directions: equirectangular
)

// Values of Options.Sky: whether Gaussians far behind the scene represent its sky.
const (
	SkyAuto = "auto"
	SkyOn   = "on"
	SkyOff  = "off"
)

// Values of Options.Cleanup: what is removed from the trained splat.
const (
	CleanupOff    = "off"
	CleanupSafe   = "safe"   // what no image supports, or the images are better without
	CleanupStrong = "strong" // and what they hardly miss
)

// CropNone is the value of Options.Crop that is no box.
const CropNone = "none"

// Values of Options.Up that are no direction: what decides it.
const (
	UpAuto    = "auto"    // GPS where it fits, else the cameras
	UpCameras = "cameras" // people hold them level
)

// ScaleAuto is the value of Options.Scale that is no distance: GPS decides where it fits.
const ScaleAuto = "auto"

// Values of Options.BackgroundMode.
const (
	BackgroundFixed  = "fixed"
	BackgroundRandom = "random"
	BackgroundEmpty  = "empty"
)

// Values of Options.Outputs that are no formats of the splat.
const (
	OutputViewer = "viewer" // a page for browsers with the splat in it
	OutputMesh   = "mesh"   // its surface, as files of its own
)

// OutputFormats are the values of Options.Outputs: the names of engines/splat, OutputViewer and OutputMesh.
func OutputFormats() []string {
	return []string{"spz", "spz-v3", "sog", "glb", "compressed-ply", "streamed-sog", "3d-tiles", OutputViewer, OutputMesh}
}

// DefaultOutputs open in every web viewer that does not read PLY, and without any.
func DefaultOutputs() []string { return []string{"spz", "sog", OutputViewer} }

// Limits of Options in any deployment; MinTrainBudgetS is the shortest training that makes anything.
const (
	MinTrainBudgetS = 1
	MaxTrainBudgetS = 24 * 3600
	MinImages       = 3
	MaxImages       = 2000
	MinLongEdgePx   = 64
	MaxLongEdgePx   = 4096
	MinGaussians    = 1000
	MaxGaussians    = 3_000_000
)

// Option is a row of the table of options. Validation, defaults, the flags of the command line, the OpenAPI documents and the table
// in docs/api.md come from it.
type Option struct {
	Name     string // in JSON
	Sentence string // what it does, for everybody: help, OpenAPI and docs/api.md
	Values   []string
	Pattern  string  // of a string that may be more than a few values
	Rule     string  // Pattern in words, after "must"
	Min, Max float64 // of a number, unless it is 0 or left out; Max 0: no bound
	Default  any     // what WithDefaults fills in; nil: 0, false, or what the preset says
	// Field points to the option in o: *string, *float64, *int, *uint64, *bool or *[]string.
	Field func(o *Options) any
}

// OptionTable has a row for every field of Options.
func OptionTable() []Option {
	return []Option{
		{Name: "preset", Field: func(o *Options) any { return (*string)(&o.Preset) },
			Values: []string{string(Preview), string(Standard), string(High)}, Default: string(Standard),
			Sentence: "How much work to spend."},
		{Name: "train_budget_s", Field: func(o *Options) any { return &o.TrainBudgetS }, Min: MinTrainBudgetS, Max: MaxTrainBudgetS,
			Sentence: "Seconds of training instead of the preset's own. A deployment may allow less."},
		{Name: "max_images", Field: func(o *Options) any { return &o.MaxImages }, Min: MinImages, Max: MaxImages, Default: 300,
			Sentence: "Frames or photos used at most."},
		{Name: "long_edge_px", Field: func(o *Options) any { return &o.LongEdgePx }, Min: MinLongEdgePx, Max: MaxLongEdgePx,
			Sentence: "Longer side of the training images instead of the preset's own, in pixels."},
		{Name: "max_gaussians", Field: func(o *Options) any { return &o.MaxGaussians }, Min: MinGaussians, Max: MaxGaussians,
			Sentence: "Gaussians of the splat at most, instead of as many as its training has time for; fewer where the memory has no room for them."},
		{Name: "seed", Field: func(o *Options) any { return &o.Seed },
			Sentence: "Random seed of training."},
		{Name: "depth", Field: func(o *Options) any { return &o.Depth }, Pattern: "^[a-z0-9_-][a-z0-9._-]{0,63}$", Default: DepthAuto,
			Rule:     "be auto, off or the name of a model: up to 64 lower-case letters, digits, dots, dashes and underscores",
			Sentence: "Depth maps for training. auto: of the default model, if there is one; off: none; or a model by its name."},
		{Name: "outputs", Field: func(o *Options) any { return &o.Outputs }, Values: OutputFormats(), Default: DefaultOutputs(),
			Sentence: "What is made of the splat besides PLY: other formats; streamed-sog and 3d-tiles, levels of detail in a zip (streamed-sog comes with sog from a million Gaussians on); viewer, a page with the splat in it, which a browser opens from a disk; mesh, its surface as a textured mesh (minutes more); an empty list: PLY alone."},
		{Name: "projection", Field: func(o *Options) any { return &o.Projection },
			Values: []string{ProjectionAuto, ProjectionFlat, ProjectionSphere}, Default: ProjectionAuto,
			Sentence: "What pictures that are twice as wide as high show. auto: what the metadata say, or else what the pictures of a video look like; flat: what an ordinary lens sees; sphere: all directions (equirectangular)."},
		{Name: "sky", Field: func(o *Options) any { return &o.Sky }, Values: []string{SkyAuto, SkyOn, SkyOff}, Default: SkyAuto,
			Sentence: "Outdoors: Gaussians far behind the scene for its sky. auto: where depth maps see one; on: wherever images show no sparse points."},
		{Name: "background_mode", Field: func(o *Options) any { return &o.BackgroundMode },
			Values: []string{BackgroundFixed, BackgroundRandom, BackgroundEmpty}, Default: BackgroundFixed,
			Sentence: "What training draws behind the splat. fixed: black; random: another colour each time, which closes dark holes in what is solid; empty: the same, and the subject is cut out along its masks or the transparency of its photos."},
		{Name: "cleanup", Field: func(o *Options) any { return &o.Cleanup },
			Values: []string{CleanupOff, CleanupSafe, CleanupStrong}, Default: CleanupSafe,
			Sentence: "What to remove from the trained splat. off: nothing; safe: what no image supports, or the images are better without; strong: also what they hardly miss, up to half of it, and what is left is trained for up to half as long again."},
		{Name: "crop", Field: func(o *Options) any { return &o.Crop }, Pattern: "^(none|" + number + "(," + number + "){5})$", Default: CropNone,
			Rule:     "be none or six numbers with commas between them: the lowest and the highest corner of a box",
			Sentence: "Box outside of which the splat is cut off. none; or its lowest and its highest corner as six numbers with commas, like -1,-1,-1,1,0.5,1: x right, y down, z forward from the first image, from the middle of what the images look at, in the units of the result (sfm.world in its report)."},
		{Name: "up", Field: func(o *Options) any { return &o.Up }, Pattern: "^(auto|cameras|" + number + "(," + number + "){2})$", Default: UpAuto,
			Rule:     "be auto, cameras or three numbers with commas between them: a direction",
			Sentence: "Which way is up. auto: what GPS says where it fits, else cameras; cameras: people hold them level; or the direction that is to be up, as three numbers with commas in the axes of the result without this option (x right, y down, z forward from the first image)."},
		{Name: "scale", Field: func(o *Options) any { return &o.Scale }, Pattern: "^(auto|" + positive + "=(" + place + "/" + place + "|" + sights + "/" + sights + "))$", Default: ScaleAuto,
			Rule:     "be auto, or a distance above 0 and its two ends: METRES=END/END, each end as IMAGE@X,Y+IMAGE@X,Y or, both, as X,Y,Z",
			Sentence: "How large it is. auto: what GPS says where it fits; or a distance in metres and its two ends, like 1.2=a.jpg@812,430+b.jpg@790,441/a.jpg@1020,455+b.jpg@1003,462: each end where two images show it, in pixels of the pictures as sent (frames of a video are frame_000001.jpg and so on, as in sparse); or, like 1.2=0,0,1/0.3,0,1, as points in the axes and units of the result without this option."},
		{Name: "refine_poses", Field: func(o *Options) any { return &o.RefinePoses },
			Sentence: "Move the cameras along with the Gaussians, where the reprojection error is above a pixel. A step takes a third longer."},
		{Name: "compensate_exposure", Field: func(o *Options) any { return &o.CompensateExposure },
			Sentence: "Even out brightness and white balance between images in any case; where images that see the same clearly differ it is done without asking."},
	}
}

// Patterns: a decimal number, one above 0, a point, and what two images show at a place.
const (
	number   = `-?[0-9]{1,9}(\.[0-9]{1,9})?`
	positive = `(0{0,3}[1-9][0-9]{0,8}(\.[0-9]{1,9})?|0\.[0-9]{0,8}[1-9][0-9]{0,8})`
	place    = number + "," + number + "," + number
	sights   = `[^/]{1,255}@` + pixel + `\+[^/]{1,255}@` + pixel
	pixel    = `[0-9]{1,6}(\.[0-9]{1,6})?,[0-9]{1,6}(\.[0-9]{1,6})?`
)

// CropBox is the box of Crop, ok where there is one.
func (o Options) CropBox() (low, high [3]float64, ok bool) {
	parts := strings.Split(o.Crop, ",")
	if len(parts) != 6 {
		return low, high, false
	}
	var box [6]float64
	for i, part := range parts {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return low, high, false
		}
		box[i] = v
	}
	return [3]float64(box[:3]), [3]float64(box[3:]), true
}

// UpDirection is the direction of Up, ok where it is one.
func (o Options) UpDirection() (up [3]float64, ok bool) {
	up, err := triple(o.Up)
	return up, err == nil
}

// Sight is a place on an image, in pixels of the picture as it was sent.
type Sight struct {
	Image string
	X, Y  float64
}

// Distance is what Scale says: metres between two ends. Each is what two images show or, where there are no images, a point.
type Distance struct {
	Metres float64
	Points [2][3]float64
	Seen   [2][2]Sight
}

// KnownDistance is the distance of Scale, ok where there is one.
func (o Options) KnownDistance() (d Distance, ok bool) {
	metres, ends, ok := strings.Cut(o.Scale, "=")
	if !ok || (Options{Scale: o.Scale}).Validate() != nil {
		return d, false
	}
	d.Metres, _ = strconv.ParseFloat(metres, 64) // the pattern has seen all numbers
	for i, end := range strings.Split(ends, "/") {
		if point, err := triple(end); err == nil {
			d.Points[i] = point
			continue
		}
		parts := sightsOf.FindStringSubmatch(end)
		for k := range 2 {
			s := &d.Seen[i][k]
			s.Image = parts[1+3*k]
			s.X, _ = strconv.ParseFloat(parts[2+3*k], 64)
			s.Y, _ = strconv.ParseFloat(parts[3+3*k], 64)
		}
	}
	return d, true
}

// sightsOf takes the two sights of an end apart.
var sightsOf = regexp.MustCompile(`^(.+)@([0-9.]+),([0-9.]+)\+(.+)@([0-9.]+),([0-9.]+)$`)

// triple reads three numbers with commas between them.
func triple(s string) (v [3]float64, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return v, errors.New("not three numbers")
	}
	for i, part := range parts {
		if v[i], err = strconv.ParseFloat(part, 64); err != nil {
			return v, err
		}
	}
	return v, nil
}

// Validate says what is wrong in words for the client.
func (o Options) Validate() error {
	for _, row := range OptionTable() {
		if err := row.check(row.Field(&o)); err != nil {
			return fmt.Errorf("%s must %w", row.Name, err)
		}
	}
	return nil
}

// check says what a field must be. A field that was left out is right.
func (row Option) check(field any) error {
	switch v := field.(type) {
	case *string:
		return row.checkString(*v)
	case *float64:
		return row.checkNumber(*v)
	case *int:
		return row.checkNumber(float64(*v))
	case *[]string:
		for i, value := range *v {
			if !slices.Contains(row.Values, value) || slices.Contains((*v)[:i], value) {
				return fmt.Errorf("name each of %s once at most, not %q", strings.Join(row.Values, ", "), value)
			}
		}
	}
	return nil
}

func (row Option) checkString(v string) error {
	switch {
	case v == "":
	case row.Values != nil && !slices.Contains(row.Values, v):
		last := len(row.Values) - 1
		return fmt.Errorf("be %s or %s, not %q", strings.Join(row.Values[:last], ", "), row.Values[last], v)
	case row.Pattern != "" && !regexp.MustCompile(row.Pattern).MatchString(v):
		return errors.New(row.Rule)
	}
	return nil
}

func (row Option) checkNumber(v float64) error {
	if v == 0 || v >= row.Min && v <= row.Max {
		return nil
	}
	return fmt.Errorf("be between %g and %.0f, or left out", row.Min, row.Max)
}

// Fits says, in words for the client, whether the training budget of a request that must be done within d leaves a quarter of
// that time for the other stages.
func (o Options) Fits(d time.Duration) error {
	if most := d.Seconds() * 3 / 4; !(o.TrainBudgetS <= most) {
		return fmt.Errorf("train_budget_s must be at most %.0f seconds, since the request has to be done within %.0f", most, d.Seconds())
	}
	return nil
}

// WithDefaults fills what the client left open.
func (o Options) WithDefaults() Options {
	for _, row := range OptionTable() {
		switch field := row.Field(&o).(type) {
		case *string:
			if *field == "" {
				*field, _ = row.Default.(string)
			}
		case *int:
			if *field == 0 {
				*field, _ = row.Default.(int)
			}
		case *[]string:
			if *field == nil {
				*field, _ = row.Default.([]string)
			}
		}
	}
	if o.LongEdgePx == 0 {
		o.LongEdgePx = presets[o.Preset].longEdgePx
	}
	return o
}

// CardLongEdgePx is the size of the images where a graphics card trains, which has time for larger ones than the preset's. o is what
// the client asked for.
func (o Options) CardLongEdgePx() int {
	if o.LongEdgePx > 0 {
		return o.LongEdgePx
	}
	return presets[o.WithDefaults().Preset].cardLongEdgePx
}

// Hash identifies options in manifests: equal options, equal hash.
func (o Options) Hash() string {
	b, _ := json.Marshal(o) // a struct of numbers and strings cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
