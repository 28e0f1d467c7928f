package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// Function is one entry point: an HTTP handler or an event function, never both.
type Function struct {
	Name  string
	HTTP  http.Handler
	Event func(context.Context, cloudevents.Event) error
}

// Events receives CloudEvents over HTTP for fn: nil is answered 200, an error 500, which brings the event back later; a
// cehttp.NewResult keeps its status. What is no event is refused without calling fn.
func Events(fn func(context.Context, cloudevents.Event) error) (http.Handler, error) {
	protocol, err := cloudevents.NewHTTP()
	if err != nil {
		return nil, fmt.Errorf("set up event protocol: %w", err)
	}
	h, err := cloudevents.NewHTTPReceiveHandler(context.Background(), protocol, fn)
	if err != nil {
		return nil, fmt.Errorf("set up event receiver: %w", err)
	}
	return h, nil
}

func (f Function) check() error {
	if f.Name == "" || (f.HTTP == nil) == (f.Event == nil) {
		return fmt.Errorf("function %q must have a name and either HTTP or Event", f.Name)
	}
	return nil
}

// Host serves functions as functions-framework-go does: with a target, that one function at every path; without one, each
// function at /NAME.
func Host(target string, fns ...Function) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", NotFound)
	for _, f := range fns {
		if err := f.check(); err != nil {
			return nil, err
		}
		h := f.HTTP
		if f.Event != nil {
			var err error
			if h, err = Events(f.Event); err != nil {
				return nil, err
			}
		}
		if f.Name == target {
			return h, nil
		}
		mux.Handle("/"+f.Name, h)
	}
	if target != "" {
		return nil, fmt.Errorf("no function is named %q", target)
	}
	return mux, nil
}

// Register hands the same functions to functions-framework-go, whose registry is global: call it once, from a main. Their
// handlers should be hardened (Hardening.Wrap) before, since the framework bounds and redacts nothing.
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
			functions.CloudEvent(f.Name, f.Event)
		} else {
			functions.HTTP(f.Name, f.HTTP.ServeHTTP)
		}
	}
	return nil
}
