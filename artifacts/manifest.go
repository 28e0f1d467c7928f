package artifacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// ManifestVersion is written into every manifest; a reader refuses a newer one.
const ManifestVersion = 1

// Artifact is an object with its meaning.
type Artifact struct {
	Kind   Kind            `json:"kind"`
	Object pipeline.Object `json:"object"`
}

// Tool is a program that took part, as it named itself.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// StageRecord records what one stage did.
type StageRecord struct {
	Stage        pipeline.Stage     `json:"stage"`
	Attempt      int                `json:"attempt"`
	Fence        int64              `json:"fence,string,omitempty"`
	WorkerAt     time.Time          `json:"worker_at,omitzero"`  // since when its worker ran
	ClaimedAt    time.Time          `json:"claimed_at,omitzero"` // when the worker got the task
	StartedAt    time.Time          `json:"started_at"`
	FinishedAt   time.Time          `json:"finished_at"`
	WallS        float64            `json:"wall_s"`
	CPUS         float64            `json:"cpu_s"`          // user + system, of the worker and its children
	PeakRSSBytes int64              `json:"peak_rss_bytes"` // largest single process
	Tools        []Tool             `json:"tools,omitempty"`
	Metrics      map[string]float64 `json:"metrics,omitempty"`
	Warnings     []pipeline.Warning `json:"warnings,omitempty"`
	Report       json.RawMessage    `json:"report,omitempty"`   // the stage's part of report.json, a ReportDocument
	CostUSD      float64            `json:"cost_usd,omitempty"` // wall time at the worker's price, an estimate; absent where it has none
	Programs     []ProgramTime      `json:"programs,omitempty"` // that the stage ran, by name
	Earlier      []Attempt          `json:"earlier,omitempty"`  // attempts that left no result, in order
}

// ProgramTime is what the runs of one program took together. Runs at the same time count each.
type ProgramTime struct {
	Name  string  `json:"name"`
	Runs  int     `json:"runs"`
	WallS float64 `json:"wall_s"`
	CPUS  float64 `json:"cpu_s"` // user + system
}

// Cost of the stage so far: of all its attempts.
func (r StageRecord) Cost() float64 {
	usd := r.CostUSD
	for _, a := range r.Earlier {
		usd += a.CostUSD
	}
	return usd
}

// Manifest says what a stage made out of what. It carries the whole history of its request, so that one manifest is
// enough to continue from and to explain a result.
type Manifest struct {
	Version     int              `json:"version"`
	Request     pipeline.Request `json:"request"`
	Stage       pipeline.Stage   `json:"stage"`
	Fence       int64            `json:"fence,string"`
	OptionsHash string           `json:"options_hash"`
	Inputs      []Artifact       `json:"inputs"`  // everything earlier stages left, the upload included
	Outputs     []Artifact       `json:"outputs"` // what this stage left
	History     []StageRecord    `json:"history"` // one record per stage so far, this one last
}

// Find returns the newest artifact of a kind among outputs and inputs.
func (m *Manifest) Find(kind Kind) (pipeline.Object, bool) {
	for _, list := range [][]Artifact{m.Outputs, m.Inputs} {
		for _, a := range slices.Backward(list) {
			if a.Kind == kind {
				return a.Object, true
			}
		}
	}
	return pipeline.Object{}, false
}

// Results are the artifacts that a client may download, in the order of ForClients.
func (m *Manifest) Results() []Artifact {
	var results []Artifact
	for _, kind := range ForClients() {
		if o, ok := m.Find(kind); ok {
			results = append(results, Artifact{Kind: kind, Object: o})
		}
	}
	return results
}

// Known is every artifact that the next stage may use.
func (m *Manifest) Known() []Artifact { return slices.Concat(m.Inputs, m.Outputs) }

// WriteManifest stores m where its stage's successor listens. A manifest is written once: when there is one already the
// object that exists is returned with ErrExists, since its writer did the same work first.
func WriteManifest(ctx context.Context, s Store, b Buckets, m *Manifest) (pipeline.Object, error) {
	bucket, name := b.ManifestBucket(m.Stage), ManifestName(m.Request.ID, m.Stage)
	o, err := PutJSON(ctx, s, bucket, name, m, PutOptions{DoesNotExist: true})
	if errors.Is(err, ErrExists) {
		existing, statErr := s.Stat(ctx, bucket, name)
		if statErr != nil {
			return pipeline.Object{}, fmt.Errorf("look at existing manifest: %w", statErr)
		}
		return existing, ErrExists
	}
	if err != nil {
		return pipeline.Object{}, fmt.Errorf("write manifest: %w", err)
	}
	return o, nil
}

// ReadManifest reads and checks the manifest in o.
func ReadManifest(ctx context.Context, s Store, o pipeline.Object) (*Manifest, error) {
	var m Manifest
	if err := GetJSON(ctx, s, o, &m, MaxDocumentBytes); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Version < 1 || m.Version > ManifestVersion {
		return nil, fmt.Errorf("manifest %v has version %d, this program reads up to %d", o, m.Version, ManifestVersion)
	}
	if _, err := pipeline.ParseStage(string(m.Stage)); err != nil {
		return nil, fmt.Errorf("manifest %v: %w: %w", o, ErrDamaged, err)
	}
	if !pipeline.ValidRequestID(m.Request.ID) || len(m.History) == 0 {
		return nil, fmt.Errorf("manifest %v names no request or no history: %w", o, ErrDamaged)
	}
	return &m, nil
}
