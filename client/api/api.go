// Package api is the documents of the request API as they travel: what functions/trigger reads and writes, and what
// package client and its callers see. docs/api.md describes them.
package api

import (
	"fmt"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Trigger asks for a reconstruction: the body of POST /trigger-reconstruction.
type Trigger struct {
	SessionID   string           `json:"session_id"`             // your own name for it: 1 to 128 of A-Z a-z 0-9 . _ -
	Priority    int              `json:"priority,omitempty"`     // 0 to 4095, higher first
	Options     pipeline.Options `json:"options,omitzero"`       //
	ContentType string           `json:"content_type,omitempty"` // of the upload; default application/octet-stream
	Source      string           `json:"source,omitempty"`       // gs://BUCKET/OBJECT in place of an upload, where the deployment allows the bucket
	Uploads     string           `json:"uploads,omitempty"`      // Several; absent: one upload
	CallbackURL string           `json:"callback_url,omitempty"` // public https address that is called when the request ends
	Email       string           `json:"email,omitempty"`        // address that gets one mail when the request is COMPLETED or FAILED, where the deployment sends mails
}

// Several is the value of Trigger.Uploads for a capture of more than one file.
const Several = "several"

// Accepted answers a Trigger.
type Accepted struct {
	RequestID     string          `json:"request_id"`
	SessionID     string          `json:"session_id"`
	Status        pipeline.Status `json:"status"`                   // QUEUED
	CallbackToken string          `json:"callback_token"`           // shown this once: reads and cancels this request
	StatusURL     string          `json:"status_url"`               // with "Authorization: Bearer TOKEN" or ?callback_token=TOKEN
	EventsURL     string          `json:"events_url"`               // the status document as server-sent events
	CancelURL     string          `json:"cancel_url"`               // POST, same authorization
	WebhookSecret string          `json:"webhook_secret,omitempty"` // verifies the calls of callback_url (Standard Webhooks)
	Deadline      time.Time       `json:"deadline,omitzero"`
	Upload        *Upload         `json:"upload,omitempty"`       // of the one upload; absent with several or a source
	UploadsURL    string          `json:"uploads_url,omitempty"`  // with several: POST UploadsAsked for links
	CompleteURL   string          `json:"complete_url,omitempty"` // with several: POST Complete when all are there
}

// UploadsAsked asks for links to upload some of a capture's files.
type UploadsAsked struct {
	Files []File `json:"files"` // 1 to 100 a call
}

// File is one file of a capture.
type File struct {
	Name        string `json:"name"`                   // your own, without slashes; the capture's order
	Size        int64  `json:"size,omitempty"`         // in bytes; absent: files without one share alike what the capture has left
	ContentType string `json:"content_type,omitempty"` // default application/octet-stream
}

// Uploads answers UploadsAsked.
type Uploads struct {
	Uploads []NamedUpload `json:"uploads"`
}

// NamedUpload is the link for one file.
type NamedUpload struct {
	Name   string `json:"name"`
	Upload Upload `json:"upload"`
}

// Complete says that a capture of several files is whole.
type Complete struct {
	Names []string `json:"names,omitempty"` // the files that make it up; absent: all that were uploaded
}

// Upload says how the capture gets into the bucket: send Method to URL with exactly Headers and no body; the answer's
// Location is the session to PUT the bytes to, in chunks.
type Upload struct {
	Method        string            `json:"method"`
	URL           string            `json:"url"`
	Headers       map[string]string `json:"headers"`
	Object        string            `json:"object"`              // gs://bucket/name
	MaxBytes      int64             `json:"max_bytes,omitempty"` // 0: not bounded
	ExpiresAt     time.Time         `json:"expires_at"`          // of URL; the session it opens lives a week
	ChunkMultiple int64             `json:"chunk_multiple_bytes"`
	Note          string            `json:"note"`
}

// ChunkMultiple is what every chunk but the last must be a multiple of (docs: Cloud Storage, resumable uploads).
const ChunkMultiple = 256 << 10

// Deployment is what a caller has to know of a deployment before it asks: the answer of GET /deployment.
type Deployment struct {
	Email   bool `json:"email"`    // a request may name an address that is mailed at its end
	APIKeys bool `json:"api_keys"` // a request needs an API key
}

// EstimateAsked is the body of POST /estimate: a capture as far as it is known before the upload, and the options.
type EstimateAsked struct {
	Images  int              `json:"images,omitempty"`  // photos, or frames where it is known how many will be used; 0: a video
	VideoS  float64          `json:"video_s,omitempty"` // length of the video; 0: photos
	Options pipeline.Options `json:"options,omitzero"`
}

// Estimate is what a request would take. It starts when the upload is complete; time in the queue comes on top.
type Estimate struct {
	Images  Interval        `json:"images"` // that will be used
	Seconds Interval        `json:"seconds"`
	CostUSD *Interval       `json:"cost_usd,omitempty"` // absent until a request has finished where workers have a price
	Stages  []StageEstimate `json:"stages"`
	BasedOn EstimateBasis   `json:"based_on"`
}

// StageEstimate is the part of one stage.
type StageEstimate struct {
	Stage   pipeline.Stage `json:"stage"`
	Seconds Interval       `json:"seconds"`
	CostUSD *Interval      `json:"cost_usd,omitempty"`
}

// Interval holds the middle four of five outcomes; half of them are below Likely.
type Interval struct {
	Low    float64 `json:"low"`
	Likely float64 `json:"likely"`
	High   float64 `json:"high"`
}

// EstimateBasis is what an estimate rests on.
type EstimateBasis struct {
	Requests int `json:"requests"` // that finished here and were counted; 0: rules of thumb alone
	Alike    int `json:"alike"`    // of them with the same preset and kind of capture
}

// Status is the status document of a request.
type Status struct {
	RequestID     string             `json:"request_id"`
	SessionID     string             `json:"session_id"`
	Status        pipeline.Status    `json:"status"`
	Stage         pipeline.Stage     `json:"stage,omitempty"` // absent while waiting for the upload
	Priority      int                `json:"priority"`
	Progress      Progress           `json:"progress"`
	QueuePosition *int               `json:"queue_position,omitempty"` // among the waiting tasks of the stage, 1 is next; absent when not waiting
	ETAS          *float64           `json:"eta_s,omitempty"`          // seconds until done, where that can be estimated
	ETAConfidence string             `json:"eta_confidence,omitempty"` // low, medium or high
	Attempts      int                `json:"attempts"`                 // of the current stage
	RetryAt       time.Time          `json:"retry_at,omitzero"`        // when a failed attempt is retried
	Timings       Timings            `json:"timings"`
	Warnings      []pipeline.Warning `json:"warnings"`
	Failure       *Failure           `json:"failure,omitempty"`  // why it FAILED or, while retrying, what went wrong last
	Preview       *Preview           `json:"preview,omitempty"`  // of what is being made, once there is anything to look at
	Results       []Result           `json:"results,omitempty"`  // when COMPLETED
	CostUSD       float64            `json:"cost_usd,omitempty"` // so far, an estimate; absent where workers have no price
}

// Preview is something to look at while a request is worked on: a compressed PLY of at most a megabyte or two.
type Preview struct {
	Kind      string    `json:"kind"`    // points: cameras and sparse points; splat: the splat, as far as it is
	Version   string    `json:"version"` // another one whenever the file is another
	FileName  string    `json:"file_name"`
	Size      int64     `json:"size"` // bytes of this version
	URL       string    `json:"url"`  // of the newest version
	ExpiresAt time.Time `json:"expires_at"`
}

// Progress of a request: Percent of the whole, Step and what follows it of the current stage.
type Progress struct {
	Percent float64            `json:"percent"`
	Step    string             `json:"step"`
	Message string             `json:"message,omitempty"`
	Done    float64            `json:"done,omitempty"` // in the step's own unit
	Total   float64            `json:"total,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Stages  []StageProgress    `json:"stages"`
}

// StageProgress is one line of Progress.Stages, in the order of the pipeline.
type StageProgress struct {
	Stage   pipeline.Stage `json:"stage"`
	Percent float64        `json:"percent"`
}

// Timings of a request.
type Timings struct {
	CreatedAt  time.Time     `json:"created_at"`
	StartedAt  time.Time     `json:"started_at,omitzero"`
	UpdatedAt  time.Time     `json:"updated_at"`
	FinishedAt time.Time     `json:"finished_at,omitzero"`
	Deadline   time.Time     `json:"deadline,omitzero"`
	Stages     []StageTiming `json:"stages,omitempty"` // of the stages that are done
}

// StageTiming is what one finished stage took.
type StageTiming struct {
	Stage      pipeline.Stage `json:"stage"`
	Attempt    int            `json:"attempt"`
	StartedAt  time.Time      `json:"started_at"`
	FinishedAt time.Time      `json:"finished_at"`
	WallS      float64        `json:"wall_s"`
}

// Failure is a pipeline.Failure with its consequence.
type Failure struct {
	pipeline.Failure
	Retryable bool `json:"retryable"` // whether the same input may succeed when it is submitted again
}

// Result is one file a finished request left.
type Result struct {
	Kind        string    `json:"kind"`
	FileName    string    `json:"file_name"`
	ContentType string    `json:"content_type,omitempty"`
	Size        int64     `json:"size"`
	CRC32C      string    `json:"crc32c"` // base64 of the big-endian Castagnoli checksum, as in x-goog-hash
	URL         string    `json:"url"`    // GET, signed
	ExpiresAt   time.Time `json:"expires_at"`
}

// Note is a few words at a place of the splat.
type Note struct {
	Position []float64 `json:"position"` // x, y, z in the splat's own coordinates
	Text     string    `json:"text"`     // at most 500 bytes
}

// Notes are all notes of a request: the answer of GET /notes, and the body and the answer of PUT /notes.
type Notes struct {
	Notes   []Note `json:"notes"`             // at most 50
	Version string `json:"version,omitempty"` // of what is stored; PUT replaces that version alone. Absent: nothing was stored yet
}

// ShareAsked asks for a link that shows the result of a request: the body of POST /shares.
type ShareAsked struct {
	Title      string `json:"title,omitempty"`        // shown with the result; at most 200 bytes
	ExpiresInS int64  `json:"expires_in_s,omitempty"` // seconds; absent: until it is revoked or the results are deleted
	Photos     bool   `json:"photos,omitempty"`       // some photographs may be seen, too: pairs.jpg
}

// Share is a link that shows the result of a request and can do nothing else.
type Share struct {
	ShareID    string    `json:"share_id"`
	Title      string    `json:"title,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	Photos     bool      `json:"photos,omitempty"`
	ShareToken string    `json:"share_token,omitempty"` // shown once, when the share is made
	URL        string    `json:"url,omitempty"`         // of the page that shows the result; once, where there is a page
}

// Shares are the shares of a request.
type Shares struct {
	Shares []Share `json:"shares"`
}

// Shared is what a share shows.
type Shared struct {
	Title     string    `json:"title,omitempty"`
	CreatedAt time.Time `json:"created_at"` // of the share
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Results   []Result  `json:"results"`
	Notes     []Note    `json:"notes,omitempty"`
}

// Problem is every error answer: RFC 9457 with a stable code and advice.
type Problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	Advice    string `json:"advice,omitempty"`
	Retryable bool   `json:"retryable"`
	RequestID string `json:"request_id,omitempty"` // of the request that is in the way

	RetryAfter time.Duration `json:"-"` // from the header
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Code)
	if p.Detail == "" {
		s = fmt.Sprintf("%s (%d %s)", p.Title, p.Status, p.Code)
	}
	if p.RequestID != "" {
		s += ": request " + p.RequestID
	}
	if p.Advice != "" {
		s += ". " + p.Advice
	}
	return s
}
