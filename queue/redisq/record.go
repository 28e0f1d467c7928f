package redisq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// record is what scripts return of a request: the fields of lua/keys.lua, its id, and the fields of its report. It remembers the
// first field that makes no sense.
type record struct {
	fields map[string]string
	err    error
}

// newRecord reads names and values in turn, as HGETALL returns them; of a name that comes twice the later value counts.
func newRecord(answer any) (*record, error) {
	list, ok := answer.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, fmt.Errorf("names and values expected, not %v", answer)
	}
	r := &record{fields: make(map[string]string, len(list)/2)}
	for i := 0; i < len(list); i += 2 {
		name, _ := list[i].(string)
		r.fields[name], ok = list[i+1].(string)
		if !ok {
			return nil, fmt.Errorf("%s is %v and no text", name, list[i+1])
		}
	}
	return r, nil
}

// leaseFields are the names of the values that scripts return for the lease of a task: lease_of in lua/functions.lua.
var leaseFields = strings.Fields("fence attempt status stage task started lease_lost exhausted session caller token priority options created deadline " +
	"input_bucket input_name input_generation input_size input_crc input_type id failure")

// newLeaseRecord reads the values of leaseFields; nil is one that is missing.
func newLeaseRecord(answer any) (*record, error) {
	list, ok := answer.([]any)
	if !ok || len(list) != len(leaseFields) {
		return nil, fmt.Errorf("%d values of a lease expected, not %v", len(leaseFields), answer)
	}
	r := &record{fields: make(map[string]string, len(list))}
	for i, value := range list {
		if value == nil {
			continue
		}
		if r.fields[leaseFields[i]], ok = value.(string); !ok {
			return nil, fmt.Errorf("%s is %v and no text", leaseFields[i], value)
		}
	}
	return r, nil
}

func (r *record) text(name string) string { return r.fields[name] }

// number is 0 for a field that is missing or empty.
func (r *record) number(name string) int64 {
	if r.fields[name] == "" {
		return 0
	}
	n, err := strconv.ParseInt(r.fields[name], 10, 64)
	if err != nil {
		r.fail(name, err)
	}
	return n
}

func (r *record) time(name string) time.Time { return atMillis(r.number(name)) }

// json decodes a field; one that is missing changes nothing.
func (r *record) json(name string, into any) {
	if text := r.fields[name]; text != "" {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			r.fail(name, err)
		}
	}
}

// fail keeps the first error.
func (r *record) fail(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("queue: %s of request %s: %w", name, r.fields["id"], err)
	}
}

// atMillis is a time in milliseconds since 1970; 0: none.
func atMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// requestFields are the fields of a record, and their values, that a request is submitted with.
func requestFields(r pipeline.Request) ([]any, error) {
	options, err := line(r.Options)
	if err != nil {
		return nil, fmt.Errorf("encode options: %w", err)
	}
	created := r.CreatedAt.UnixMilli()
	fields := []any{"session", r.SessionID, "caller", r.Caller, "token", r.TokenHash, "options", options,
		"created", created, "updated", created}
	if r.Priority != 0 {
		fields = append(fields, "priority", r.Priority)
	}
	if !r.Deadline.IsZero() {
		fields = append(fields, "deadline", r.Deadline.UnixMilli())
	}
	return fields, nil
}

// objectArgs are the values of an object in the order in which scripts take them.
func objectArgs(o pipeline.Object) []any {
	return []any{o.Bucket, o.Name, o.Generation, o.Size, o.CRC32C, o.ContentType}
}

// objectFields are the same values with the names of their fields.
func objectFields(name string, o pipeline.Object) []any {
	return []any{name + "_bucket", o.Bucket, name + "_name", o.Name, name + "_generation", o.Generation, name + "_size", o.Size,
		name + "_crc", o.CRC32C, name + "_type", o.ContentType}
}

func (r *record) object(name string) pipeline.Object {
	return pipeline.Object{Bucket: r.text(name + "_bucket"), Name: r.text(name + "_name"), Generation: r.number(name + "_generation"),
		Size: r.number(name + "_size"), CRC32C: uint32(r.number(name + "_crc")), ContentType: r.text(name + "_type")}
}

func (r *record) request() pipeline.Request {
	q := pipeline.Request{ID: r.text("id"), SessionID: r.text("session"), Caller: r.text("caller"), TokenHash: r.text("token"),
		Priority: int(r.number("priority")), CreatedAt: r.time("created"), Deadline: r.time("deadline")}
	r.json("options", &q.Options)
	return q
}

// failure is the reported failure; nil when there is none.
func (r *record) failure() *pipeline.Failure {
	if r.text("failure") == "" {
		return nil
	}
	f := new(pipeline.Failure)
	r.json("failure", f)
	return f
}

// state is the whole record at a time.
func (r *record) state(now time.Time) queue.State {
	s := queue.State{Request: r.request(), Status: pipeline.Status(r.text("status")), Stage: pipeline.Stage(r.text("stage")),
		Attempt: int(r.number("attempt")), Failure: r.failure(), Manifest: r.object("manifest"),
		UpdatedAt: r.time("updated"), StartedAt: r.time("started"), FinishedAt: r.time("finished")}
	r.json("progress", &s.Progress)
	for text := range strings.Lines(r.text("warnings")) {
		var w pipeline.Warning
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			r.fail("warnings", err)
		}
		s.Warnings = append(s.Warnings, w)
	}
	if s.Stage != "" && r.text("done_stage") == string(s.Stage) {
		s.Progress = pipeline.Progress{Stage: s.Stage, Percent: 100}
	}
	if retry := r.time("ends"); r.text("task") == "delayed" && retry.After(now) {
		s.RetryAt = retry
	}
	return s
}

// line is v as JSON without a line break.
func line(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
