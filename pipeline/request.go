package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Object names one generation of one Cloud Storage object. Generation 0 means "whatever is there".
type Object struct {
	Bucket      string `json:"bucket"`
	Name        string `json:"name"`
	Generation  int64  `json:"generation,string"`
	Size        int64  `json:"size,string"`
	CRC32C      uint32 `json:"crc32c"` // Castagnoli
	ContentType string `json:"content_type,omitempty"`
}

func (o Object) String() string { return fmt.Sprintf("gs://%s/%s#%d", o.Bucket, o.Name, o.Generation) }

// Request is one reconstruction, as it was asked for. Its state lives in the queue; this record is also kept beside the
// artifacts so that the queue can be rebuilt.
type Request struct {
	ID        string    `json:"request_id"` // sorts by time of creation
	SessionID string    `json:"session_id"` // the client's own name for it; the deduplication key
	Caller    string    `json:"caller,omitempty"`
	TokenHash string    `json:"token_hash"` // HashToken of the callback token; the token itself is never stored
	Priority  int       `json:"priority"`   // 0 to MaxPriority, higher first
	Options   Options   `json:"options"`
	CreatedAt time.Time `json:"created_at"`
	Deadline  time.Time `json:"deadline,omitzero"` // the request FAILs when it is not done by then; zero: none
}

// MaxPriority is the largest priority: twelve bits, so that priority and sequence share one exact float64 score.
const MaxPriority = 4095

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// KeyCaller begins the Caller of a request that was asked for with an API key; the key's name follows. Other callers are network
// addresses, which several may share and one may change.
const KeyCaller = "key:"

// SessionKey is what a session is taken under: a caller with an API key has session names of its own, all others share theirs.
func (r Request) SessionKey() string {
	if strings.HasPrefix(r.Caller, KeyCaller) {
		return r.Caller + "\x00" + r.SessionID
	}
	return r.SessionID
}

// requestIDLen is 48 bits of milliseconds and 80 random bits, five bits a character.
const requestIDLen = 26

// NewRequestID returns an id that sorts by time: a ULID in lower case.
func NewRequestID(now time.Time, random io.Reader) (string, error) {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	if _, err := io.ReadFull(random, b[6:]); err != nil {
		return "", fmt.Errorf("draw request id: %w", err)
	}
	return crockford.EncodeToString(b[:]), nil
}

// ValidRequestID says whether s could have come from NewRequestID; it keeps strange object names out of keys and paths.
func ValidRequestID(s string) bool {
	if len(s) != requestIDLen {
		return false
	}
	_, err := crockford.DecodeString(s)
	return err == nil && strings.ToLower(s) == s
}

// clientName starts with a letter or digit, so that it is never ".", ".." or an option on somebody's command line.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// ValidName says whether a client's own name, of a session or a file, may become part of ours.
func ValidName(name string) bool {
	return clientName.MatchString(name) && !strings.Contains(name, "..")
}

// NameRule is ValidName in words.
const NameRule = "must be 1 to 128 letters, digits, dots, underscores or hyphens, start with a letter or digit, and hold no two dots in a row"

