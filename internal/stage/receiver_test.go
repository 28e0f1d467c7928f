package stage_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

func TestReceiver(t *testing.T) {
	w := newWorld(t, nil)
	var launched []pipeline.Stage
	staffing := stage.Staffing{Slots: w.queue, Limit: map[pipeline.Stage]int{pipeline.Filter: 1}, StartBudget: time.Minute,
		Launcher: launcher(func(s pipeline.Stage) error { launched = append(launched, s); return nil })}
	r := stage.Receiver{Stage: pipeline.Filter, Inbox: "inbox-filter", Tasks: w.queue, Staffing: staffing, Log: w.worker.Log}
	_, o := w.upload()
	event := func(typ, bucket, name string, generation int64) cloudevents.Event {
		e := cloudevents.NewEvent()
		e.SetID("1")
		e.SetSource("//storage.googleapis.com/projects/_/buckets/" + bucket)
		e.SetType(typ)
		body, _ := json.Marshal(map[string]string{"bucket": bucket, "name": name, "generation": strconv.FormatInt(generation, 10), "size": "5", "crc32c": "AQIDBA==", "timeCreated": "2026-11-01T12:00:00Z"})
		if err := e.SetData(cloudevents.ApplicationJSON, json.RawMessage(body)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for range 3 { // at least once means often
		if err := r.Receive(t.Context(), event(stage.Finalized, "inbox-filter", o.Name, o.Generation)); err != nil {
			t.Fatal(err)
		}
	}
	if len(launched) != 1 {
		t.Errorf("launched %v", launched)
	}
	// Poison is acknowledged: no redelivery could help.
	for name, e := range map[string]cloudevents.Event{
		"type":       event("google.cloud.storage.object.v1.deleted", "inbox-filter", o.Name, 1),
		"bucket":     event(stage.Finalized, "elsewhere", o.Name, 1),
		"name":       event(stage.Finalized, "inbox-filter", "../../etc/passwd", 1),
		"request":    event(stage.Finalized, "inbox-filter", "01j00000000000000000000000/input", 1),
		"generation": event(stage.Finalized, "inbox-filter", o.Name, -1),
	} {
		if err := r.Receive(t.Context(), e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := w.queue.Counts(t.Context()); err != nil || c[pipeline.Filter].Ready != 1 {
		t.Errorf("counts %+v, %v", c, err)
	}
	leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "w", 1)
	if err != nil || len(leases) != 1 || leases[0].Task().Input.CRC32C != 0x01020304 || leases[0].Task().Input.Size != 5 {
		t.Errorf("claimed %+v, %v", leases, err)
	}
}
