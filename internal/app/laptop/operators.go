package laptop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/internal/app"
)

// operatorsSocket is the name of the operators' API in the data folder.
const operatorsSocket = "operators.sock"

// listenForOperators makes the place of the operators' API and returns what serves it. Nothing in that API checks who calls:
// in the cloud IAM does. So here it is a socket that only its owner may open, out of reach of other machines, of other users
// of this one, and of web pages in a browser on it, which can all call a port on loopback.
func (b *Backend) listenForOperators(ctx context.Context, dir string) (serve func(context.Context) error, err error) {
	api, err := b.parts.Requests()
	if err != nil {
		return nil, err
	}
	if b.Operators, b.removeSocket, err = socket.Place(dir, operatorsSocket); err != nil {
		return nil, err
	}
	// A killed run leaves its socket behind; the lock on the data folder says that nobody uses it.
	if err := os.Remove(b.Operators); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove socket of an earlier run: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", b.Operators)
	if err != nil {
		return nil, fmt.Errorf("listen for operators: %w", err)
	}
	if err := os.Chmod(b.Operators, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close socket to others: %w", err), listener.Close())
	}
	server := app.OperatorsServer(api, b.parts.Log, "")
	return func(ctx context.Context) error { return server.RunOn(ctx, listener) }, nil
}
