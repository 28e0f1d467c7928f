// Package local is Google Cloud on a laptop: Cloud Storage, Eventarc, Pub/Sub, Memorystore and Cloud Run jobs as far as
// Splatworks uses them, in one process and one folder. What it answered for survives a crash: a program that starts on the
// same folder continues where it stopped.
//
//	gcs      Cloud Storage: buckets, resumable uploads, signed URLs
//	outbox   what must still be sent, on disk
//	events   Eventarc: new objects and messages as CloudEvents over HTTP, at least once
//	pubsub   Pub/Sub: topics for the client library, pushed by events
//	redis    a redis-server child on a unix socket
//	child    processes that end with this one
//	socket   unix sockets that only their owner reaches
//	loopback by which names this machine may be called, and how it calls itself
//	durable  small files that a loss of power leaves whole
//
// The program that hosts the handlers of services and functions (cmd/splatworks) starts a Cloud, registers a trigger for
// each of them, and points the clients at its addresses.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/splatworks/splatworks/infra/local/durable"
	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/infra/local/gcs"
	"github.com/splatworks/splatworks/infra/local/pubsub"
	"github.com/splatworks/splatworks/infra/local/redis"
)

// Options of a Cloud.
type Options struct {
	Dir     string   // everything is kept in here
	Listen  string   // of the storage; 127.0.0.1:0 when empty. Port 0 takes the last run's when it is free
	Project string   // name in Pub/Sub; Project when empty
	Topics  []string // to make
	Buckets []Bucket // to make, or to give these rules

	RedisPath  string        // of redis-server; from PATH when empty
	FirstRetry time.Duration // of events; Eventarc's 10 s when 0
	Chaos      events.Chaos
	Transport  http.RoundTripper // of events; see events.Options
	Expect     []events.Trigger  // that will be set, see events.Options
	Hosts      []string          // further host names of the storage, see gcs.Options
	Log        *slog.Logger
}

// Project is the name in Pub/Sub of a cloud that is given none.
const Project = "local"

// Bucket is a bucket to make.
type Bucket struct {
	Name string
	CORS []gcs.CORS
}

// Cloud is everything, running.
type Cloud struct {
	Storage *gcs.Server
	Events  *events.Relay
	Redis   *redis.Server
	pubsub  *pubsub.Server

	project  string
	lock     *os.File
	listener net.Listener
	server   *http.Server
	served   chan error
	close    sync.Once
	closeErr error
}

// Start brings everything up on loopback and returns when all of it answers.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Project == "" {
		o.Project = Project
	}
	c := &Cloud{project: o.Project}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cloud) start(ctx context.Context, o Options) (err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if c.lock, err = lockFolder(o.Dir); err != nil {
		return err
	}
	if c.Events, err = events.Open(filepath.Join(o.Dir, "events"), events.Options{RetryMin: o.FirstRetry, Chaos: o.Chaos, Transport: o.Transport, Expect: o.Expect, Log: o.Log}); err != nil {
		return err
	}
	if c.Storage, err = gcs.Open(filepath.Join(o.Dir, "storage"), gcs.Options{Listener: c.Events, Hosts: o.Hosts, Log: o.Log}); err != nil {
		return err
	}
	for _, b := range o.Buckets {
		if err := c.Storage.Bucket(ctx, b.Name, b.CORS); err != nil {
			return err
		}
	}
	if c.pubsub, err = pubsub.Start(ctx, o.Project, o.Topics, c.Events); err != nil {
		return err
	}
	if c.Redis, err = redis.Start(ctx, filepath.Join(o.Dir, "redis"), redis.Options{Path: o.RedisPath, Log: o.Log}); err != nil {
		return err
	}
	if c.listener, err = listen(ctx, o.Listen, filepath.Join(o.Dir, "storage-address")); err != nil {
		return fmt.Errorf("listen for storage: %w", err)
	}
	// No limit on the time of a body: an upload takes as long as it takes.
	c.server = &http.Server{Handler: c.Storage, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn)}
	c.served = make(chan error, 1)
	go func() { c.served <- c.server.Serve(c.listener) }()
	return nil
}

// listen takes the address that the file remembers when a free port is asked for: clients hold session URIs and signed
// URLs of an earlier run, and continue with them if they can.
func listen(ctx context.Context, address, file string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if last, err := os.ReadFile(file); err == nil && port == "0" {
		if lastHost, _, err := net.SplitHostPort(string(last)); err == nil && lastHost == host {
			if l, err := new(net.ListenConfig).Listen(ctx, "tcp", string(last)); err == nil {
				return l, nil
			}
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Dir(file), file, []byte(l.Addr().String())); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// lockFolder keeps a second program off the folder.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another program uses the data folder %s: stop it or choose another folder (%w)", dir, err), f.Close())
	}
	return f, nil
}

// StorageURL is the endpoint of the storage for programs on this machine.
func (c *Cloud) StorageURL() string { return "http://" + c.listener.Addr().String() }

// PubSubAddr is the gRPC endpoint of Pub/Sub, without TLS.
func (c *Cloud) PubSubAddr() string { return c.pubsub.Addr() }

// RedisAddr is the unix socket of Redis.
func (c *Cloud) RedisAddr() string { return c.Redis.Addr() }

// OnFinalized has a bucket's new objects sent to a URL.
func (c *Cloud) OnFinalized(bucket, url string) error {
	return c.Events.Register(events.OnFinalized(bucket, url))
}

// OnMessage has a topic's messages sent to a URL.
func (c *Cloud) OnMessage(topic, url string) error {
	return c.Events.Register(pubsub.OnMessage(c.project, topic, url))
}

// Close ends everything in the order in which nothing is lost: first what takes requests, then what keeps them.
func (c *Cloud) Close() error {
	c.close.Do(func() { c.closeErr = c.shutDown() })
	return c.closeErr
}

// drainTime is how long requests to the storage may take to end.
const drainTime = 5 * time.Second

func (c *Cloud) shutDown() error {
	var all []error
	if c.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := c.server.Shutdown(ctx); err != nil {
			all = append(all, c.server.Close()) // uploads can be resumed
		}
		if err := <-c.served; !errors.Is(err, http.ErrServerClosed) {
			all = append(all, err)
		}
	} else if c.listener != nil {
		all = append(all, c.listener.Close())
	}
	if c.pubsub != nil {
		all = append(all, c.pubsub.Close())
	}
	if c.Events != nil {
		all = append(all, c.Events.Close())
	}
	if c.Redis != nil {
		all = append(all, c.Redis.Close())
	}
	if c.lock != nil {
		all = append(all, c.lock.Close())
	}
	return errors.Join(all...)
}
