package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Tracking is an MLflow tracking server, by its REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html).
type Tracking struct {
	URL  string // http://host:port
	HTTP *http.Client
	// Token, or User with Password, are sent as MLflow's own client does with MLFLOW_TRACKING_TOKEN, _USERNAME and _PASSWORD.
	Token, User, Password string
}

// The most that one call of log-batch takes.
const (
	batchMetrics = 1000
	batchParams  = 100
)

// tracked is a note in a run's folder that a server has it.
const tracked = "mlflow.json"

// Send sends the runs that the server does not have from here yet, and returns how many it sent. An interrupted one is sent anew.
func (t *Tracking) Send(ctx context.Context, experiment string, records []Record) (sent int, err error) {
	id, err := t.experiment(ctx, experiment)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		note := filepath.Join(r.Dir, tracked)
		known := map[string]string{}
		if body, err := os.ReadFile(note); err == nil {
			if err := json.Unmarshal(body, &known); err != nil {
				return sent, fmt.Errorf("read %s: %w", note, err)
			}
		}
		if known[t.URL+" "+experiment] != "" {
			continue
		}
		run, err := t.send(ctx, id, r)
		if err != nil {
			return sent, fmt.Errorf("send %s: %w", r.Name(), err)
		}
		known[t.URL+" "+experiment] = run
		body, err := json.MarshalIndent(known, "", "  ")
		if err != nil {
			return sent, err
		}
		if err := os.WriteFile(note, append(body, '\n'), 0o644); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// experiment finds or makes the experiment.
func (t *Tracking) experiment(ctx context.Context, name string) (id string, err error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err = t.call(ctx, http.MethodGet, "mlflow/experiments/get-by-name?"+url.Values{"experiment_name": {name}}.Encode(), nil, &found)
	var refused *trackingError
	if err == nil || !errors.As(err, &refused) || refused.Code != "RESOURCE_DOES_NOT_EXIST" {
		return found.Experiment.ID, err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	return made.ID, t.call(ctx, http.MethodPost, "mlflow/experiments/create", map[string]any{"name": name}, &made)
}

// send makes a run, logs everything of it, and ends it.
func (t *Tracking) send(ctx context.Context, experiment string, r Record) (id string, err error) {
	l := asLogged(r)
	var made struct {
		Run struct {
			Info struct {
				ID        string `json:"run_id"`
				Artifacts string `json:"artifact_uri"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := t.call(ctx, http.MethodPost, "mlflow/runs/create", map[string]any{"experiment_id": experiment, "run_name": l.Name, "start_time": l.Start, "tags": l.Tags}, &made); err != nil {
		return "", err
	}
	id = made.Run.Info.ID
	for len(l.Params)+len(l.Metrics) > 0 {
		params, metrics := l.Params[:min(batchParams, len(l.Params))], []metric(nil)
		if len(params) == 0 {
			metrics = l.Metrics[:min(batchMetrics, len(l.Metrics))]
		}
		if err := t.call(ctx, http.MethodPost, "mlflow/runs/log-batch", map[string]any{"run_id": id, "params": params, "metrics": metrics, "tags": []entry{}}, nil); err != nil {
			return "", err
		}
		l.Params, l.Metrics = l.Params[len(params):], l.Metrics[len(metrics):]
	}
	for _, file := range l.Files {
		if err := t.upload(ctx, made.Run.Info.Artifacts, file); err != nil {
			return "", err
		}
	}
	status := "FINISHED"
	if l.Failed {
		status = "FAILED"
	}
	return id, t.call(ctx, http.MethodPost, "mlflow/runs/update", map[string]any{"run_id": id, "status": status, "end_time": l.End}, nil)
}

// upload stores a file of a run through the server, where that passes artifacts on (mlflow server --serve-artifacts, its default).
func (t *Tracking) upload(ctx context.Context, uri, file string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mlflow-artifacts" {
		return fmt.Errorf("the server keeps artifacts at %q and does not take them itself: start it with --serve-artifacts, or export to a folder", uri)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	kind := mime.TypeByExtension(filepath.Ext(file))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return t.do(ctx, http.MethodPut, "mlflow-artifacts/artifacts/"+path.Join(strings.TrimPrefix(u.Path, "/"), url.PathEscape(filepath.Base(file))), kind, body, nil)
}

func (t *Tracking) call(ctx context.Context, method, name string, request, answer any) error {
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	return t.do(ctx, method, name, "application/json", body, answer)
}

// trackingError is what the server answers when it refuses.
type trackingError struct {
	Status  int    `json:"-"`
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func (e *trackingError) Error() string {
	return fmt.Sprintf("the MLflow server answers %d %s: %s", e.Status, e.Code, e.Message)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

func (t *Tracking) do(ctx context.Context, method, name, kind string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(t.URL, "/")+"/api/2.0/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", kind)
	switch {
	case t.Token != "":
		r.Header.Set("Authorization", "Bearer "+t.Token)
	case t.User != "":
		r.SetBasicAuth(t.User, t.Password)
	}
	resp, err := t.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		refused := &trackingError{Status: resp.StatusCode}
		if json.Unmarshal(text, refused) != nil {
			refused.Message = cut(string(text), 200)
		}
		return refused
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
