// Package serve hosts HTTP handlers and event functions the way every program here does: bounded, logged without
// secrets, and stopped gracefully. Functions are registered with functions-framework-go (Register) and hosted the same way
// (Framework). It knows nothing of requests, stages or queues.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is one listening address. The zero value of every duration means its default.
type Server struct {
	Listen  string // host:port; port 0 takes a free one
	Handler http.Handler
	Log     *slog.Logger
	// Ready, when set, is called with the address once connections are accepted.
	Ready func(net.Addr)

	// ReadTimeout bounds one request's headers and body, WriteTimeout the handler and its answer. Default: a minute each;
	// negative: none. A streaming handler sets its own with http.ResponseController.
	ReadTimeout, WriteTimeout time.Duration
	// Grace is how long requests in flight may take after the stop. Default 8 s: Cloud Run kills 10 s after SIGTERM.
	Grace time.Duration
}

type drainingKey struct{}

// Draining is closed when the server that serves ctx's request stops: streams and long polls end then, so
// that their clients come back to another instance. It is nil, blocking for ever, under any other host.
func Draining(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(drainingKey{}).(chan struct{})
	return c
}

// Run serves until ctx ends, then lets requests in flight finish. It returns nil after a graceful end.
func (s Server) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Listen, err)
	}
	return s.RunOn(ctx, listener)
}

// RunOn is Run on a listener that exists already. It closes the listener.
func (s Server) RunOn(ctx context.Context, listener net.Listener) error {
	draining := make(chan struct{})
	// Requests must outlive ctx by the grace period, so it is not their parent.
	base := context.WithValue(context.WithoutCancel(ctx), drainingKey{}, draining)
	server := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       timeout(s.ReadTimeout, time.Minute),
		WriteTimeout:      timeout(s.WriteTimeout, time.Minute),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(draining) }))

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if s.Ready != nil {
		s.Ready(listener.Addr())
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout(s.Grace, 8*time.Second))
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off at the end of the grace period: %w", err), server.Close())
	}
	return nil
}

func timeout(d, preset time.Duration) time.Duration {
	switch {
	case d == 0:
		return preset
	case d < 0:
		return 0
	}
	return d
}
