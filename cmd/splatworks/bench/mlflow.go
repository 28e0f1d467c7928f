package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MLflow's limits for what is logged of a run, which its server refuses beyond (mlflow/utils/validation.py).
const (
	maxParamBytes = 6000
	maxTagBytes   = 8000
)

// entry is a key with its value, as MLflow has parameters and tags.
type entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// metric is one value of one metric.
type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"` // ms
	Step      int64   `json:"step"`
}

// logged is a run as MLflow keeps it.
type logged struct {
	Name       string
	Start, End int64 // ms
	Failed     bool
	Params     []entry
	Tags       []entry
	Metrics    []metric
	Files      []string // paths
}

// unfitKey is what MLflow allows in no key.
var unfitKey = regexp.MustCompile(`[^A-Za-z0-9_\-. :/]`)

func key(s string) string { return unfitKey.ReplaceAllString(s, "_") }

// asLogged turns a record into what MLflow logs. The last value of a metric that has a curve is the run's own: a curve has its
// training steps, a single value has step 0.
func asLogged(r Record) logged {
	l := logged{Name: r.Name(), Start: r.StartedAt.UnixMilli(), End: r.FinishedAt.UnixMilli(), Failed: r.Failure != ""}
	params := maps.Clone(r.Params)
	params["capture"] = r.Capture
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if v := params[name]; v != "" { // MLflow's files cannot hold an empty value
			l.Params = append(l.Params, entry{key(name), cut(v, maxParamBytes)})
		}
	}
	for _, t := range []entry{{"mlflow.runName", r.Name()}, {"mlflow.source.name", "splatworks bench"}, {"mlflow.source.type", "LOCAL"},
		{"splatworks.program", r.Program}, {"splatworks.args", strings.Join(r.Args, " ")}, {"splatworks.warnings", strings.Join(r.Warnings, ",")},
		{"splatworks.failure", strings.TrimSpace(r.Failure + " " + r.Message)}} {
		if t.Value != "" {
			l.Tags = append(l.Tags, entry{t.Key, cut(t.Value, maxTagBytes)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Curves)) {
		for _, p := range r.Curves[name] {
			at := l.Start + int64(p.AtS*1000)
			l.Metrics = append(l.Metrics, metric{key("curve/" + name), p.Value, at, int64(p.Step)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		l.Metrics = append(l.Metrics, metric{key(name), r.Metrics[name], l.End, 0})
	}
	l.Metrics = slices.DeleteFunc(l.Metrics, func(m metric) bool { return math.IsNaN(m.Value) || math.IsInf(m.Value, 0) }) // JSON has neither
	for _, name := range append([]string{"report.json", recordFile}, r.Pictures...) {
		if path := filepath.Join(r.Dir, name); isFile(path) {
			l.Files = append(l.Files, path)
		}
	}
	return l
}

func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// WriteMLflow writes runs into a folder mlruns, as MLflow's file store has it ('mlflow ui --backend-store-uri FOLDER'). The same run is
// written to the same place again.
func WriteMLflow(folder, experiment string, records []Record, now time.Time) error {
	root, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	id := experimentID(experiment)
	dir := filepath.Join(root, id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	meta := []entry{{"artifact_location", fileURI(dir)}, {"creation_time", strconv.FormatInt(now.UnixMilli(), 10)}, {"experiment_id", quoted(id)},
		{"last_update_time", strconv.FormatInt(now.UnixMilli(), 10)}, {"lifecycle_stage", "active"}, {"name", quoted(experiment)}}
	if err := writeMeta(dir, meta); err != nil {
		return err
	}
	for _, r := range records {
		if err := writeRun(dir, id, r); err != nil {
			return fmt.Errorf("write %s: %w", r.Name(), err)
		}
	}
	return nil
}

// experimentID is the same for the same name: MLflow's own are numbers of up to 18 digits.
func experimentID(name string) string {
	sum := sha256.Sum256([]byte(name))
	n := uint64(0)
	for _, b := range sum[:8] {
		n = n<<8 | uint64(b)
	}
	return strconv.FormatUint(1e17+n%(8e17), 10)
}

func writeRun(experimentDir, experiment string, r Record) error {
	absolute, err := filepath.Abs(r.Dir)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(absolute + r.StartedAt.String()))
	id := hex.EncodeToString(sum[:16])
	dir := filepath.Join(experimentDir, id)
	l := asLogged(r)
	status := "3" // FINISHED, in mlflow/protos/service.proto
	if l.Failed {
		status = "4"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	meta := []entry{{"artifact_uri", fileURI(filepath.Join(dir, "artifacts"))}, {"end_time", strconv.FormatInt(l.End, 10)}, {"entry_point_name", "''"},
		{"experiment_id", quoted(experiment)}, {"lifecycle_stage", "active"}, {"run_id", quoted(id)}, {"run_name", quoted(l.Name)}, {"run_uuid", quoted(id)},
		{"source_name", "''"}, {"source_type", "4"}, {"source_version", "''"}, {"start_time", strconv.FormatInt(l.Start, 10)}, {"status", status}, {"tags", "[]"}, {"user_id", "''"}}
	if err := writeMeta(dir, meta); err != nil {
		return err
	}
	files := map[string]string{}
	for _, p := range l.Params {
		files["params/"+p.Key] = p.Value
	}
	for _, t := range l.Tags {
		files["tags/"+t.Key] = t.Value
	}
	for _, m := range l.Metrics {
		files["metrics/"+m.Key] += fmt.Sprintf("%d %s %d\n", m.Timestamp, strconv.FormatFloat(m.Value, 'g', -1, 64), m.Step)
	}
	for _, path := range l.Files {
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files["artifacts/"+filepath.Base(path)] = string(body)
	}
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// writeMeta writes meta.yaml: values are YAML already.
func writeMeta(dir string, meta []entry) error {
	var b strings.Builder
	for _, e := range meta {
		b.WriteString(e.Key + ": " + e.Value + "\n")
	}
	return os.WriteFile(filepath.Join(dir, "meta.yaml"), []byte(b.String()), 0o644)
}

// quoted is a text as a YAML scalar.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func fileURI(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
