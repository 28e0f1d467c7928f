package artifacts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// Capture says which objects a request reconstructs when that is not the one upload: an object that existed already, or
// several uploads. It is in the first stage's inbox, where its event starts the request as that of an upload does, and
// it is written once, so the objects are pinned by generation from then on.
type Capture struct {
	Version int               `json:"version"`
	Objects []pipeline.Object `json:"objects"`
}

// CaptureVersion is written into every Capture; a reader refuses a newer one.
const CaptureVersion = 1

// MaxUploads is how many objects a capture may have.
const MaxUploads = 2000

const (
	captureFile = "capture.manifest.json"
	partsFolder = "uploads/"
)

// CaptureName is where the Capture of a request is in the first stage's inbox. No client can upload to it.
func CaptureName(requestID string) string { return requestID + "/" + captureFile }

// PartsPrefix holds the uploads of a request that has several. They start nothing.
func PartsPrefix(requestID string) string { return requestID + "/" + partsFolder }

// PartName is one of them. name must be a base name.
func PartName(requestID, name string) string { return PartsPrefix(requestID) + name }

// Starts says whether an object in the first stage's inbox starts its request: an upload or a Capture does, one of several
// uploads does not.
func Starts(objectName string) bool {
	_, rest, found := strings.Cut(objectName, "/")
	return found && rest != "" && !strings.Contains(rest, "/")
}

// IsCapture says whether an object that started a request is a Capture rather than an upload. The name decides, which
// clients do not choose; never the content, which they do.
func IsCapture(objectName string) bool {
	_, rest, _ := strings.Cut(objectName, "/")
	return rest == captureFile
}

// WriteCapture stores the Capture of a request, once: when there is one already it stays as it is and that is no error.
func WriteCapture(ctx context.Context, s Store, b Buckets, requestID string, objects []pipeline.Object) error {
	_, err := PutJSON(ctx, s, b.Uploads(), CaptureName(requestID), Capture{Version: CaptureVersion, Objects: objects},
		PutOptions{DoesNotExist: true})
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// ReadCapture reads and checks the Capture in o.
func ReadCapture(ctx context.Context, s Store, o pipeline.Object) (*Capture, error) {
	var c Capture
	if err := GetJSON(ctx, s, o, &c, MaxDocumentBytes); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("capture %v: %w: %w", o, ErrDamaged, err)
	}
	return &c, nil
}

func (c *Capture) check() error {
	if c.Version < 1 || c.Version > CaptureVersion {
		return fmt.Errorf("it has version %d, this program reads up to %d", c.Version, CaptureVersion)
	}
	if len(c.Objects) < 1 || len(c.Objects) > MaxUploads {
		return fmt.Errorf("it names %d objects, not 1 to %d", len(c.Objects), MaxUploads)
	}
	for _, o := range c.Objects {
		if o.Bucket == "" || o.Name == "" || o.Generation <= 0 {
			return fmt.Errorf("it does not pin %v", o)
		}
	}
	return nil
}
