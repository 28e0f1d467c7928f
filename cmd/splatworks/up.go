package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/cmd/splatworks/laptop"
	"github.com/splatworks/splatworks/cmd/splatworks/machine"
	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

type upCommand struct {
	Listen    string        `default:"127.0.0.1:8080" help:"Address of the request API; port 0 takes a free one."`
	Data      string        `required:"" placeholder:"DIR" help:"Folder for everything that must survive a restart."`
	Lease     time.Duration `default:"15s" help:"A worker that does not report for this long loses its task."`
	RateLimit int           `name:"rate-limit" default:"10" help:"Maximum number of reconstructions a minute from one caller; six times that from all callers together."`
	Untrusted bool          `aliases:"strangers" help:"For callers whom you do not know: webhooks go to public https addresses only, and options and sizes have the default limits of a deployment."`
	Origin    []string      `placeholder:"https://HOST" help:"Origins whose web pages may call the API from a browser."`
	Host      []string      `placeholder:"NAME" help:"Additional host names of this program, for example behind a reverse proxy. Calls to other host names are refused."`
	AskKeys   bool          `name:"ask-keys" env:"SPLATWORKS_ASK_KEYS" help:"Ask callers for an API key, which 'splatworks keys add' makes. Without it everybody who can connect may call."`
	APIKeys   []string      `name:"api-keys" env:"SPLATWORKS_API_KEYS" placeholder:"NAME:SHA256" help:"Further accepted API keys, as 'splatworks key' prints them; implies --ask-keys."`
	SMTPURL   string        `name:"smtp-url" and:"mail" env:"SPLATWORKS_SMTP_URL" placeholder:"smtp://USER:PASSWORD@HOST:PORT" help:"Mail server, or smtps://. With it a request may name an address that gets a mail at its end. Prefer the environment variable: other users can see command lines."`
	MailFrom  string        `and:"mail" env:"SPLATWORKS_MAIL_FROM" placeholder:"ADDRESS" help:"Sender of mails."`
	MailURL   string        `name:"mail-url" env:"SPLATWORKS_MAIL_URL" placeholder:"URL" help:"Address of this program that links in mails lead to; default: http:// and --listen."`
	Config    string        `env:"SPLATWORKS_CONFIG" placeholder:"FILE" help:"Configuration, as splatworks.yaml: slots, machines, shares of models, presets, limits."`
	Chaos     string        `hidden:"" help:"Faults of event delivery: duplicate=N,reorder,delay=DURATION."`
}

func (upCommand) Help() string {
	return `Prints one line, ready and the address, once everything answers. Open that address in a browser, or in another terminal:

    splatworks submit my-video.mp4

Started again with the same folder, it continues where it was interrupted.`
}

func (cmd upCommand) Run(ctx context.Context, c console) error {
	chaos, err := parseChaos(cmd.Chaos)
	if err != nil {
		return usageError{err}
	}
	settings, err := readConfig(cmd.Config)
	if err != nil {
		return err
	}
	log := serve.NewLogger(c.err, "", slog.LevelInfo)
	backend, err := laptop.Start(ctx, laptop.Options{Listen: cmd.Listen, Dir: cmd.Data, Lease: cmd.Lease, Chaos: chaos, Log: log,
		RateLimit: cmd.RateLimit, Untrusted: cmd.Untrusted, Origins: cmd.Origin, Hosts: cmd.Host, APIKeys: cmd.APIKeys, AskKeys: cmd.AskKeys,
		SMTPURL: cmd.SMTPURL, MailFrom: cmd.MailFrom, MailURL: cmd.MailURL, Settings: settings})
	if err != nil {
		return err
	}
	log.Info("the operators' API answers, to you only", "unix_socket", backend.Operators)
	fmt.Fprintln(c.out, "ready", backend.URL)
	log.Info("the page for people is at this address, too", "url", backend.URL)
	<-ctx.Done()
	return backend.Close()
}

func parseChaos(s string) (events.Chaos, error) {
	var chaos events.Chaos
	if s == "" {
		return chaos, nil
	}
	for _, part := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "duplicate":
			chaos.Duplicates, err = strconv.Atoi(value)
			chaos.Duplicates-- // deliveries; the first is not a duplicate
		case "delay":
			chaos.MaxDelay, err = time.ParseDuration(value)
		case "reorder":
			chaos.Reorder = true
		default:
			err = fmt.Errorf("unknown trouble %q", key)
		}
		if err != nil {
			return chaos, fmt.Errorf("chaos: %w", err)
		}
	}
	return chaos, nil
}

type workerCommand struct {
	Stage string `required:"" help:"Stage to work on."`
}

func (cmd workerCommand) Run(ctx context.Context, c console) error {
	s, err := pipeline.ParseStage(cmd.Stage)
	if err != nil {
		return usageError{err}
	}
	define := func(s pipeline.Stage) app.Define {
		return func(app.Config) (stage.Definition, error) { return machine.Stage(s) }
	}
	var further []app.Define
	for next, ok := s.Next(); ok; next, ok = next.Next() {
		further = append(further, define(next))
	}
	return app.RunWorker(ctx, serve.NewLogger(c.err, "", slog.LevelInfo), define(s), further...)
}
