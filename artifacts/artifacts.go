// Package artifacts names what stages leave behind: typed kinds, the one function that lays out their paths, the manifest
// that says which objects belong to a stage's result, and the store they are in. artifacts/gcs keeps them in Cloud Storage
// (or the local emulator), artifacts/folder in files, artifacts/memory in a test; all pass artifacts/storetest.
//
// An object exists for the pipeline only when a manifest names it by generation. A worker whose lease was lost may leave
// objects behind; since its fence is part of their path and its manifest is refused, nothing ever reads them.
package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// Kind is what an object is for. Its file name is the kind's own.
type Kind string

const (
	Upload        Kind = "upload"         // the client's video, photo or zip, as it came
	Selection     Kind = "selection"      // JSON: the frames or photos worth using
	CaptureReport Kind = "capture_report" // JSON: what is good and bad about the capture
	ContactSheet  Kind = "contact_sheet"  // JPEG: the chosen frames with their scores
	Cameras       Kind = "cameras"        // JPEG: cameras and sparse points, from above and from the side
	SparseModel   Kind = "sparse_model"   // tar: COLMAP binary model with the original cameras
	Points        Kind = "points"         // PLY, compressed: cameras and sparse points as Gaussians, to be looked at in 3D
	Scene         Kind = "scene"          // tar: undistorted images/, masks/ if there are any, and their COLMAP binary model sparse/
	DepthReport   Kind = "depth_report"   // JSON: what the depth stage did, or why it did nothing
	DepthMaps     Kind = "depth_maps"     // tar: depths/, aligned inverse depth as 16-bit PNG, and depth_params.json
	DepthGrid     Kind = "depth_grid"     // JPEG: images beside their depth, in colours
	Checkpoint    Kind = "checkpoint"     // training state, replaced while training; never in a manifest
	Preview       Kind = "preview"        // PLY, compressed: the splat so far, replaced while training; never in a manifest
	Trained       Kind = "trained"        // PLY as trained and cleaned
	Uncleaned     Kind = "uncleaned"      // PLY before the cleaning, where that removed something
	TrainReport   Kind = "train_report"   // JSON: held-out quality, curves
	Comparison    Kind = "comparison"     // JPEG: the worst and the best measured view beside what the splat shows there
	Pairs         Kind = "pairs"          // JPEG: some measured views, each beside what the splat shows there, as quality.pairs in the report says
	Splat         Kind = "splat"          // PLY: the result
	SPZ           Kind = "spz"            // the result once more, in other formats: engines/splat
	SPZv3         Kind = "spz-v3"
	SOG           Kind = "sog"
	GLB           Kind = "glb"
	CompressedPLY Kind = "compressed-ply"
	StreamedSOG   Kind = "streamed-sog"   // zip, stored: lod-meta.json and its SOGs, levels of detail
	Tiles         Kind = "3d-tiles"       // zip, stored: tileset.json and its GLBs, levels of detail
	Viewer        Kind = "viewer"         // HTML: a viewer with the result in it, for browsers, from a disk too: web
	Mesh          Kind = "mesh"           // GLB: its surface, textured: engines/mesh
	MeshOBJ       Kind = "mesh_obj"       // zip: the same as OBJ, MTL and JPEG
	MeshSTL       Kind = "mesh_stl"       // STL: the same for printers
	MeshCollision Kind = "mesh_collision" // GLB: with few faces, bare, to walk on
	Orbit         Kind = "orbit"          // MP4: a walk around the result
	Thumbnail     Kind = "thumbnail"      // JPEG: its first picture
	Report        Kind = "report"         // JSON: the quality report of the whole request
)

var files = map[Kind]struct{ name, contentType string }{
	Selection:     {"selection.json", "application/json"},
	CaptureReport: {"capture_report.json", "application/json"},
	ContactSheet:  {"contact_sheet.jpg", "image/jpeg"},
	Cameras:       {"cameras.jpg", "image/jpeg"},
	SparseModel:   {"sparse.tar", "application/x-tar"},
	Points:        {"points.compressed.ply", "application/octet-stream"},
	Scene:         {"scene.tar", "application/x-tar"},
	DepthReport:   {"depth_report.json", "application/json"},
	DepthMaps:     {"depth_maps.tar", "application/x-tar"},
	DepthGrid:     {"depth_grid.jpg", "image/jpeg"},
	Comparison:    {"comparison.jpg", "image/jpeg"},
	Pairs:         {"pairs.jpg", "image/jpeg"},
	Checkpoint:    {"train.checkpoint", "application/octet-stream"},
	Preview:       {"preview.compressed.ply", "application/octet-stream"},
	Trained:       {"trained.ply", "application/octet-stream"},
	Uncleaned:     {"uncleaned.ply", "application/octet-stream"},
	TrainReport:   {"train_report.json", "application/json"},
	Splat:         {"splat.ply", "application/octet-stream"},
	SPZ:           {"splat.spz", "application/octet-stream"},
	SPZv3:         {"splat.v3.spz", "application/octet-stream"},
	SOG:           {"splat.sog", "application/octet-stream"},
	GLB:           {"splat.glb", "model/gltf-binary"},
	CompressedPLY: {"splat.compressed.ply", "application/octet-stream"},
	StreamedSOG:   {"splat.lod.zip", "application/zip"},
	Tiles:         {"splat.3dtiles.zip", "application/zip"},
	Viewer:        {"viewer.html", "text/html; charset=utf-8"},
	Mesh:          {"mesh.glb", "model/gltf-binary"},
	MeshOBJ:       {"mesh.zip", "application/zip"},
	MeshSTL:       {"mesh.stl", "model/stl"},
	MeshCollision: {"mesh.collision.glb", "model/gltf-binary"},
	Orbit:         {"orbit.mp4", "video/mp4"},
	Thumbnail:     {"thumbnail.jpg", "image/jpeg"},
	Report:        {"report.json", "application/json"},
}

