package tool

import "context"

// Watcher sees every program that is run with its context. Its methods may be called concurrently, and must not block.
type Watcher interface {
	// Printed is called with each line on standard error.
	Printed(program, line string)
	// Ended is called when a program that was started has ended; err is what Run returns.
	Ended(program string, u Usage, err error)
}

type watcherKey struct{}

// Watched is ctx with w to see the programs that are run with it.
func Watched(ctx context.Context, w Watcher) context.Context {
	return context.WithValue(ctx, watcherKey{}, w)
}

// watcherOf is the watcher of ctx, or one that does nothing.
func watcherOf(ctx context.Context) Watcher {
	if w, ok := ctx.Value(watcherKey{}).(Watcher); ok {
		return w
	}
	return unwatched{}
}

type unwatched struct{}

func (unwatched) Printed(string, string)     {}
func (unwatched) Ended(string, Usage, error) {}
