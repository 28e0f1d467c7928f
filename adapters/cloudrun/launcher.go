// Package cloudrun starts the workers of the stages as executions of Cloud Run jobs. It launches and forgets: the worker
// itself takes the slot, the task and the lease; a launch that leads to nothing is repeated by the reaper.
package cloudrun

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/run/v2"

	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// ErrRetryLater is in the chain of errors that time may cure: no quota for another execution or GPU, or an API
// that is overloaded. Every other error needs somebody to change something.
var ErrRetryLater = errors.New("cloudrun: no worker now, try again later")

// callTimeout bounds one call of jobs.run: the receiver that makes it must answer its event within seconds.
const callTimeout = 8 * time.Second

// Launcher starts executions. It is safe for concurrent use.
type Launcher struct {
	project, region string
	jobs            map[pipeline.Stage]string
	api             *run.Service
}

var _ stage.Launcher = (*Launcher)(nil)

// Config names the jobs.
type Config struct {
	Project string
	Region  string
	Jobs    map[pipeline.Stage]string // name of each stage's job; a stage without one cannot be launched
}

// New returns a Launcher that calls the Cloud Run API with the program's default credentials; options replace them.
func New(ctx context.Context, c Config, options ...option.ClientOption) (*Launcher, error) {
	if c.Project == "" || c.Region == "" || len(c.Jobs) == 0 {
		return nil, errors.New("cloudrun: project, region and jobs must be named")
	}
	api, err := run.NewService(ctx, append([]option.ClientOption{option.WithScopes(run.CloudPlatformScope)}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to Cloud Run: %w", err)
	}
	return &Launcher{project: c.Project, region: c.Region, jobs: c.Jobs, api: api}, nil
}

// Launch starts one execution of the stage's job and returns when Cloud Run has taken the order, which is minutes before
// the worker's end and seconds before its start. It overrides nothing: the worker finds its task in the queue, and
// run.jobs.run (roles/run.invoker on the job) is all the permission this takes.
func (l *Launcher) Launch(ctx context.Context, s pipeline.Stage) error {
	job := l.jobs[s]
	if job == "" {
		return fmt.Errorf("launch %s: no Cloud Run job is named for this stage", s)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := fmt.Sprintf("projects/%s/locations/%s/jobs/%s", l.project, l.region, job)
	// The answer is a long-running operation that ends with the execution; nobody waits for it.
	_, err := l.api.Projects.Locations.Jobs.Run(name, &run.GoogleCloudRunV2RunJobRequest{}).Context(ctx).Do()
	if err == nil {
		return nil
	}
	return fmt.Errorf("launch %s: run job %s: %w", s, job, classify(err))
}

// classify finds what time cures (cloud.google.com/apis/design/errors: RESOURCE_EXHAUSTED is 429, UNAVAILABLE 503).
func classify(err error) error {
	if answer := (*googleapi.Error)(nil); errors.As(err, &answer) {
		switch answer.Code {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusInternalServerError:
			return &RetryLaterError{After: retryAfter(answer.Header), err: err}
		case http.StatusForbidden:
			return fmt.Errorf("the account may not run it (roles/run.invoker on the job): %w", err)
		case http.StatusNotFound:
			return fmt.Errorf("there is no such job: %w", err)
		}
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	// No answer at all: the execution may have started anyway. Then it finds its slot reserved, or none free and goes.
	return &RetryLaterError{err: err}
}

// RetryLaterError is an error that time may cure; errors.Is(err, ErrRetryLater) is true for it.
type RetryLaterError struct {
	After time.Duration // what the API asked for; 0: it did not say
	err   error
}

func (e *RetryLaterError) Error() string { return fmt.Sprintf("%v: %v", ErrRetryLater, e.err) }

// Unwrap gives both the class and the cause.
func (e *RetryLaterError) Unwrap() []error { return []error{ErrRetryLater, e.err} }

// retryAfter reads the header's form in seconds, the only one Google's APIs send.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
