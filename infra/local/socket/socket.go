// Package socket makes unix sockets: addresses that nobody but their owner can reach. Neither other machines can, nor other
// users of this one, nor web pages in a browser on it, which can all call a port on loopback.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// maxPath is the smallest limit of any system we run on (sockaddr_un: 104 bytes on macOS, 108 on Linux).
const maxPath = 100

// Place is the path of a socket in a folder or, when that is too long for one, in a temporary folder of its own. remove is
// to be called after its use.
func Place(dir, name string) (path string, remove func() error, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, fmt.Errorf("find folder of the socket: %w", err)
	}
	if path = filepath.Join(dir, name); len(path) <= maxPath {
		return path, func() error { return nil }, nil
	}
	short, err := os.MkdirTemp("", "splatworks-")
	if err != nil {
		return "", nil, fmt.Errorf("make folder of the socket: %w", err)
	}
	return filepath.Join(short, name), func() error { return os.RemoveAll(short) }, nil
}

// Listen listens at a place. What a killed program left there goes: only call it when nobody else can be listening, as the
// holder of a lock.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove socket of an earlier run: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close socket to others: %w", err), listener.Close())
	}
	return listener, nil
}

// Transport carries HTTP to the listener at a place, whatever host a URL names.
func Transport(path string) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return t
}
