package laptop

import (
	"context"
	"errors"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/infra/local/socket"
)

// OperatorsSocket is the name of the operators' API in the data folder.
const OperatorsSocket = "operators.sock"

// listenForOperators makes the place of the operators' API and returns what serves it. Nothing in that API checks who calls:
// in the cloud IAM does. So here it is a socket.
func (b *Backend) listenForOperators(ctx context.Context, dir string) (serve func(context.Context) error, err error) {
	api, err := b.parts.Operators()
	if err != nil {
		return nil, err
	}
	if b.Operators, err = b.place(dir, OperatorsSocket); err != nil {
		return nil, err
	}
	listener, err := socket.Listen(ctx, b.Operators) // the lock on the data folder says that nobody else does
	if err != nil {
		return nil, err
	}
	stop, err := b.parts.ExportMetrics(ctx, api)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	server := app.OperatorsServer(api, b.parts.Log, "")
	return func(ctx context.Context) error {
		defer stop()
		return server.RunOn(ctx, listener)
	}, nil
}
