package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/pipeline"
)

// Job is what a stage's Run function sees of the world: its inputs, an empty folder, and where to put results and news.
// Its methods may be called from several goroutines.
type Job struct {
	Request pipeline.Request
	Options pipeline.Options // the request's, defaults filled in
	Attempt int
	Dir     string // empty, on local disk, removed afterwards
	Smaller bool   // an attempt before this one ran out of memory or disk: plan less
	// Earlier is why the attempt before this one failed; nil when there was none.
	Earlier *pipeline.Failure

	known    []artifacts.Artifact
	history  []artifacts.StageRecord
	stage    pipeline.Stage
	fence    int64
	store    artifacts.Store
	buckets  artifacts.Buckets
	stopping chan struct{}
	saved    func(context.Context) error // reports to the queue that the task got further
	now      func() time.Time

	journal   *journal
	startCPUS float64 // of the worker when the job began
	usdPerS   float64 // price of the worker
	room      func() (Space, error)

	mu       sync.Mutex
	record   artifacts.StageRecord
	outputs  []artifacts.Artifact
	progress pipeline.Progress
	unsent   []pipeline.Warning // the queue has not heard of them yet
	fresh    chan struct{}      // signals the heartbeat that there is news
}

// Stopping is closed when the worker has to stop: save your state within seconds and return ErrStopped.
func (j *Job) Stopping() <-chan struct{} { return j.stopping }

// Find returns the newest artifact of a kind that an earlier stage left.
func (j *Job) Find(kind artifacts.Kind) (pipeline.Object, bool) {
	m := artifacts.Manifest{Outputs: j.known}
	return m.Find(kind)
}

// Fetch copies the artifact of a kind into the job's folder and returns its path.
func (j *Job) Fetch(ctx context.Context, kind artifacts.Kind) (string, error) {
	o, ok := j.Find(kind)
	if !ok {
		return "", missing(kind)
	}
	name := kind.FileName()
	if name == "" {
		name = string(kind)
	}
	path := filepath.Join(j.Dir, name)
	return path, j.download(ctx, o, path)
}

// FetchBundle unpacks an artifact made by artifacts.Pack into a folder of its own and returns that folder.
func (j *Job) FetchBundle(ctx context.Context, kind artifacts.Kind) (string, error) {
	o, ok := j.Find(kind)
	if !ok {
		return "", missing(kind)
	}
	dir := filepath.Join(j.Dir, string(kind))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	r, err := j.store.Open(ctx, o)
	if err != nil {
		return "", fmt.Errorf("fetch %v: %w", o, err)
	}
	if err := errors.Join(artifacts.Unpack(r, dir), r.Close()); err != nil {
		return "", fmt.Errorf("fetch %v: %w", o, err)
	}
	return dir, nil
}

// FetchUpload copies what the client gave into the job's folder and returns its path: of the file when it is one, of a
// folder of files when there are several. What the machine has no room for is refused before it is fetched.
func (j *Job) FetchUpload(ctx context.Context) (string, error) {
	uploads := j.uploads()
	if err := j.checkRoom(uploads); err != nil {
		return "", err
	}
	target := filepath.Join(j.Dir, string(artifacts.Upload))
	if len(uploads) == 1 {
		return target, uploadFailure(j.download(ctx, uploads[0], target))
	}
	if len(uploads) == 0 {
		return "", missing(artifacts.Upload)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return "", err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFetches)
	for _, o := range uploads {
		group.Go(func() error { return j.download(ctx, o, filepath.Join(target, path.Base(o.Name))) })
	}
	return target, uploadFailure(group.Wait())
}

// uploads are the objects that the client gave.
func (j *Job) uploads() (uploads []pipeline.Object) {
	for _, a := range j.known {
		if a.Kind == artifacts.Upload {
			uploads = append(uploads, a.Object)
		}
	}
	return uploads
}

// parallelFetches hides the wait for each answer when a capture is hundreds of photos.
const parallelFetches = 8

func (j *Job) download(ctx context.Context, o pipeline.Object, path string) (err error) {
	r, err := j.store.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("fetch %v: %w", o, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return fmt.Errorf("fetch %v: %w", o, err)
	}
	return nil
}

// Publish stores a file as an artifact of this stage. It becomes visible to others with the stage's manifest.
func (j *Job) Publish(ctx context.Context, kind artifacts.Kind, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("publish %s: %w", kind, err)
	}
	defer f.Close()
	return j.PublishFrom(ctx, kind, f)
}

