package queue

import (
	"context"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Kind says what happened in a Transition.
type Kind string

const (
	Submitted Kind = "submitted"
	Restored  Kind = "restored" // known again after Rebuild
	Enqueued  Kind = "enqueued"
	Claimed   Kind = "claimed"
	Progress  Kind = "progress"   // at most one for each heartbeat, and none without news
	Completed Kind = "completed"  // the stage; Status is COMPLETED when it was the last
	Retry     Kind = "retry"      // an attempt failed and the task waits for the next
	Ready     Kind = "ready"      // that wait is over
	Expired   Kind = "expired"    // a lease ran out and the task is ready again
	GivenBack Kind = "given_back" // its worker stopped and the task is ready again
	Failed    Kind = "failed"     // the request
	Canceled  Kind = "canceled"   // the request
)

// Transition is one change of one request.
type Transition struct {
	ID        string // grows; the cursor after which the next ones come
	RequestID string
	Stage     pipeline.Stage  // empty before the first task
	Status    pipeline.Status // after the change
	Kind      Kind
	At        time.Time
	Code      string             // of the failure, for Retry and Failed
	Progress  *pipeline.Progress // for Progress only
}

// Events is every transition, published once, in the order in which they happened. About Config.KeepEvents are kept: a
// reader that falls further behind misses the oldest and looks the state up instead.
type Events interface {
	// Newest is the cursor of the newest transition: After it come only later ones.
	Newest(ctx context.Context) (cursor string, err error)
	// After returns up to n transitions that follow the cursor ("" is before the oldest kept). When there are none it waits
	// for one, but no longer than wait; nothing came: no transition and no error.
	After(ctx context.Context, cursor string, n int, wait time.Duration) ([]Transition, error)
}
