package events

import (
	"encoding/json"

	"github.com/splatworks/splatworks/infra/local/gcs"
)

// Finalized is the type of event that a new object raises.
const Finalized = "google.cloud.storage.object.v1.finalized"

// BucketSource is the source of a bucket's events.
func BucketSource(bucket string) string {
	return "//storage.googleapis.com/projects/_/buckets/" + bucket
}

// OnFinalized is a trigger for a bucket's new objects: all of them, since Eventarc has no filter by name.
func OnFinalized(bucket, url string) Trigger {
	return Trigger{Name: "storage-" + bucket, Source: BucketSource(bucket), Type: Finalized, URL: url}
}

var _ gcs.Listener = (*Relay)(nil)

// Finalized implements gcs.Listener: the object becomes an event in the form in which Eventarc sends it. When the outbox
// cannot be written the event is delivered anyway, and a restart delivers it again.
func (r *Relay) Finalized(o gcs.Object) {
	data, err := json.Marshal(o)
	if err == nil {
		err = r.emit(Event{
			Type: Finalized, Source: BucketSource(o.Bucket), Subject: "objects/" + o.Name, Time: o.Updated,
			Extensions: map[string]string{"bucket": o.Bucket}, Data: data,
		}, o.Generation, false)
	}
	if err != nil {
		r.o.Log.Error("events: not written down", "bucket", o.Bucket, "object", o.Name, "error", err)
	}
}

// Heard implements gcs.Listener.
func (r *Relay) Heard() int64 { return r.box.Mark() }
