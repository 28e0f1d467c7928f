package redisq

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	var b [16]byte
	if len(id) != idEncoding.EncodedLen(len(b)) {
		return 0
	}
	if _, err := idEncoding.Decode(b[:], []byte(id)); err != nil {
		return 0
	}
	ms := int64(0)
	for _, v := range b[:6] {
		ms = ms<<8 | int64(v)
	}
	return ms
}

// requestFields are the fields of a record that are written once: identity in lua/common.lua reads the pieces r.
func requestFields(r pipeline.Request) ([]any, error) {
	options, err := optionsText(r.Options)
	if err != nil {
		return nil, err
	}
	fields := make([]any, 0, 16)
	created, deadline := "", ""
	if ms := r.CreatedAt.UnixMilli(); ms != createdByID(r.ID) {
		created = strconv.FormatInt(ms, 10)
	}
	if !r.Deadline.IsZero() {
		deadline = strconv.FormatInt(r.Deadline.UnixMilli(), 10)
	}
	whole := strings.Join([]string{r.SessionID, r.Caller, strconv.Itoa(r.Priority), created, deadline, options,
		tokenField(r.TokenHash)}, nul)
	for i := 0; whole != ""; i++ {
		n := min(len(whole), pieceBytes)
		fields = append(fields, pieceName(i), whole[:n])
		whole = whole[n:]
	}
	if r.Priority != 0 {
		fields = append(fields, "p", r.Priority)
	}
	return fields, nil
}

// optionsText is options as JSON or, when only a preset was asked for, as that word alone.
func optionsText(o pipeline.Options) (string, error) {
	if reflect.DeepEqual(o, pipeline.Options{Preset: o.Preset}) && !strings.ContainsAny(string(o.Preset), "{"+nul) {
		return string(o.Preset), nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("encode options: %w", err)
	}
	return string(b), nil
}

const nul = "\x00"

func pieceName(i int) string {
	if i == 0 {
		return "r"
	}
	return "r" + strconv.Itoa(i)
}

// objectFields are an object in two fields: bucket and name; generation, size, crc32c and content type. A name that begins with the
// request's id, as all of ours do, is kept without it: bucket names have neither ~ nor /, so the first of them tells.
func objectFields(requestID string, o pipeline.Object) [2]any {
	name, ours := strings.CutPrefix(o.Name, requestID+"/")
	separator := "/"
	if ours {
		separator = "~"
	}
	rest := strconv.AppendInt(make([]byte, 0, pieceBytes), o.Generation, 10)
	rest = strconv.AppendInt(append(rest, ' '), o.Size, 10)
	rest = strconv.AppendUint(append(rest, ' '), uint64(o.CRC32C), 10)
	return [2]any{o.Bucket + separator + name, string(append(append(rest, ' '), o.ContentType...))}
}

// reader turns the strings of a record into values and remembers the first that makes no sense.
type reader struct {
	fields map[string]string
	err    error
}

func (r *reader) text(name string) string { return r.fields[name] }

func (r *reader) number(name string) int64 { return r.integer(r.fields[name]) }

func (r *reader) integer(s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.err = errors.Join(r.err, err)
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

// object reads what objectFields wrote; nothing makes no object.
func (r *reader) object(where, rest, requestID string) pipeline.Object {
	var o pipeline.Object
	if where == "" {
		return o
	}
	generation, sizes, _ := strings.Cut(rest, " ")
	size, sums, _ := strings.Cut(sizes, " ")
	crc, contentType, complete := strings.Cut(sums, " ")
	if !complete {
		r.err = errors.Join(r.err, fmt.Errorf("%q describes no object", rest))
		return o
	}
	o.Generation, o.Size, o.ContentType = r.integer(generation), r.integer(size), contentType
	sum, err := strconv.ParseUint(crc, 10, 32)
	if o.CRC32C = uint32(sum); err != nil {
		r.err = errors.Join(r.err, err)
	}
	if i := strings.IndexAny(where, "~/"); i >= 0 {
		o.Bucket, o.Name = where[:i], where[i+1:]
		if where[i] == '~' {
			o.Name = requestID + "/" + o.Name
		}
	}
	return o
}

// request reads the pieces that requestFields wrote, put together.
func (r *reader) request(id, whole string) pipeline.Request {
	parts := strings.SplitN(whole, nul, 7)
	if len(parts) != 7 {
		r.err = errors.Join(r.err, fmt.Errorf("%q is no request", whole))
		return pipeline.Request{}
	}
	q := pipeline.Request{ID: id, SessionID: parts[0], Caller: parts[1], Priority: int(r.integer(parts[2])),
		CreatedAt: time.UnixMilli(createdByID(id)).UTC(), TokenHash: tokenHash(parts[6])}
	if parts[3] != "" {
		q.CreatedAt = time.UnixMilli(r.integer(parts[3])).UTC()
	}
	if parts[4] != "" {
		q.Deadline = time.UnixMilli(r.integer(parts[4])).UTC()
	}
	if strings.HasPrefix(parts[5], "{") {
		r.json(parts[5], &q.Options)
	} else {
		q.Options.Preset = pipeline.Preset(parts[5])
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
	whole := r.text("r")
	for i := 1; len(whole) == i*pieceBytes; i++ {
		whole += r.text(pieceName(i))
	}
	s := queue.State{
		Request: r.request(id, whole), Status: letterStatuses[r.text("S")], Stage: letterStages[r.text("g")],
		Attempt: int(r.number("a")), Manifest: r.object(r.text("m"), r.text("mg"), id),
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