// FileName is the name under which people know an artifact of this kind.
func (k Kind) FileName() string { return files[k].name }

// ContentType of the kind's objects.
func (k Kind) ContentType() string { return files[k].contentType }

// ForClients lists the kinds a client may download once its request is COMPLETED.
func ForClients() []Kind {
	return []Kind{Splat, SPZ, SPZv3, SOG, GLB, CompressedPLY, StreamedSOG, Tiles, Viewer, Mesh, MeshOBJ, MeshSTL, MeshCollision, Report, Orbit, Thumbnail, SparseModel, Scene, Cameras, CaptureReport, ContactSheet, DepthGrid, Comparison, Pairs}
}

// ForShares lists the kinds that every share shows: the result, and none of the client's own pictures.
func ForShares() []Kind {
	return []Kind{Splat, SPZ, SPZv3, SOG, GLB, CompressedPLY, StreamedSOG, Tiles, Viewer, Mesh, MeshOBJ, MeshSTL, MeshCollision, Orbit, Thumbnail, Report}
}

// Buckets are the names a deployment chose.
type Buckets struct {
	Inbox     map[pipeline.Stage]string // one per stage; the first stage's is where clients upload
	Artifacts string                    // everything bulky; raises no events
}

// Uploads is the bucket that clients upload to: the first stage's inbox.
func (b Buckets) Uploads() string { return b.Inbox[pipeline.First()] }

// Path of an artifact in the artifacts bucket. The fence of the lease keeps apart what two workers wrote for one task.
func Path(requestID string, stage pipeline.Stage, fence int64, kind Kind) string {
	return fmt.Sprintf("%s/%s/%d/%s", requestID, stage, fence, kind.FileName())
}

// StagePrefix holds everything that any worker wrote for a stage of a request.
func StagePrefix(requestID string, stage pipeline.Stage) string {
	return fmt.Sprintf("%s/%s/", requestID, stage)
}

// FenceOf is the fence in a path made by Path.
func FenceOf(path string) (int64, bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 4 {
		return 0, false
	}
	fence, err := strconv.ParseInt(parts[2], 10, 64)
	return fence, err == nil && fence > 0
}

// UploadName is where a client's file is in the first stage's inbox. name must be a base name.
func UploadName(requestID, name string) string { return requestID + "/" + name }

// ManifestName is where the manifest of a stage lies: in the next stage's inbox or, after the last stage, in the
// artifacts bucket.
func ManifestName(requestID string, stage pipeline.Stage) string {
	name := fmt.Sprintf("%s/%s.manifest.json", requestID, stage)
	if _, more := stage.Next(); !more {
		return FinishedPrefix + name
	}
	return name
}

// ManifestBucket is the bucket that ManifestName is relative to.
func (b Buckets) ManifestBucket(stage pipeline.Stage) string {
	if next, ok := stage.Next(); ok {
		return b.Inbox[next]
	}
	return b.Artifacts
}

// What is known of requests themselves is in the artifacts bucket under prefixes of its own, so that the queue can be
// rebuilt from short listings.
const (
	RequestPrefix  = "requests/"
	OutcomePrefix  = "outcomes/"
	FinishedPrefix = "finished/" // manifests of the last stage
)

// RequestName is where the record of a request is in the artifacts bucket.
func RequestName(requestID string) string { return RequestPrefix + requestID + ".json" }

// RecordOf is the request that a record belongs to.
func RecordOf(objectName string) (requestID string, ok bool) {
	return between(objectName, RequestPrefix, ".json")
}

// OutcomeName is where it is noted that a request ended without a result.
func OutcomeName(requestID string) string { return OutcomePrefix + requestID + ".json" }

// OutcomeOf is the request that an outcome belongs to.
func OutcomeOf(objectName string) (requestID string, ok bool) {
	return between(objectName, OutcomePrefix, ".json")
}

func between(objectName, prefix, suffix string) (requestID string, ok bool) {
	id, begins := strings.CutPrefix(objectName, prefix)
	id, ends := strings.CutSuffix(id, suffix)
	return id, begins && ends && pipeline.ValidRequestID(id)
}

