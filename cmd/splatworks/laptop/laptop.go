// Package laptop puts the whole backend into one process on loopback: the local cloud, the functions, every stage's
// receiver, and the reaper's tick. Workers are child processes of the same program. Everything between the parts goes the
// way it goes in the cloud: objects, events, queue, leases.
package laptop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/cmd/splatworks/config"
	"github.com/splatworks/splatworks/cmd/splatworks/machine"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/infra/local"
	"github.com/splatworks/splatworks/infra/local/events"
	emulator "github.com/splatworks/splatworks/infra/local/gcs"
	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/infra/local/pubsub"
	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Options of a Backend.
type Options struct {
	Listen string // host:port of the API; port 0 takes a free one
	Dir    string // everything is kept in here
	Lease  time.Duration
	Chaos  events.Chaos
	Idle   bool // launch no workers: for maintenance
	Log    *slog.Logger

	RateLimit int      // reconstructions a minute of one caller; 0: as many as come
	Untrusted bool     // callers are not the owner: no webhooks to this machine, and no more for each than a deployment allows
	Origins   []string // of web pages that call the API from a browser
	Hosts     []string // names by which callers reach this program, besides those of Listen and of Origins
	APIKeys   []string // NAME:SHA256 of keys that open the API, besides those that are added while it runs
	AskKeys   bool     // a key is asked for; as with APIKeys

	Settings *config.File // what a configuration says; nil: nothing

	SMTPURL  string // mail server; empty: no mails
	MailFrom string // sender of mails
	MailURL  string // where links in mails lead; empty: http:// and Listen
}

// Backend is everything, running.
type Backend struct {
	URL        string // of the request API
	StorageURL string
	Operators  string // unix socket of the operators' API

	cloud    *local.Cloud
	parts    *app.Parts
	launcher *local.Launcher
	stop     context.CancelFunc
	served   chan error
	ticked   chan struct{}

	receiversServed, operatorsServed chan error
	sockets                          []func() error // remove their places
}

// The buckets of the local cloud.
func inbox(s pipeline.Stage) string { return "inbox-" + string(s) }

const (
	artifactsBucket = "artifacts"
	sourcesBucket   = "sources" // whatever its owner puts there may be named in place of an upload
	finishedTopic   = "reconstruction-finished"
)

// tick is how often the reaper looks: a lost launch costs no more than this here.
const tick = time.Second

