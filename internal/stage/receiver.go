package stage

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Finalized is the CloudEvent type a receiver reacts to.
const Finalized = "google.cloud.storage.object.v1.finalized"

// storageObject is the part of google.events.cloud.storage.v1.StorageObjectData that matters here; int64 are strings on
// the wire.
type storageObject struct {
	Bucket      string `json:"bucket"`
	Name        string `json:"name"`
	Generation  string `json:"generation"`
	Size        string `json:"size"`
	ContentType string `json:"contentType"`
	CRC32C      string `json:"crc32c"` // base64, big-endian
}

// Receiver takes the events of one stage's inbox and answers within a second: the event is a doorbell, the queue is the
// truth about what is next.
type Receiver struct {
	Stage pipeline.Stage
	Inbox string // the bucket whose events are this stage's
	Tasks interface {
		Enqueue(ctx context.Context, t queue.Task) (bool, error)
	}
	Staffing Staffing
	Log      *slog.Logger
}

// Receive handles one event. Only trouble that a redelivery can help is an error; an event that can never succeed is
// logged and acknowledged, since every other answer would bring it back for a day.
func (r *Receiver) Receive(ctx context.Context, e cloudevents.Event) error {
	log := r.Log.With("event_id", e.ID(), "stage", r.Stage)
	task, err := r.taskOf(e)
	if err != nil {
		log.WarnContext(ctx, "event ignored: "+err.Error())
		return nil
	}
	log = log.With("request_id", task.RequestID)
	added, err := r.Tasks.Enqueue(ctx, task)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		log.WarnContext(ctx, "event ignored: unknown request", "object", task.Input.String())
		return nil
	case errors.Is(err, queue.ErrTerminal):
		log.InfoContext(ctx, "event ignored: the request has ended")
		return nil
	case err != nil:
		return fmt.Errorf("enqueue %s: %w", task.RequestID, err)
	}
	log.InfoContext(ctx, "event received", "added", added)
	if !added {
		return nil // the call that added the task launched its worker; the reaper launches what was lost
	}
	if err := r.Staffing.Want(ctx, r.Stage); err != nil {
		// The task is safe in the queue and the reaper launches again.
		log.WarnContext(ctx, "no worker launched", "error", err.Error())
	}
	return nil
}

func (r *Receiver) taskOf(e cloudevents.Event) (queue.Task, error) {
	if e.Type() != Finalized {
		return queue.Task{}, fmt.Errorf("type %q is not %s", e.Type(), Finalized)
	}
	var d storageObject
	if err := e.DataAs(&d); err != nil {
		return queue.Task{}, fmt.Errorf("unreadable payload: %w", err)
	}
	if d.Bucket != r.Inbox {
		return queue.Task{}, fmt.Errorf("bucket %q is not this stage's inbox", d.Bucket)
	}
	id, ok := artifacts.RequestOf(d.Name)
	if !ok {
		return queue.Task{}, fmt.Errorf("object %q belongs to no request", d.Name)
	}
	if previous, ok := r.Stage.Previous(); ok && d.Name != artifacts.ManifestName(id, previous) {
		return queue.Task{}, fmt.Errorf("object %q is not a manifest of %s", d.Name, previous)
	}
	if _, later := r.Stage.Previous(); !later && !artifacts.Starts(d.Name) {
		return queue.Task{}, fmt.Errorf("object %q is one of several uploads", d.Name)
	}
	generation, err := strconv.ParseInt(d.Generation, 10, 64)
	if err != nil || generation <= 0 {
		return queue.Task{}, fmt.Errorf("generation %q is no positive number", d.Generation)
	}
	size, err := strconv.ParseInt(d.Size, 10, 64)
	if err != nil || size < 0 {
		return queue.Task{}, fmt.Errorf("size %q is no number", d.Size)
	}
	sum, err := base64.StdEncoding.DecodeString(d.CRC32C)
	if err != nil || len(sum) != 0 && len(sum) != 4 {
		return queue.Task{}, fmt.Errorf("crc32c %q is no checksum", d.CRC32C)
	}
	o := pipeline.Object{Bucket: d.Bucket, Name: d.Name, Generation: generation, Size: size, ContentType: d.ContentType}
	if len(sum) == 4 {
		o.CRC32C = binary.BigEndian.Uint32(sum)
	}
	return queue.Task{RequestID: id, Stage: r.Stage, Input: o}, nil
}
