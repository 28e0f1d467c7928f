package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// Function is one entry point: an HTTP handler or an event function, never both.
type Function struct {
	Name  string
	HTTP  http.Handler
	Event func(context.Context, cloudevents.Event) error
}

// EventDeadline is how long the sender of an event waits for the answer before it delivers it again: the subscriptions
// that Eventarc makes have this deadline and no way to change it. The local relay has the same.
const EventDeadline = 10 * time.Second

// answerTime is what the answer may take on its way.
const answerTime = 500 * time.Millisecond

// Events receives CloudEvents over HTTP for fn: nil is answered 200, an error 500, which brings the event back later; a
// cehttp.NewResult keeps its status. What is no event is refused without calling fn. The context of fn ends in time for an
// answer within EventDeadline.
func Events(fn func(context.Context, cloudevents.Event) error) (http.Handler, error) {
	protocol, err := cloudevents.NewHTTP()
	if err != nil {
		return nil, fmt.Errorf("set up event protocol: %w", err)
	}
	h, err := cloudevents.NewHTTPReceiveHandler(context.Background(), protocol, inTime(fn))
	if err != nil {
		return nil, fmt.Errorf("set up event receiver: %w", err)
	}
	return h, nil
}

// inTime is fn with a context that ends in time for the answer.
func inTime(fn func(context.Context, cloudevents.Event) error) func(context.Context, cloudevents.Event) error {
	return func(ctx context.Context, e cloudevents.Event) error {
		ctx, cancel := context.WithTimeout(ctx, EventDeadline-answerTime)
		defer cancel()
		return fn(ctx, e)
	}
}

func (f Function) check() error {
	if f.Name == "" || (f.HTTP == nil) == (f.Event == nil) {
		return fmt.Errorf("function %q must have a name and either HTTP or Event", f.Name)
	}
	return nil
}

// Register hands functions to functions-framework-go, whose registry is global: call it once, from an init. An HTTP function
// should be hardened (Hardening.Wrap), since under Google's own launcher nothing else does that.
func Register(fns ...Function) error {
	var problems []error
	for _, f := range fns {
		problems = append(problems, f.check())
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	for _, f := range fns {
		if f.Event != nil {
			functions.CloudEvent(f.Name, inTime(f.Event))
		} else {
			functions.HTTP(f.Name, f.HTTP.ServeHTTP)
		}
	}
	return nil
}

// The framework exports a server that nobody can stop (funcframework.Start), and not the handler that it serves. A release without
// this function fails to link.
//
//go:linkname frameworkHandler github.com/GoogleCloudPlatform/functions-framework-go/funcframework.initServer
func frameworkHandler() (*http.ServeMux, error)

// Named so that the framework is linked in.
var _ = funcframework.Start

// Framework is functions-framework-go's own handler of what was registered, to be hosted by a Server, which stops gracefully. As in
// funcframework.Start the environment's FUNCTION_TARGET names the function that is served at every path; without it each function is
// served at /NAME.
func Framework() (http.Handler, error) {
	handler, err := frameworkHandler()
	if err != nil {
		return nil, fmt.Errorf("set up functions-framework-go: %w", err)
	}
	return handler, nil
}