// Start brings everything up and returns when all of it answers. Close it after use.
func Start(ctx context.Context, o Options) (b *Backend, err error) {
	b = &Backend{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	redisServer, err := toolchain.Locate("redis-server")
	if err != nil {
		return b, err
	}
	if !o.Idle {
		// A worker without its tools would end as often as it is launched, and nobody would read why.
		if err := machine.Check(); err != nil {
			return b, err
		}
	}
	receivers, err := b.place(o.Dir, receiversSocket)
	if err != nil {
		return b, err
	}
	c, err := configured(o)
	if err != nil {
		return b, err
	}
	// Nothing in the folder is touched before this holds its lock: another program may be at work in it.
	if b.cloud, err = startCloud(ctx, o, c, redisServer, receivers); err != nil {
		return b, err
	}
	b.StorageURL = b.cloud.StorageURL()
	c.Storage, c.PubSub, c.RedisURL = b.StorageURL, b.cloud.PubSubAddr(), "unix://"+b.cloud.RedisAddr()
	if b.parts, err = c.Open(ctx, o.Log); err != nil {
		return b, err
	}
	if o.Idle {
		return b, nil
	}
	if err := b.takeUp(ctx, o); err != nil {
		return b, err
	}
	b.parts.DepthModels, b.parts.Deliveries = machine.DepthModels, notify.NewDeliveries()
	b.launcher = &local.Launcher{Env: c.Environ(), LogDir: filepath.Join(o.Dir, "logs"), WorkDir: workDir(o), Log: o.Log, Exited: b.workerEnded(c, o.Log)}
	b.parts.Launcher = b.launcher
	return b, b.serve(ctx, o, receivers)
}

func startCloud(ctx context.Context, o Options, c app.Config, redisServer, receivers string) (*local.Cloud, error) {
	buckets := []local.Bucket{{Name: artifactsBucket, CORS: cors}, {Name: sourcesBucket, CORS: cors}}
	expect := []events.Trigger{pubsub.OnMessage(local.Project, finishedTopic, "")}
	for _, s := range pipeline.Stages() {
		buckets = append(buckets, local.Bucket{Name: inbox(s), CORS: cors})
		expect = append(expect, events.OnFinalized(inbox(s), ""))
	}
	return local.Start(ctx, local.Options{
		Dir: filepath.Join(o.Dir, "cloud"), Topics: []string{c.Requested, c.Finished}, Buckets: buckets, RedisPath: redisServer,
		FirstRetry: time.Second, Chaos: o.Chaos, Transport: socket.Transport(receivers), Expect: expect, Log: o.Log,
	})
}

func workDir(o Options) string { return filepath.Join(o.Dir, "work") }

// callersAtOnce may use up their rate limits before that of all together is used up.
const callersAtOnce = 6

// configured is the deployment's configuration on a laptop.
func configured(o Options) (app.Config, error) {
	asked := o.AskKeys || len(o.APIKeys) > 0
	c := app.Config{
		Inbox: map[string]string{}, Artifacts: artifactsBucket, Sources: []string{sourcesBucket}, Slots: map[string]int{}, Machines: map[string]string{},
		Requested: "reconstruction-requested", Finished: finishedTopic,
		LeaseTTL: o.Lease, Heartbeat: o.Lease / 5, StartBudget: 15 * time.Second, Port: "0",
		RateCaller: o.RateLimit, RateGlobal: callersAtOnce * o.RateLimit, LoopbackWebhooks: !o.Untrusted, Origins: o.Origins, APIKeys: o.APIKeys, AskKeys: asked,
		FairShare: asked, Concurrent: 1000, WebPage: true, SMTPURL: o.SMTPURL, MailFrom: o.MailFrom, MailURL: cmp.Or(o.MailURL, "http://"+o.Listen),
	}
	if o.RateLimit == 0 {
		c.RateCaller, c.RateGlobal = 1e6, 1e6
	}
	spending := trigger.NoLimits // the machine is its owner's to spend
	if o.Untrusted || asked {
		spending = app.DefaultSpending
	}
	c.MaxTrainBudgetS, c.MaxImages, c.MaxLongEdgePx, c.MaxPriority = spending.TrainBudgetS, spending.Images, spending.LongEdgePx, spending.Priority
	for _, row := range pipeline.StageTable() {
		s := string(row.Stage)
		c.Inbox[s], c.Machines[s] = inbox(row.Stage), row.Machine
		c.Slots[s] = 1 // every stage uses all processors alone
	}
	c.OTLP = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	settings := cmp.Or(o.Settings, &config.File{})
	err := settings.Apply(&c)
	return c, err
}

// cors lets a page served by the API upload to the storage and fetch results from it.
var cors = []emulator.CORS{{
	Origin: []string{"*"}, Method: []string{"GET", "HEAD", "POST", "PUT"}, MaxAgeSeconds: 3600,
	ResponseHeader: []string{"Content-Type", "Content-Range", "Range", "Location", "x-goog-resumable", "x-goog-if-generation-match",
		"x-goog-content-length-range", "x-goog-hash", "x-goog-generation", "x-goog-meta-session-id"},
}}

func (b *Backend) serve(ctx context.Context, o Options, receiversPath string) (err error) {
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			if err != nil {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	listeners = append(listeners, listener)
	b.URL = "http://" + loopback.Own(listener.Addr())
	public, err := b.public(o)
	if err != nil {
		return err
	}
	receivers, err := socket.Listen(ctx, receiversPath)
	if err != nil {
		return err
	}
	listeners = append(listeners, receivers)
	received, err := b.receivers()
	if err != nil {
		return err
	}
	operators, err := b.listenForOperators(ctx, o.Dir)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop, b.ticked = stop, make(chan struct{})
	b.served, b.receiversServed, b.operatorsServed = make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { b.served <- serve.Server{Handler: public, Log: o.Log}.RunOn(running, listener) }()
	go func() {
		b.receiversServed <- serve.Server{Handler: serve.Hardening{Log: o.Log}.Wrap(received), Log: o.Log}.RunOn(running, receivers)
	}()
	go func() { b.operatorsServed <- operators(running) }()
	go func() { defer close(b.ticked); b.reap(running, o.Log) }()
	return nil
}

// reap is the scheduler.
func (b *Backend) reap(ctx context.Context, log *slog.Logger) {
	reaper := b.parts.Reaper()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := reaper.Tick(ctx); err != nil && ctx.Err() == nil {
				log.Warn("reaper", "error", err.Error())
			}
		}
	}
}

// Close ends everything: workers may save their state first.
func (b *Backend) Close() error {
	var problems []error
	if b.stop != nil {
		b.stop()
		<-b.ticked
	}
	if b.launcher != nil {
		problems = append(problems, b.launcher.Close())
	}
	if b.served != nil {
		problems = append(problems, <-b.served, <-b.receiversServed, <-b.operatorsServed)
	}
	for _, remove := range b.sockets {
		problems = append(problems, remove())
	}
	if b.parts != nil {
		b.parts.Close()
	}
	if b.cloud != nil {
		problems = append(problems, b.cloud.Close())
	}
	return errors.Join(problems...)
}

// Rebuild brings the queue up to what the buckets hold.
func (b *Backend) Rebuild(ctx context.Context) (queue.Rebuilt, error) { return b.parts.Rebuild(ctx) }
