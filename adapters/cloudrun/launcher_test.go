package cloudrun

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/option"

	"github.com/splatworks/splatworks/pipeline"
)

// launcher answers every call of the Cloud Run API with serve.
func launcher(t *testing.T, serve http.HandlerFunc) *Launcher {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	l, err := New(t.Context(), Config{Project: "p", Region: "europe-west4", Jobs: map[pipeline.Stage]string{pipeline.Train: "splatworks-train"}},
		option.WithEndpoint(server.URL), option.WithHTTPClient(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLaunchRunsTheStagesJobWithoutOverrides(t *testing.T) {
	calls := 0
	l := launcher(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Method != http.MethodPost || r.URL.Path != "/v2/projects/p/locations/europe-west4/jobs/splatworks-train:run" {
			t.Errorf("called %s %s", r.Method, r.URL.Path)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var sent map[string]any
		if err := json.Unmarshal(body, &sent); err != nil || len(sent) != 0 {
			t.Errorf("sent %s (%v): anything in it needs the permission to override", body, err)
		}
		// The operation is not done: the worker has not even started.
		io.WriteString(w, `{"name": "projects/p/locations/europe-west4/operations/o", "done": false}`)
	})
	if err := l.Launch(t.Context(), pipeline.Train); err != nil {
		t.Fatal(err)
	}
	if calls != 1 {
		t.Errorf("%d calls, want 1: an operation must not be waited for", calls)
	}
}

func TestLaunchTellsWhatTimeCures(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		later  bool
		says   string
	}{
		{"no quota", http.StatusTooManyRequests, true, "Quota exceeded"},
		{"overloaded", http.StatusServiceUnavailable, true, ""},
		{"broken", http.StatusInternalServerError, true, ""},
		{"no permission", http.StatusForbidden, false, "roles/run.invoker"},
		{"no job", http.StatusNotFound, false, "no such job"},
		{"bad request", http.StatusBadRequest, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := launcher(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(test.status)
				io.WriteString(w, `{"error": {"code": 0, "message": "Quota exceeded for total allowable GPUs", "status": "X"}}`)
			})
			err := l.Launch(t.Context(), pipeline.Train)
			if err == nil {
				t.Fatal("no error")
			}
			if errors.Is(err, ErrRetryLater) != test.later {
				t.Errorf("%v: retry later is %t, want %t", err, !test.later, test.later)
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "splatworks-train") {
				t.Errorf("%v: does not name the job and %q", err, test.says)
			}
			if later := (*RetryLaterError)(nil); errors.As(err, &later) && later.After != 30*time.Second {
				t.Errorf("retry after %v, want 30 s", later.After)
			}
		})
	}
}

func TestLaunchSurvivesSilence(t *testing.T) {
	l := launcher(t, func(w http.ResponseWriter, r *http.Request) {
		panic(http.ErrAbortHandler) // the connection breaks in mid-answer
	})
	if err := l.Launch(t.Context(), pipeline.Train); !errors.Is(err, ErrRetryLater) {
		t.Errorf("%v: a broken connection may be retried", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Launch(gone, pipeline.Train); err == nil || errors.Is(err, ErrRetryLater) {
		t.Errorf("%v: a caller that went away wants no retry", err)
	}
}

func TestWhatCannotBeLaunched(t *testing.T) {
	l := launcher(t, func(w http.ResponseWriter, r *http.Request) { t.Error("called") })
	if err := l.Launch(t.Context(), pipeline.Depth); err == nil || errors.Is(err, ErrRetryLater) {
		t.Errorf("%v: a stage without a job must be a plain error", err)
	}
	for _, c := range []Config{{}, {Project: "p", Region: "r"}, {Project: "p", Jobs: map[pipeline.Stage]string{pipeline.Train: "j"}}} {
		if _, err := New(t.Context(), c); err == nil {
			t.Errorf("New(%+v) worked", c)
		}
	}
}