// WebhooksPrefix holds those of all requests, with the deployment's own keys.
const WebhooksPrefix = "webhooks/"

// WebhookOf is the request that an object under WebhooksPrefix belongs to; false for the deployment's.
func WebhookOf(objectName string) (requestID string, ok bool) {
	rest, found := strings.CutPrefix(objectName, WebhooksPrefix)
	id, _, more := strings.Cut(rest, "/")
	return id, found && more && pipeline.ValidRequestID(id)
}

// WebhookPrefix holds what is known of the webhook and the e-mail of a request: where they go, and what became of each delivery.
func WebhookPrefix(requestID string) string { return WebhooksPrefix + requestID + "/" }

// WebhookTargetName, WebhookLogName and WebhookLockName are in the artifacts bucket.
func WebhookTargetName(requestID string) string { return WebhookPrefix(requestID) + "target.json" }
func WebhookLogName(requestID string) string    { return WebhookPrefix(requestID) + "deliveries.json" }
func WebhookLockName(requestID string) string   { return WebhookPrefix(requestID) + "delivering.json" }

// MailTargetName, MailLogName and MailLockName are the same for the e-mail of a request.
func MailTargetName(requestID string) string { return WebhookPrefix(requestID) + "mail.json" }
func MailLogName(requestID string) string    { return WebhookPrefix(requestID) + "mails.json" }
func MailLockName(requestID string) string   { return WebhookPrefix(requestID) + "mailing.json" }

// UnsubscribedName is where it is noted that an address wants no mails. It is a keyed hash of the address, which belongs to no request.
func UnsubscribedName(hash string) string { return "webhooks/unsubscribed/" + hash + ".json" }

// WebhookKeysName is where a deployment keeps the keys that webhooks and links in mails are signed with.
const WebhookKeysName = "webhooks/keys.json"

// API keys that operators added, and when each was last used, are in the artifacts bucket by the name of their caller. They belong to no
// request.
const (
	KeyPrefix    = "keys/"
	KeyUsePrefix = "key-use/"
)

// KeyName is where a key of a caller is.
func KeyName(caller, id string) string { return KeyPrefix + caller + "/" + id + ".json" }

// KeyUseName is where it is noted when that key was last used.
func KeyUseName(caller, id string) string { return KeyUsePrefix + caller + "/" + id + ".json" }

// NotesName is where the notes at places of a request's splat are: beside its other artifacts, which they go with.
func NotesName(requestID string) string { return requestID + "/notes.json" }

// SharePrefix holds the shares of a request: what opens each, as a hash, and until when.
func SharePrefix(requestID string) string { return "shares/" + requestID + "/" }

// ShareName is where a share is, in the artifacts bucket.
func ShareName(requestID, shareID string) string { return SharePrefix(requestID) + shareID + ".json" }

// RequestOf is the request that an upload, a manifest or an artifact belongs to.
func RequestOf(objectName string) (requestID string, ok bool) {
	objectName = strings.TrimPrefix(objectName, FinishedPrefix)
	id, rest, found := strings.Cut(objectName, "/")
	return id, found && rest != "" && pipeline.ValidRequestID(id)
}

// Errors of every Store, wrapped or bare.
var (
	ErrNotFound    = errors.New("artifacts: no such object")
	ErrExists      = errors.New("artifacts: object exists already")                        // a DoesNotExist write found one
	ErrDamaged     = errors.New("artifacts: the object is damaged")                        // its bytes are not those of its size and checksum
	ErrEncoded     = errors.New("artifacts: the object is stored with a content encoding") // nothing of ours is
	ErrUnavailable = errors.New("artifacts: the storage does not answer")                  // nor did it after retries
)

// PutOptions say how an object is written.
type PutOptions struct {
	ContentType  string
	DoesNotExist bool // write only when there is no such object: ErrExists otherwise
}

// Store is object storage as the pipeline needs it.
type Store interface {
	// Put writes r to its end as one object; nothing becomes visible when r or the write fails.
	Put(ctx context.Context, bucket, name string, r io.Reader, o PutOptions) (pipeline.Object, error)
	// Open reads exactly the generation named, or the newest when it is 0: the bytes as they are stored, never more than the
	// object's size. Size and checksum are verified at the end, so a reader must read to io.EOF: ErrDamaged. ErrEncoded for an
	// object with a content encoding, whose bytes are not what they are to be taken for.
	Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error)
	// Copy makes another object of exactly the generation named, or of the newest when it is 0, inside the storage: bytes, size,
	// checksum and content type stay, the generation is a new one. It may be repeated: an object of that name with the same bytes
	// is the copy. One with other bytes is ErrExists, and a source that is gone ErrNotFound.
	Copy(ctx context.Context, from pipeline.Object, bucket, name string) (pipeline.Object, error)
	// Stat describes the newest generation.
	Stat(ctx context.Context, bucket, name string) (pipeline.Object, error)
	// List yields the newest generations under a prefix, by name.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error]
	// Delete removes the generation named, or the newest when it is 0; ErrNotFound when it is gone.
	Delete(ctx context.Context, o pipeline.Object) error
}