// NewToken returns a callback token: 256 random bits. It is shown once and only its hash is kept.
func NewToken(random io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw callback token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// HashToken is what is stored and looked up. Finding a record by the hash of a 256-bit secret leaks no more than the
// hash through timing, so a lookup needs no comparison of the token itself.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Preset is how much work a client wants spent on a request.
type Preset string

const (
	Preview  Preset = "preview"
	Standard Preset = "standard"
	High     Preset = "high"
)

// Options are a client's wishes. They travel with the request and stand in every manifest.
type Options struct {
	Preset       Preset  `json:"preset,omitempty"`
	TrainBudgetS float64 `json:"train_budget_s,omitempty"` // seconds of training; 0: the preset's own
	MaxImages    int     `json:"max_images,omitempty"`     // 0: 300
	LongEdgePx   int     `json:"long_edge_px,omitempty"`   // of the training images; 0: the preset's own
	Seed         uint64  `json:"seed,omitempty"`
	// Depth is what the depth stage does: DepthOff, or the name of a model that the deployment has; "" or DepthAuto: its
	// default model.
	Depth string `json:"depth,omitempty"`
	// Projection says what pictures that are twice as wide as high show: ProjectionAuto, ProjectionFlat, ProjectionSphere; "" is
	// ProjectionAuto.
	Projection string `json:"projection,omitempty"`

	// Outputs are the formats in which the splat is exported besides PLY, of OutputFormats; nil: DefaultOutputs, empty: no others.
	Outputs []string `json:"outputs,omitzero"`

	// Cleanup says what is removed from the trained splat: CleanupOff, CleanupSafe, CleanupStrong; "" is CleanupSafe.
	Cleanup string `json:"cleanup,omitempty"`

	// What training is to expect of the capture. Each costs time or quality where it does not apply (docs/captures.md).
	Sky                string `json:"sky,omitempty"`             // SkyAuto, SkyOn, SkyOff; "" is SkyAuto
	BackgroundMode     string `json:"background_mode,omitempty"` // BackgroundFixed, BackgroundRandom, BackgroundEmpty; "" is BackgroundFixed
	RefinePoses        bool   `json:"refine_poses,omitempty"`    // move the cameras along with the Gaussians
	CompensateExposure bool   `json:"compensate_exposure,omitempty"`
}

// Values of Options.Depth that name no model.
const (
	DepthAuto = "auto"
	DepthOff  = "off"
)

// OutputFormats are the values of Options.Outputs: the names of engines/splat.
func OutputFormats() []string { return []string{"spz", "spz-v3", "sog", "glb", "compressed-ply"} }

// DefaultOutputs open in every web viewer that does not read PLY.
func DefaultOutputs() []string { return []string{"spz", "sog"} }

// Values of Options.Projection.
const (
	ProjectionAuto   = "auto"   // what the file says; of a video that says nothing, what its pictures look like
	ProjectionFlat   = "flat"   // what an ordinary lens sees
	ProjectionSphere = "sphere" // all directions: equirectangular
)

// Values of Options.Sky: whether Gaussians far behind the scene stand for its sky.
const (
	SkyAuto = "auto" // where depth maps see one
	SkyOn   = "on"   // wherever images show no sparse points
	SkyOff  = "off"
)

// Values of Options.Cleanup: what is removed from the trained splat.
const (
	CleanupOff    = "off"
	CleanupSafe   = "safe"   // what no image supports, or the images are better without
	CleanupStrong = "strong" // and what they hardly miss
)

// Values of Options.BackgroundMode: what training draws behind the splat.
const (
	BackgroundFixed  = "fixed"  // black
	BackgroundRandom = "random" // another colour each time, so that what is solid becomes opaque
	BackgroundEmpty  = "empty"  // the same, and what masks hide is to stay empty: it cuts a subject out
)

// What Options may be at most, in any deployment; MinTrainBudgetS is the shortest training that makes anything.
const (
	MinTrainBudgetS = 1
	MaxTrainBudgetS = 24 * 3600
	MaxImages       = 2000
	MaxLongEdgePx   = 4096
)

// Validate says what is wrong in words for the client.
func (o Options) Validate() error {
	switch o.Preset {
	case "", Preview, Standard, High:
	default:
		return fmt.Errorf("preset must be preview, standard or high, not %q", o.Preset)
	}
	if !(o.TrainBudgetS == 0 || o.TrainBudgetS >= MinTrainBudgetS && o.TrainBudgetS <= MaxTrainBudgetS) {
		return fmt.Errorf("train_budget_s must be between %d and %d seconds, or left out", MinTrainBudgetS, MaxTrainBudgetS)
	}
	if o.MaxImages != 0 && (o.MaxImages < 3 || o.MaxImages > MaxImages) {
		return fmt.Errorf("max_images must be between 3 and %d", MaxImages)
	}
	if o.LongEdgePx != 0 && (o.LongEdgePx < 64 || o.LongEdgePx > MaxLongEdgePx) {
		return fmt.Errorf("long_edge_px must be between 64 and %d", MaxLongEdgePx)
	}
	if !validModelName(o.Depth) {
		return errors.New("depth must be auto, off or the name of a model: up to 64 lower-case letters, digits, dots, dashes and underscores")
	}
	switch o.Projection {
	case "", ProjectionAuto, ProjectionFlat, ProjectionSphere:
	default:
		return fmt.Errorf("projection must be auto, flat or sphere, not %q", o.Projection)
	}
	for i, name := range o.Outputs {
		if !slices.Contains(OutputFormats(), name) || slices.Contains(o.Outputs[:i], name) {
			return fmt.Errorf("outputs must name each of %s once at most, not %q", strings.Join(OutputFormats(), ", "), name)
		}
	}
	switch o.Sky {
	case "", SkyAuto, SkyOn, SkyOff:
	default:
		return fmt.Errorf("sky must be auto, on or off, not %q", o.Sky)
	}
	switch o.BackgroundMode {
	case "", BackgroundFixed, BackgroundRandom, BackgroundEmpty:
	default:
		return fmt.Errorf("background_mode must be fixed, random or empty, not %q", o.BackgroundMode)
	}
	switch o.Cleanup {
	case "", CleanupOff, CleanupSafe, CleanupStrong:
	default:
		return fmt.Errorf("cleanup must be off, safe or strong, not %q", o.Cleanup)
	}
	return nil
}

// Fits says, in words for the client, whether the training budget of a request that must be done within d leaves a quarter of
// that time for the other stages.
func (o Options) Fits(d time.Duration) error {
	if most := d.Seconds() * 3 / 4; !(o.TrainBudgetS <= most) {
		return fmt.Errorf("train_budget_s must be at most %.0f seconds, since the request has to be done within %.0f", most, d.Seconds())
	}
	return nil
}

// validModelName keeps strange names out of paths. The empty one is left to WithDefaults.
func validModelName(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(name) <= 64 && strings.Trim(name, allowed) == "" && !strings.HasPrefix(name, ".")
}

// WithDefaults fills what the client left open.
func (o Options) WithDefaults() Options {
	if o.Preset == "" {
		o.Preset = Standard
	}
	if o.MaxImages == 0 {
		o.MaxImages = 300
	}
	if o.Depth == "" {
		o.Depth = DepthAuto
	}
	if o.Projection == "" {
		o.Projection = ProjectionAuto
	}
	if o.Outputs == nil {
		o.Outputs = DefaultOutputs()
	}
	if o.Sky == "" {
		o.Sky = SkyAuto
	}
	if o.Cleanup == "" {
		o.Cleanup = CleanupSafe
	}
	if o.BackgroundMode == "" {
		o.BackgroundMode = BackgroundFixed
	}
	if o.LongEdgePx == 0 {
		o.LongEdgePx = presets[o.Preset].longEdgePx
	}
	return o
}

// Hash identifies options in manifests: equal options, equal hash.
func (o Options) Hash() string {
	b, _ := json.Marshal(o) // a struct of numbers and strings cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
