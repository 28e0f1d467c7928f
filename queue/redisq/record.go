package redisq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// record is what scripts return of a request, as JSON: the fields of lua/keys.lua that a program reads, the request's id, and the
// fields of its report. Redis keeps every value as text.
type record struct {
	ID string `json:"id"`

	SessionID string `json:"session"`
	Caller    string `json:"caller"`
	TokenHash string `json:"token"`
	Priority  int    `json:"priority,string"`
	Options   string `json:"options"` // JSON
	CreatedAt millis `json:"created,string"`
	Deadline  millis `json:"deadline,string"`

	Status     pipeline.Status `json:"status"`
	UpdatedAt  millis          `json:"updated,string"`
	StartedAt  millis          `json:"started,string"`
	FinishedAt millis          `json:"finished,string"`

	Stage     pipeline.Stage `json:"stage"`
	Task      string         `json:"task"`
	Attempt   int            `json:"attempt,string"`
	Exhausted int            `json:"exhausted,string"`
	Fence     int64          `json:"fence,string"`
	EndsAt    millis         `json:"ends,string"`
	DoneStage pipeline.Stage `json:"done_stage"`

	InputBucket         string `json:"input_bucket"`
	InputName           string `json:"input_name"`
	InputGeneration     int64  `json:"input_generation,string"`
	InputSize           int64  `json:"input_size,string"`
	InputCRC32C         uint32 `json:"input_crc,string"`
	InputContentType    string `json:"input_type"`
	ManifestBucket      string `json:"manifest_bucket"`
	ManifestName        string `json:"manifest_name"`
	ManifestGeneration  int64  `json:"manifest_generation,string"`
	ManifestSize        int64  `json:"manifest_size,string"`
	ManifestCRC32C      uint32 `json:"manifest_crc,string"`
	ManifestContentType string `json:"manifest_type"`

	Progress string `json:"progress"` // JSON
	Failure  string `json:"failure"`  // JSON
	Warnings string `json:"warnings"` // JSON, one a line
}

// millis is a time in milliseconds since 1970; 0: none.
type millis int64

func (m millis) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
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

func (r record) input() pipeline.Object {
	return pipeline.Object{Bucket: r.InputBucket, Name: r.InputName, Generation: r.InputGeneration, Size: r.InputSize,
		CRC32C: r.InputCRC32C, ContentType: r.InputContentType}
}

func (r record) manifest() pipeline.Object {
	return pipeline.Object{Bucket: r.ManifestBucket, Name: r.ManifestName, Generation: r.ManifestGeneration, Size: r.ManifestSize,
		CRC32C: r.ManifestCRC32C, ContentType: r.ManifestContentType}
}

func (r record) request() (pipeline.Request, error) {
	q := pipeline.Request{ID: r.ID, SessionID: r.SessionID, Caller: r.Caller, TokenHash: r.TokenHash, Priority: r.Priority,
		CreatedAt: r.CreatedAt.time(), Deadline: r.Deadline.time()}
	return q, fromJSON(r.Options, &q.Options)
}

// failure is the reported failure; nil when there is none.
func (r record) failure() (*pipeline.Failure, error) {
	if r.Failure == "" {
		return nil, nil
	}
	f := new(pipeline.Failure)
	return f, fromJSON(r.Failure, f)
}

// state is the whole record at a time.
func (r record) state(now time.Time) (queue.State, error) {
	request, err := r.request()
	failure, failureErr := r.failure()
	s := queue.State{Request: request, Status: r.Status, Stage: r.Stage, Attempt: r.Attempt, Failure: failure, Manifest: r.manifest(),
		UpdatedAt: r.UpdatedAt.time(), StartedAt: r.StartedAt.time(), FinishedAt: r.FinishedAt.time()}
	err = errors.Join(err, failureErr, fromJSON(r.Progress, &s.Progress))
	for text := range strings.Lines(r.Warnings) {
		var w pipeline.Warning
		err = errors.Join(err, fromJSON(text, &w))
		s.Warnings = append(s.Warnings, w)
	}
	if r.Stage != "" && r.Stage == r.DoneStage {
		s.Progress = pipeline.Progress{Stage: r.Stage, Percent: 100}
	}
	if retry := r.EndsAt.time(); r.Task == "delayed" && retry.After(now) {
		s.RetryAt = retry
	}
	if err != nil {
		return s, fmt.Errorf("queue: record of %s: %w", r.ID, err)
	}
	return s, nil
}

// fromJSON decodes a field of a record; an empty one changes nothing.
func fromJSON(text string, into any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("decode %T: %w", into, err)
	}
	return nil
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
