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
var leaseFields = strings.Fields("fence attempt exhausted input_bucket input_name input_version id submission failure")

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

// submission is what a request was submitted with, as lua/keys.lua describes it.
func submission(r pipeline.Request) (string, error) {
	deadline := int64(0)
	if !r.Deadline.IsZero() {
		deadline = r.Deadline.UnixMilli()
	}
	text, err := line([]any{r.Priority, r.SessionID, r.Caller, r.TokenHash, r.CreatedAt.UnixMilli(), deadline, r.Options, r.CardLimitPx})
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	return text, nil
}

// objectArgs are the values of an object in the order in which scripts take them.
func objectArgs(o pipeline.Object) []any {
	return []any{o.Bucket, o.Name, fmt.Sprintf("%d %d %d %s", o.Generation, o.Size, o.CRC32C, o.ContentType)}
}

// objectFields are the same values with the names of their fields.
func objectFields(name string, o pipeline.Object) []any {
	values := objectArgs(o)
	return []any{name + "_bucket", values[0], name + "_name", values[1], name + "_version", values[2]}
}

// object reads what objectFields wrote; no fields are no object.
func (r *record) object(name string) pipeline.Object {
	o := pipeline.Object{Bucket: r.text(name + "_bucket"), Name: r.text(name + "_name")}
	version := r.text(name + "_version")
	if version == "" {
		return o
	}
	words := strings.SplitN(version, " ", 4)
	if len(words) < 4 {
		r.fail(name+"_version", fmt.Errorf("%q has no four words", version))
		return o
	}
	numbers := make([]int64, 3)
	for i := range numbers {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil {
			r.fail(name+"_version", err)
		}
		numbers[i] = n
	}
	o.Generation, o.Size, o.CRC32C, o.ContentType = numbers[0], numbers[1], uint32(numbers[2]), words[3]
	return o
}

// request reads what submission wrote.
func (r *record) request() pipeline.Request {
	q := pipeline.Request{ID: r.text("id")}
	var created, deadline int64
	r.json("submission", &[]any{&q.Priority, &q.SessionID, &q.Caller, &q.TokenHash, &created, &deadline, &q.Options, &q.CardLimitPx})
	q.CreatedAt, q.Deadline = atMillis(created), atMillis(deadline)
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
