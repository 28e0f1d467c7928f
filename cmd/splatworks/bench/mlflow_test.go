package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// server is a stand-in for an MLflow tracking server that holds calls to the published REST API 2.0: methods, required fields, types,
// limits and order (https://mlflow.org/docs/latest/rest-api.html; mlflow/protos/service.proto, mlflow/utils/validation.py).
type server struct {
	t           *testing.T
	experiments map[string]string // name to id
	runs        map[string]*serverRun
	refuse      string // a path that answers 503
}

type serverRun struct {
	experiment, name, status string
	params, tags             map[string]string
	metrics                  []metric
	files                    map[string]int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != "me" || password != "secret" {
		s.fail(w, http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/api/2.0/")
	if !ok || name == s.refuse {
		s.fail(w, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if file, ok := strings.CutPrefix(name, "mlflow-artifacts/artifacts/"); ok && r.Method == http.MethodPut {
		parts := strings.Split(file, "/") // EXPERIMENT/RUN/artifacts/FILE, as the run's artifact_uri says
		if len(parts) != 4 || s.runs[parts[1]] == nil || parts[0] != s.runs[parts[1]].experiment || parts[2] != "artifacts" {
			s.fail(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
			return
		}
		s.runs[parts[1]].files[parts[3]] = len(body)
		fmt.Fprint(w, "{}")
		return
	}
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" {
		s.fail(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
		return
	}
	s.call(w, r, r.Method+" "+name, body)
}

func (s *server) call(w http.ResponseWriter, r *http.Request, call string, body []byte) {
	var q struct {
		Name         string   `json:"name"`
		ExperimentID string   `json:"experiment_id"`
		RunName      string   `json:"run_name"`
		StartTime    int64    `json:"start_time"`
		EndTime      int64    `json:"end_time"`
		RunID        string   `json:"run_id"`
		Status       string   `json:"status"`
		Metrics      []metric `json:"metrics"`
		Params       []entry  `json:"params"`
		Tags         []entry  `json:"tags"`
	}
	if len(body) > 0 {
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			s.fail(w, http.StatusBadRequest, "BAD_REQUEST")
			return
		}
	}
	run := s.runs[q.RunID]
	switch {
	case call == "GET mlflow/experiments/get-by-name":
		id, ok := s.experiments[r.URL.Query().Get("experiment_name")]
		if !ok {
			s.fail(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		fmt.Fprintf(w, `{"experiment": {"experiment_id": %q, "lifecycle_stage": "active"}}`, id)
	case call == "POST mlflow/experiments/create" && q.Name != "" && s.experiments[q.Name] == "":
		s.experiments[q.Name] = fmt.Sprint(len(s.experiments) + 1)
		fmt.Fprintf(w, `{"experiment_id": %q}`, s.experiments[q.Name])
	case call == "POST mlflow/runs/create" && slices.Contains([]string{"1", "2"}, q.ExperimentID) && q.StartTime > 1e12:
		id := fmt.Sprintf("run%d", len(s.runs)+1)
		s.runs[id] = &serverRun{experiment: q.ExperimentID, name: q.RunName, params: map[string]string{}, tags: map[string]string{}, files: map[string]int{}}
		for _, tag := range q.Tags {
			s.runs[id].tags[tag.Key] = tag.Value
		}
		fmt.Fprintf(w, `{"run": {"info": {"run_id": %q, "artifact_uri": "mlflow-artifacts:/%s/%s/artifacts", "status": "RUNNING"}, "data": {}}}`, id, q.ExperimentID, id)
	case call == "POST mlflow/runs/log-batch" && run != nil && run.status == "" && len(q.Metrics) <= 1000 && len(q.Params) <= 100 && len(q.Tags) <= 100 && len(q.Metrics)+len(q.Params)+len(q.Tags) <= 1000:
		for _, p := range q.Params {
			if known, has := run.params[p.Key]; !allowed(p.Key) || len(p.Value) > 6000 || has && known != p.Value {
				s.fail(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
				return
			}
			run.params[p.Key] = p.Value
		}
		for _, m := range q.Metrics {
			if !allowed(m.Key) || m.Timestamp < 1e12 {
				s.fail(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
				return
			}
		}
		run.metrics = append(run.metrics, q.Metrics...)
		fmt.Fprint(w, "{}")
	case call == "POST mlflow/runs/update" && run != nil && slices.Contains([]string{"FINISHED", "FAILED"}, q.Status) && q.EndTime > 1e12:
		run.status = q.Status
		fmt.Fprint(w, `{"run_info": {}}`)
	default:
		s.t.Errorf("not in the published API: %s %s", call, body)
		s.fail(w, http.StatusBadRequest, "BAD_REQUEST")
	}
}

// allowed is what MLflow lets a key be: letters, digits and a few signs, and a path that leads to no other place.
func allowed(key string) bool {
	return regexp.MustCompile(`^[/\w.\- :]+$`).MatchString(key) && len(key) <= 250 && filepath.ToSlash(filepath.Clean(key)) == key && key[0] != '/' && !strings.HasPrefix(key, "..")
}

func (s *server) fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error_code": %q, "message": "no"}`, code)
}

func TestSendToATrackingServer(t *testing.T) {
	study, _ := study(t, t.TempDir())
	records := study.make(t, []string{"fox.mp4", "broken.mp4"}, nil, "--seed=2")
	for i := range 1500 { // more than one batch takes
		records[0].Curves["psnr_db"] = append(records[0].Curves["psnr_db"], Point{1000 + i, 3, 22})
	}
	fake := &server{t: t, experiments: map[string]string{"other": "1"}, runs: map[string]*serverRun{}}
	listening := httptest.NewServer(fake)
	defer listening.Close()
	tracking := &Tracking{URL: listening.URL + "/", HTTP: listening.Client(), User: "me", Password: "secret"}
	sent, err := tracking.Send(t.Context(), "captures", records)
	if err != nil || sent != 2 || fake.experiments["captures"] != "2" || len(fake.runs) != 2 {
		t.Fatalf("%d sent, %v, %+v", sent, err, fake)
	}
	run := fake.runs["run1"]
	if run.name != "fox" || run.status != "FINISHED" || run.params["seed"] != "2" || run.params["capture"] != "fox" || run.tags["mlflow.runName"] != "fox" || run.tags["splatworks.program"] != "v0-test" {
		t.Errorf("%+v", run)
	}
	if !slices.ContainsFunc(run.metrics, func(m metric) bool { return m.Key == "psnr_db" && m.Value == 22.5 }) ||
		!slices.ContainsFunc(run.metrics, func(m metric) bool { return m.Key == "curve/psnr_db" && m.Step == 700 && m.Value == 22.5 }) || len(run.metrics) < 1500 {
		t.Errorf("%d metrics", len(run.metrics))
	}
	for _, file := range []string{"report.json", "run.json", "pairs.jpg"} {
		if run.files[file] == 0 {
			t.Errorf("no %s among %v", file, run.files)
		}
	}
	if failed := fake.runs["run2"]; failed.status != "FAILED" || failed.tags["splatworks.failure"] != "no_sparse_model No poses." {
		t.Errorf("%+v", failed)
	}
	// Again sends nothing; under another name everything, into the experiment that is there.
	for experiment, want := range map[string]int{"captures": 0, "other": 2} {
		if sent, err := tracking.Send(t.Context(), experiment, records); err != nil || sent != want {
			t.Errorf("%s: %d sent, %v", experiment, sent, err)
		}
	}
}

func TestATrackingServerThatRefuses(t *testing.T) {
	study, _ := study(t, t.TempDir())
	records := study.make(t, []string{"fox.mp4"}, nil)
	fake := &server{t: t, experiments: map[string]string{"other": "1"}, runs: map[string]*serverRun{}, refuse: "mlflow/runs/update"}
	listening := httptest.NewServer(fake)
	defer listening.Close()
	tracking := &Tracking{URL: listening.URL, HTTP: listening.Client(), User: "me", Password: "secret"}
	if sent, err := tracking.Send(t.Context(), "captures", records); sent != 0 || err == nil || !strings.Contains(err.Error(), "503 TEMPORARILY_UNAVAILABLE") {
		t.Errorf("%d sent, %v", sent, err)
	}
	fake.refuse = ""
	if sent, err := tracking.Send(t.Context(), "captures", records); sent != 1 || err != nil {
		t.Errorf("afterwards %d sent, %v", sent, err)
	}
	tracking.Password = "wrong"
	if _, err := tracking.Send(t.Context(), "captures", records); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong password: %v", err)
	}
}

// TestFilesOfMLflow: what mlflow/store/tracking/file_store.py reads: meta.yaml with these keys, one file a parameter, tag and metric, of
// which a line is "timestamp value step".
func TestFilesOfMLflow(t *testing.T) {
	study, _ := study(t, t.TempDir())
	records := study.make(t, []string{"fox.mp4", "broken.mp4"}, nil, "--seed=2")
	folder := t.TempDir()
	for range 2 { // twice is once
		if err := WriteMLflow(folder, "it's mine", records, time.Unix(1.8e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	experiments := names(t, folder)
	if len(experiments) != 1 || !regexp.MustCompile(`^[1-9][0-9]{17}$`).MatchString(experiments[0]) {
		t.Fatalf("experiments %q", experiments)
	}
	dir := filepath.Join(folder, experiments[0])
	read := func(path ...string) string {
		body, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Error(err)
		}
		return string(body)
	}
	if meta := read(dir, "meta.yaml"); !strings.Contains(meta, "name: 'it''s mine'\n") || !strings.Contains(meta, "experiment_id: '"+experiments[0]+"'\n") || !strings.Contains(meta, "lifecycle_stage: active\n") {
		t.Error(meta)
	}
	runs := 0
	for _, id := range names(t, dir) {
		if id == "meta.yaml" {
			continue
		}
		runs++
		run := filepath.Join(dir, id)
		meta := read(run, "meta.yaml")
		for _, field := range []string{"artifact_uri: file:///", "end_time: 1", "entry_point_name: ''", "experiment_id: '" + experiments[0], "run_id: '" + id + "'", "run_uuid: '" + id + "'", "start_time: 1", "source_type: 4", "tags: []"} {
			if !strings.Contains(meta, field) {
				t.Errorf("no %q in\n%s", field, meta)
			}
		}
		if !strings.Contains(meta, "run_name: 'fox'") {
			if !strings.Contains(meta, "status: 4\n") {
				t.Error("the failed run is not FAILED")
			}
			continue
		}
		if read(run, "params", "seed") != "2" || read(run, "tags", "mlflow.runName") != "fox" || !strings.Contains(meta, "status: 3\n") {
			t.Errorf("run %s: %s", id, meta)
		}
		if text := read(run, "metrics", "curve", "psnr_db"); !regexp.MustCompile(`^\d{13} 15 100\n\d{13} 22\.5 700\n$`).MatchString(text) {
			t.Errorf("curve %q", text)
		}
		if len(read(run, "artifacts", "pairs.jpg")) == 0 || !strings.HasPrefix(read(run, "artifacts", "run.json"), "{") {
			t.Error("artifacts are missing")
		}
	}
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
}