// PublishFrom is Publish for what is not a file.
func (j *Job) PublishFrom(ctx context.Context, kind artifacts.Kind, r io.Reader) error {
	o, err := j.put(ctx, kind, r)
	if err != nil {
		return fmt.Errorf("publish %s: %w", kind, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.outputs = append(j.outputs, artifacts.Artifact{Kind: kind, Object: o})
	return nil
}

// PublishJSON stores a document as an output of the stage.
func (j *Job) PublishJSON(ctx context.Context, kind artifacts.Kind, document any) error {
	body, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	return j.PublishFrom(ctx, kind, bytes.NewReader(body))
}

// FetchJSON reads a document that an earlier stage left, whatever its size.
func (j *Job) FetchJSON(ctx context.Context, kind artifacts.Kind, document any) error {
	path, err := j.Fetch(ctx, kind)
	if err != nil {
		return err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, document); err != nil {
		return fmt.Errorf("read %s: %w", kind, err)
	}
	return nil
}

func (j *Job) put(ctx context.Context, kind artifacts.Kind, r io.Reader) (pipeline.Object, error) {
	return j.store.Put(ctx, j.buckets.Artifacts, artifacts.Path(j.Request.ID, j.stage, j.fence, kind), r,
		artifacts.PutOptions{ContentType: kind.ContentType()})
}

// SaveCheckpoint stores the state of unfinished work where the next worker of this task finds it.
func (j *Job) SaveCheckpoint(ctx context.Context, r io.Reader) error {
	if _, err := j.put(ctx, artifacts.Checkpoint, r); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	_ = j.saved(ctx) // a lost lease ends the work by its heartbeat, and the next checkpoint says it again
	return nil
}

// OpenCheckpoint opens the newest checkpoint that any worker of this task saved: the one with the highest fence. It
// returns artifacts.ErrNotFound when there is none.
func (j *Job) OpenCheckpoint(ctx context.Context) (io.ReadCloser, error) {
	var newest pipeline.Object
	var highest int64
	for o, err := range j.store.List(ctx, j.buckets.Artifacts, artifacts.StagePrefix(j.Request.ID, j.stage)) {
		if err != nil {
			return nil, fmt.Errorf("look for checkpoints: %w", err)
		}
		fence, ok := artifacts.FenceOf(o.Name)
		if ok && fence > highest && o.Name == artifacts.Path(j.Request.ID, j.stage, fence, artifacts.Checkpoint) {
			newest, highest = o, fence
		}
	}
	if highest == 0 {
		return nil, artifacts.ErrNotFound
	}
	return j.store.Open(ctx, newest)
}

// Progress reports how far the stage is. Percent counts for the whole stage and never falls, whatever is reported.
func (j *Job) Progress(p pipeline.Progress) {
	j.mu.Lock()
	p.Stage = j.stage
	p.Percent = min(max(p.Percent, j.progress.Percent), 100)
	p.Warning, p.Preview = nil, j.progress.Preview
	p.CostUSD = j.cost(j.now()) // with other news only: cost alone is not worth a call
	j.progress = p
	j.mu.Unlock()
	j.signal()
}

// cost estimates what the job has cost at a time: the worker's price for as long as it worked.
func (j *Job) cost(at time.Time) float64 {
	if j.record.StartedAt.IsZero() {
		return 0
	}
	return at.Sub(j.record.StartedAt).Seconds() * j.usdPerS
}

// signal wakes the heartbeat. While it has not sent the last news yet, it will send the newest instead.
func (j *Job) signal() {
	select {
	case j.fresh <- struct{}{}:
	default:
	}
}

// Warn records something the client should know although the request continues.
func (j *Job) Warn(w pipeline.Warning) {
	w.Stage = j.stage
	j.mu.Lock()
	j.record.Warnings = append(j.record.Warnings, w)
	j.unsent = append(j.unsent, w)
	j.mu.Unlock()
	j.signal()
}

// WarnAll passes on what engines warn of.
func (j *Job) WarnAll(warnings ...fault.Warning) {
	for _, w := range warnings {
		j.Warn(pipeline.Warning{Code: w.Code, Message: w.Message, Advice: w.Advice})
	}
}

// Metric records a number about what the stage did.
func (j *Job) Metric(name string, v float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.record.Metrics == nil {
		j.record.Metrics = map[string]float64{}
	}
	j.record.Metrics[name] = v
}

// Tool records a program that took part.
func (j *Job) Tool(name, version string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record.Tools = append(j.record.Tools, artifacts.Tool{Name: name, Version: version})
}

// Report records the stage's part of report.json.
func (j *Job) Report(part artifacts.ReportDocument) error {
	b, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("encode report of %s: %w", j.stage, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record.Report = b
	return nil
}

// ReportSoFar is the report of the whole request up to this moment, this stage's unfinished record included.
func (j *Job) ReportSoFar() (*artifacts.ReportDocument, error) {
	j.mu.Lock()
	record := j.record
	record.FinishedAt = j.now()
	record.CostUSD = j.cost(record.FinishedAt)
	j.mu.Unlock()
	record.WallS = record.FinishedAt.Sub(record.StartedAt).Seconds()
	now := usage()
	record.CPUS = now.cpuS - j.startCPUS
	record.PeakRSSBytes = max(now.peakRSSBytes, j.journal.largestProgram())
	record.Programs = j.journal.programTimes()
	return artifacts.NewReport(j.Request, append(j.history[:len(j.history):len(j.history)], record))
}

// latest is the news for a heartbeat, with the oldest warning that the queue has not heard of.
func (j *Job) latest() pipeline.Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.progress
	p.Metrics = maps.Clone(p.Metrics)
	if len(j.unsent) > 0 {
		w := j.unsent[0]
		p.Warning = &w
	}
	return p
}

// published notes that the queue has p; more says whether warnings are left to publish.
func (j *Job) published(p pipeline.Progress) (more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Warning != nil {
		j.unsent = j.unsent[1:]
	}
	return len(j.unsent) > 0
}

// manifest is what the job leaves when it has succeeded.
func (j *Job) manifest() *artifacts.Manifest {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &artifacts.Manifest{
		Version: artifacts.ManifestVersion, Request: j.Request, Stage: j.stage, Fence: j.fence, OptionsHash: j.Options.Hash(),
		Inputs: j.known, Outputs: j.outputs, History: append(j.history[:len(j.history):len(j.history)], j.record),
	}
}
