// Package socket finds places for unix sockets: an address that nobody but their owner can reach.
package socket

import (
	"fmt"
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
