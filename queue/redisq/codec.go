package redisq

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Stages and statuses are single letters in Redis. lua/keys.lua has the order of stages.
var (
	stageLetters = map[pipeline.Stage]string{
		pipeline.Filter: "f", pipeline.Preprocess: "p", pipeline.Depth: "d", pipeline.Train: "t", pipeline.Export: "e",
	}
	statusLetters = map[pipeline.Status]string{
		pipeline.Queued: "Q", pipeline.Processing: "P", pipeline.Completed: "C", pipeline.Failed: "F", pipeline.Canceled: "X",
	}
	letterStages   = inverse(stageLetters)
	letterStatuses = inverse(statusLetters)
)

func inverse[K, V comparable](m map[K]V) map[V]K {
	n := map[V]K{}
	for k, v := range m {
		n[v] = k
	}
	return n
}

// pieceBytes is the longest value that Redis keeps inside a small hash (hash-max-listpack-value).
const pieceBytes = 64

// tokenField packs a SHA-256 in hexadecimal into half its length; anything else stays as it is.
func tokenField(hash string) string {
	if raw, err := hex.DecodeString(hash); err == nil && len(raw) == 32 && hex.EncodeToString(raw) == hash {
		return "x" + string(raw)
	}
	return "=" + hash
}

func tokenHash(field string) string {
	if packed, ok := strings.CutPrefix(field, "x"); ok {
		return hex.EncodeToString([]byte(packed))
	}
	return strings.TrimPrefix(field, "=")
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// createdByID is the time that a request id tells, in milliseconds; 0 for an id of another form.
func createdByID(id string) int64 {
	b, err := idEncoding.DecodeString(id)
	if err != nil || len(b) != 16 {
		return 0
	}
	ms := int64(0)
	for _, v := range b[:6] {
		ms = ms<<8 | int64(v)
	}
	return ms
}

// requestFields are the fields of a record that submit stores beside session, token and deadline.
func requestFields(r pipeline.Request) ([]any, error) {
	var fields []any
	if r.Caller != "" {
		fields = append(fields, "c", r.Caller)
	}
	if r.Priority != 0 {
		fields = append(fields, "p", r.Priority)
	}
	if ms := r.CreatedAt.UnixMilli(); ms != createdByID(r.ID) {
		fields = append(fields, "b", ms)
	}
	options, err := json.Marshal(r.Options)
	if err != nil {
		return nil, fmt.Errorf("encode options: %w", err)
	}
	if string(options) == "{}" {
		return fields, nil
	}
	for i := 0; len(options) > 0; i++ {
		n := min(len(options), pieceBytes)
		name := "o"
		if i > 0 {
			name += strconv.Itoa(i)
		}
		fields = append(fields, name, options[:n])
		options = options[n:]
	}
	return fields, nil
}

func deadlineField(r pipeline.Request) any {
	if r.Deadline.IsZero() {
		return ""
	}
	return r.Deadline.UnixMilli()
}

// objectFields are an object as fields that start with the given letter. A name that begins with the request's id, as all
// of ours do, is kept without it: bucket names have neither ~ nor /, so the first of them tells.
func objectFields(letter, requestID string, o pipeline.Object) []any {
	where := o.Bucket + "/" + o.Name
	if rest, ok := strings.CutPrefix(o.Name, requestID+"/"); ok {
		where = o.Bucket + "~" + rest
	}
	fields := []any{letter, where, letter + "g", o.Generation}
	if o.Size != 0 {
		fields = append(fields, letter+"z", o.Size)
	}
	if o.CRC32C != 0 {
		fields = append(fields, letter+"c", int64(o.CRC32C))
	}
	if o.ContentType != "" {
		fields = append(fields, letter+"t", o.ContentType)
	}
	return fields
}

// reader turns the strings of a record into values and remembers the first that makes no sense.
type reader struct {
	fields map[string]string
	err    error
}

func (r *reader) text(name string) string { return r.fields[name] }

func (r *reader) number(name string) int64 {
	s := r.fields[name]
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("field %s: %w", name, err))
	}
	return n
}

func (r *reader) time(name string) time.Time {
	if r.fields[name] == "" {
		return time.Time{}
	}
	return time.UnixMilli(r.number(name)).UTC()
}

func (r *reader) json(text string, into any) {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("decode %T: %w", into, err))
	}
}

func (r *reader) object(letter, requestID string) pipeline.Object {
	o := pipeline.Object{Generation: r.number(letter + "g"), Size: r.number(letter + "z"),
		CRC32C: uint32(r.number(letter + "c")), ContentType: r.text(letter + "t")}
	where := r.text(letter)
	if i := strings.IndexAny(where, "~/"); i >= 0 {
		o.Bucket, o.Name = where[:i], where[i+1:]
		if where[i] == '~' {
			o.Name = requestID + "/" + o.Name
		}
	}
	return o
}

// request reads what requestFields and submit wrote; options are given whole.
func (r *reader) request(id, options string) pipeline.Request {
	q := pipeline.Request{ID: id, SessionID: r.text("s"), Caller: r.text("c"), TokenHash: tokenHash(r.text("t")),
		Priority: int(r.number("p")), CreatedAt: r.time("b"), Deadline: r.time("d")}
	if q.CreatedAt.IsZero() {
		q.CreatedAt = time.UnixMilli(createdByID(id)).UTC()
	}
	if options != "" {
		r.json(options, &q.Options)
	}
	return q
}

// failure reads the JSON of a failure, or the code of one that the queue itself gave.
func (r *reader) failure(text string, stage pipeline.Stage) *pipeline.Failure {
	switch text {
	case "":
		return nil
	case "!worker_lost":
		return queue.WorkerLost(stage)
	case "!deadline_exceeded":
		return queue.PastDeadline(stage)
	}
	f := new(pipeline.Failure)
	r.json(text, f)
	return f
}

// state reads a whole record and its extra.
func (r *reader) state(id string, extra map[string]string) queue.State {
	options := r.text("o")
	for i := 1; r.text("o"+strconv.Itoa(i)) != ""; i++ {
		options += r.text("o" + strconv.Itoa(i))
	}
	s := queue.State{
		Request: r.request(id, options), Status: letterStatuses[r.text("S")], Stage: letterStages[r.text("g")],
		Attempt: int(r.number("a")), Manifest: r.object("m", id),
		UpdatedAt: r.time("u"), StartedAt: r.time("z"), FinishedAt: r.time("y"),
	}
	if s.UpdatedAt.IsZero() {
		s.UpdatedAt = r.time("e")
	}
	if s.UpdatedAt.IsZero() {
		s.UpdatedAt = s.CreatedAt
	}
	if r.text("k") == "d" {
		s.RetryAt = r.time("x")
	}
	if s.Status == "" {
		r.err = errors.Join(r.err, fmt.Errorf("unknown status %q", r.text("S")))
	}
	s.Failure = r.failure(extra["f"], s.Stage)
	for line := range strings.Lines(extra["w"]) {
		var w pipeline.Warning
		r.json(line, &w)
		s.Warnings = append(s.Warnings, w)
	}
	if p := extra["p"]; p != "" {
		r.json(p, &s.Progress)
	}
	if r.text("g") != "" && r.text("g") == r.text("D") {
		s.Progress = pipeline.Progress{Stage: s.Stage, Percent: 100}
	}
	return s
}

// fieldsOf turns a list of names and values, as HGETALL gives it, into a map.
func fieldsOf(v any) (map[string]string, error) {
	list, ok := v.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, fmt.Errorf("fields and values expected, not %T", v)
	}
	m := make(map[string]string, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		m[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return m, nil
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
