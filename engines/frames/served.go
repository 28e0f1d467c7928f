package frames

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
)

// served gives one input to the programs of this machine, by HTTP on the loopback interface, at an address that cannot be guessed.
type served struct {
	from   *remote
	url    string
	secret string
	server *http.Server
}

// serve ends with close.
func serve(from *remote) (*served, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving the input: %w", err)
	}
	s := &served{from: from, secret: "/" + rand.Text()}
	s.url = fmt.Sprintf("http://%s%s", listener.Addr(), s.secret)
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), ConnContext: shortBuffer}
	go func() { _ = s.server.Serve(listener) }() // until close
	return s, nil
}

// shortBuffer bounds what is read ahead and dropped when a program continues elsewhere in the file.
func shortBuffer(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*net.TCPConn); ok {
		_ = c.SetWriteBuffer(256 << 10)
	}
	return ctx
}

// ServeHTTP implements http.Handler. Where reading fails, fewer bytes arrive than were promised, and from.failed has the cause.
func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(s.secret)) != 1 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(s.from, 0, s.from.size))
}

func (s *served) close() error { return s.server.Close() }

// readsHTTP says whether ffprobe can read from a server at all.
func readsHTTP(ctx context.Context, tools Tools) bool {
	found := false
	_, err := tool.Run(ctx, tool.Command{Path: tools.FFprobe, Args: []string{"-v", "error", "-hide_banner", "-protocols"}, Timeout: time.Minute,
		OnStdout: func(line string) { found = found || strings.TrimSpace(line) == "http" }})
	return err != nil || found
}
