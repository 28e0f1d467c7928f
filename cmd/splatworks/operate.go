package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/splatworks/splatworks/cmd/splatworks/operate"
	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/internal/serve"
)

type operateCommand struct {
	Operators operatorsAPI `embed:""`
	Port      int          `default:"0" help:"Port on the loopback address; 0 takes a free one."`
	Open      bool         `default:"true" negatable:"" help:"Open the browser."`
}

func (operateCommand) Help() string {
	return `The queue, its workers, every request with its story; retry, cancel and purge. The page is served on this machine until interrupted,
and to the one browser that opens the printed link. Who may call the operators' API may use it: the owner of the data folder
here, and in the cloud a holder of roles/run.invoker on the requests service.

    splatworks operate --operators data
    SPLATWORKS_IDENTITY_TOKEN=$(gcloud auth print-identity-token) splatworks operate --operators https://...`
}

// longestCall is how long an answer of the operators' API may take.
const longestCall = 16 * time.Minute

func (cmd operateCommand) Run(ctx context.Context, c console) error {
	base, client, err := cmd.Operators.reach()
	if err != nil {
		return err
	}
	api, err := url.Parse(base)
	if err != nil {
		return usageError{err}
	}
	listen := net.JoinHostPort("127.0.0.1", fmt.Sprint(cmd.Port))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	desk, err := operate.New(operate.Config{API: api, Transport: client.Transport, Identity: cmd.Operators.Identity, Hosts: loopback.Listening(listen)})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	address := "http://" + loopback.Own(listener.Addr()) + "/#" + desk.Key
	fmt.Fprintln(c.out, address)
	if cmd.Open {
		openBrowser(ctx, address)
	}
	return serve.Server{Handler: desk, Log: serve.NewLogger(c.err, "", slog.LevelWarn), WriteTimeout: longestCall}.RunOn(ctx, listener)
}
