// Package app wires the programs: it reads their configuration, opens the adapters that the configuration names, and puts
// the parts together. Besides the mains it is the one place where an adapter has a name. Every stage's service, the
// functions and the local program start here, so that a main fits on one screen.
package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// Config is what a deployment sets, by environment. terraform/ sets exactly these names; cmd/splatworks/laptop sets the
// same ones for the workers on a laptop.
type Config struct {
	// Where things are.
	ProjectID string            `env:"PROJECT_ID"`              // Google Cloud project; empty on a laptop
	Region    string            `env:"REGION"`                  // of the Cloud Run jobs
	RedisURL  string            `env:"REDIS_URL"`               // redis://, rediss:// or unix:///path; for programs that use the queue
	RedisCA   string            `env:"REDIS_CA_CERT"`           // PEM of the server's authority, for rediss://
	Inbox     map[string]string `env:"INBOX_BUCKETS, required"` // stage:bucket,stage:bucket,...
	Artifacts string            `env:"ARTIFACTS_BUCKET, required"`
	Storage   string            `env:"STORAGE_EMULATOR_HOST"` // http://host:port of an emulator; empty: Cloud Storage

	PubSub    string   `env:"PUBSUB_EMULATOR_HOST"` // host:port of an emulator; empty: Pub/Sub
	Requested string   `env:"TOPIC_REQUESTED, default=reconstruction-requested"`
	Finished  string   `env:"TOPIC_FINISHED, default=reconstruction-finished"`
	Account   string   `env:"SIGNER_ACCOUNT"` // service account that signs URLs; empty: the one this program runs as
	Sources   []string `env:"SOURCE_BUCKETS"` // whose objects may be named in place of an upload; none: no bucket's
	Origins   []string `env:"CORS_ORIGINS"`   // of web pages that call the request API from a browser
	APIKeys   []string `env:"API_KEYS"`       // NAME:SHA256 of keys that open the request API, besides those that operators add
	AskKeys   bool     `env:"ASK_KEYS"`       // the request API asks for a key; as with API_KEYS
	PublicURL string   `env:"PUBLIC_URL"`     // where clients reach the request API; empty: what the client called
	WebPage   bool     `env:"WEB_PAGE"`       // the request API serves the page for people, too

	RateCaller int   `env:"RATE_LIMIT_CALLER, default=10"` // calls for a reconstruction a minute of one caller: a key, or an address
	RateGlobal int   `env:"RATE_LIMIT_GLOBAL, default=60"` // reconstructions a minute that are taken in, of all callers together
	RateDay    int   `env:"RATE_LIMIT_DAY, default=0"`     // the same in any 24 hours; 0: no limit
	Proxies    int   `env:"PROXIES"`                       // trusted proxies in front of the request API, see serve.ClientAddress
	Concurrent int   `env:"CONCURRENCY, default=1000"`     // calls that an instance of the request API serves at once; half of them may wait
	MaxUpload  int64 `env:"MAX_UPLOAD_BYTES"`              // of a capture, in one upload or in several; 0: 10 GiB

	// What one caller may spend on a request, and how far it may jump the queue.
	MaxTrainBudgetS float64 `env:"MAX_TRAIN_BUDGET_S, default=3600"`
	MaxImages       int     `env:"MAX_IMAGES, default=1000"`
	MaxLongEdgePx   int     `env:"MAX_LONG_EDGE_PX, default=1920"`
	MaxPriority     int     `env:"MAX_PRIORITY, default=0"`
	MaxRequestsDay  int     `env:"MAX_REQUESTS_DAY, default=0"` // in any 24 hours; 0: no limit
	KeyLimits       string  `env:"API_KEY_LIMITS"`              // JSON by the name of an API key: {"app": {"max_priority": 100}}

	// What the requests of one caller, and of all together, may use in any 24 hours; 0: no limit. Trigger and workers read them.
	MaxMinutesDay float64 `env:"MAX_MINUTES_DAY, default=0"` // of workers
	MaxBytesDay   int64   `env:"MAX_UPLOAD_BYTES_DAY, default=0"`
	MaxUSDDay     float64 `env:"MAX_USD_DAY, default=0"` // by WORKER_USD_PER_S
	AllMinutesDay float64 `env:"ALL_MINUTES_DAY, default=0"`
	AllBytesDay   int64   `env:"ALL_UPLOAD_BYTES_DAY, default=0"`
	AllUSDDay     float64 `env:"ALL_USD_DAY, default=0"`
	FairShare     bool    `env:"FAIR_SHARE"` // callers of equal priority take turns; the same in all programs of a deployment
	Presets       string  `env:"PRESETS"`    // JSON by preset, of pipeline.Effort: {"high": {"max_images": 200}}

	// Mails, where there are any. The trigger function needs to know the sender alone, and notify all of it.
	MailFrom string `env:"MAIL_FROM"` // sender ("Splatworks <splats@example.com>"); empty: the request API takes no addresses
	SMTPURL  string `env:"SMTP_URL"`  // smtp://USER:PASSWORD@HOST:PORT or smtps://
	MailURL  string `env:"MAIL_URL"`  // where links in mails lead: the request API's address

	// OTLP is a collector to which the operators' API sends its metrics; empty: none. OpenTelemetry's other variables hold, too.
	OTLP string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`

	// Declared is what the deployment was made from: JSON of the form of splatworks.yaml, which operators compare with theirs.
	Declared string `env:"DECLARED"`

	// LoopbackWebhooks lets webhooks go to this machine, and over http: for a laptop only.
	LoopbackWebhooks bool `env:"LOOPBACK_WEBHOOKS"`

	// How work is shared out.
	Slots       map[string]int    `env:"SLOTS"`                  // most workers a stage; empty: as in pipeline.StageTable
	Machines    map[string]string `env:"MACHINES"`               // stage:machine; a worker continues with the next stage on its machine; empty: as in pipeline.StageTable
	Jobs        map[string]string `env:"JOBS"`                   // stage:name of its Cloud Run job
	LeaseTTL    time.Duration     `env:"LEASE_TTL, default=90s"` // a worker silent for longer has lost its task
	Heartbeat   time.Duration     `env:"HEARTBEAT, default=15s"`
	StartBudget time.Duration     `env:"START_BUDGET, default=5m"` // from launch to first claim
	TaskTimeout time.Duration     `env:"TASK_TIMEOUT"`             // of the Cloud Run job: the worker is gone after it

	// What a worker uses.
	Worker  string  `env:"WORKER_NAME"`      // unique among workers; empty: made up from host, process and time
	WorkDir string  `env:"WORK_DIR"`         // local disk; empty: the system's temporary folder
	Threads int     `env:"THREADS"`          // 0: all processors
	USDPerS float64 `env:"WORKER_USD_PER_S"` // price of the worker's machine, for estimates; 0: none is made
	MaxUSD  float64 `env:"MAX_REQUEST_USD"`  // what a request may cost, by these estimates; 0: no limit
	Port    string  `env:"PORT, default=8080"`

	// TrainDevice is where the train stage runs: auto, cpu, cuda or opencl.
	TrainDevice string `env:"TRAIN_DEVICE, default=auto"`
	// TrainCard says that the train stage has a graphics card.
	TrainCard bool `env:"TRAIN_CARD"`

	// What the depth stage uses. Without a model it says so and the pipeline continues.
	DepthModel    string             `env:"DEPTH_MODEL, default=depth-anything-v2-small"` // where a request names none
	DepthNames    []string           `env:"DEPTH_NAMES"`                                  // further models that a request may name
	DepthShares   map[string]float64 `env:"DEPTH_SHARES"`                                 // model:percentage of the requests that name none; empty: DepthModel for all
	DepthModels   string             `env:"DEPTH_MODELS"`                                 // folder of descriptors and weights
	DepthProvider string             `env:"DEPTH_PROVIDER, default=auto"`                 // auto, cpu, cuda or webgpu
	ONNXRuntime   string             `env:"ONNXRUNTIME_LIBRARY"`                          // libonnxruntime.so

	// Now is the clock; nil is time.Now. No environment sets it: tests give a worker a wrong one.
	Now func() time.Time
}

// Load reads the configuration through lookup, which is envconfig.OsLookuper() outside tests.
func Load(ctx context.Context, lookup envconfig.Lookuper) (Config, error) {
	var c Config
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: lookup}); err != nil {
		return c, fmt.Errorf("read configuration from the environment: %w", err)
	}
	c.fillStages()
	var problems []error
	for _, stage := range pipeline.Stages() {
		if c.Inbox[string(stage)] == "" {
			problems = append(problems, fmt.Errorf("INBOX_BUCKETS names no bucket for stage %s", stage))
		}
		if c.Slots[string(stage)] < 1 {
			problems = append(problems, fmt.Errorf("SLOTS allows no worker for stage %s", stage))
		}
	}
	for _, named := range slices.Concat(slices.Collect(maps.Keys(c.Inbox)), slices.Collect(maps.Keys(c.Slots)), slices.Collect(maps.Keys(c.Machines)), slices.Collect(maps.Keys(c.Jobs))) {
		if _, err := pipeline.ParseStage(named); err != nil {
			problems = append(problems, err)
		}
	}
	if c.Heartbeat*3 > c.LeaseTTL {
		problems = append(problems, errors.New("LEASE_TTL must be at least three times HEARTBEAT, or one lost heartbeat loses the task"))
	}
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			problems = append(problems, fmt.Errorf("CORS_ORIGINS: %q is not of the form https://host", origin))
		}
	}
	if _, err := tenant.ParseEntries(c.APIKeys); err != nil {
		problems = append(problems, fmt.Errorf("API_KEYS: %w", err))
	}
	problems = append(problems, c.checkCallers()...)
	if _, err := c.mailer(); err != nil {
		problems = append(problems, fmt.Errorf("SMTP_URL, MAIL_FROM, MAIL_URL: %w", err))
	}
	if !(c.USDPerS >= 0 && c.USDPerS < 1) {
		problems = append(problems, errors.New("WORKER_USD_PER_S must be a price of one second: at least 0 and below 1"))
	}
	if !(c.MaxUSD >= 0) {
		problems = append(problems, errors.New("MAX_REQUEST_USD must be a cost: at least 0"))
	}
	return c, errors.Join(problems...)
}

// fillStages takes what is not said of the stages from their table.
func (c *Config) fillStages() {
	slots, machines := map[string]int{}, map[string]string{}
	for _, row := range pipeline.StageTable() {
		slots[string(row.Stage)], machines[string(row.Stage)] = row.Slots, row.Machine
	}
	if c.Slots == nil {
		c.Slots = slots
	}
	if c.Machines == nil {
		c.Machines = machines
	}
}

// checkCallers says what is wrong with what callers may do.
func (c Config) checkCallers() (problems []error) {
	if c.RateCaller < 1 || c.RateGlobal < c.RateCaller {
		problems = append(problems, errors.New("RATE_LIMIT_CALLER must be at least 1 and RATE_LIMIT_GLOBAL not below it"))
	}
	if c.RateDay < 0 || c.RateDay > trigger.MaxRequestsDay {
		problems = append(problems, fmt.Errorf("RATE_LIMIT_DAY must be between 0 (no limit) and %d", trigger.MaxRequestsDay))
	}
	if c.MaxUpload < 0 {
		problems = append(problems, errors.New("MAX_UPLOAD_BYTES must not be negative"))
	}
	if c.Proxies < 0 || c.Concurrent < 2 {
		problems = append(problems, errors.New("PROXIES must not be negative and CONCURRENCY at least 2"))
	}
	general := c.Spending()
	if err := general.Check(); err != nil {
		problems = append(problems, fmt.Errorf("MAX_TRAIN_BUDGET_S, MAX_IMAGES, MAX_LONG_EDGE_PX, MAX_PRIORITY, MAX_REQUESTS_DAY, MAX_MINUTES_DAY, MAX_UPLOAD_BYTES_DAY, MAX_USD_DAY: %w", err))
	}
	if err := c.AllDay().Check(); err != nil {
		problems = append(problems, fmt.Errorf("ALL_MINUTES_DAY, ALL_UPLOAD_BYTES_DAY, ALL_USD_DAY: %w", err))
	}
	if _, err := c.defaults(); err != nil {
		problems = append(problems, fmt.Errorf("PRESETS, DEPTH_SHARES: %w", err))
	}
	if c.Declared != "" && serve.CheckJSON([]byte(c.Declared)) != nil {
		problems = append(problems, errors.New("DECLARED must be a JSON object"))
	}
	if _, err := trigger.ParseKeyLimits(c.KeyLimits, general); err != nil {
		problems = append(problems, fmt.Errorf("API_KEY_LIMITS: %w", err))
	}
	return problems
}

// defaults are what is filled in where a request leaves something open.
func (c Config) defaults() (pipeline.Defaults, error) {
	d := pipeline.Defaults{Depth: c.DepthShares}
	if c.Presets != "" {
		if err := serve.CheckJSON([]byte(c.Presets)); err != nil {
			return d, err
		}
		if err := serve.DecodeJSON([]byte(c.Presets), &d.Presets); err != nil {
			return d, err
		}
	}
	return d, d.Check()
}

// mailer is the deployment's mail server; nil where there is none.
func (c Config) mailer() (*notify.Mailer, error) {
	if c.SMTPURL == "" {
		return nil, nil
	}
	return notify.NewMailer(c.SMTPURL, c.MailFrom, c.MailURL, c.WebPage)
}

// DefaultSpending is what a caller may spend where a deployment says nothing.
var DefaultSpending = trigger.Limits{TrainBudgetS: 3600, Images: 1000, LongEdgePx: 1920, Priority: 0}

// Spending is what every caller may spend on a request.
func (c Config) Spending() trigger.Limits {
	return trigger.Limits{TrainBudgetS: c.MaxTrainBudgetS, Images: c.MaxImages, LongEdgePx: c.MaxLongEdgePx, Priority: c.MaxPriority, Requests: c.MaxRequestsDay,
		Daily: tenant.Daily{Minutes: c.MaxMinutesDay, Bytes: c.MaxBytesDay, USD: c.MaxUSDDay}}
}

// AllDay is what the requests of all callers together may use in a day.
func (c Config) AllDay() tenant.Daily {
	return tenant.Daily{Minutes: c.AllMinutesDay, Bytes: c.AllBytesDay, USD: c.AllUSDDay}
}

// keysAsked says whether the request API asks for API keys.
func (c Config) keysAsked() bool { return c.AskKeys || len(c.APIKeys) > 0 }

// Buckets as the artifacts package wants them.
func (c Config) Buckets() artifacts.Buckets {
	b := artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: c.Artifacts}
	for stage, bucket := range c.Inbox {
		b.Inbox[pipeline.Stage(stage)] = bucket
	}
	return b
}

// Limits are the slots by stage.
func (c Config) Limits() map[pipeline.Stage]int {
	limits := map[pipeline.Stage]int{}
	for stage, n := range c.Slots {
		limits[pipeline.Stage(stage)] = n
	}
	return limits
}

// WorksOn are the stages at which a worker that was started for a stage may work: this one, and those that follow on the same machine.
func (c Config) WorksOn(s pipeline.Stage) []pipeline.Stage {
	stages := []pipeline.Stage{s}
	for next, ok := s.Next(); ok && c.Machines[string(s)] != "" && c.Machines[string(next)] == c.Machines[string(s)]; next, ok = next.Next() {
		stages = append(stages, next)
	}
	return stages
}

// Environ is c as it is read by Load: what a worker started by hand needs.
func (c Config) Environ() []string {
	list := func(m map[string]string) string {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, k+":"+m[k])
		}
		return strings.Join(parts, ",")
	}
	slots, shares := map[string]string{}, map[string]string{}
	for stage, n := range c.Slots {
		slots[stage] = strconv.Itoa(n)
	}
	for model, percent := range c.DepthShares {
		shares[model] = strconv.FormatFloat(percent, 'g', -1, 64)
	}
	values := map[string]string{
		"PROJECT_ID": c.ProjectID, "REGION": c.Region, "REDIS_URL": c.RedisURL, "REDIS_CA_CERT": c.RedisCA,
		"INBOX_BUCKETS": list(c.Inbox), "ARTIFACTS_BUCKET": c.Artifacts, "STORAGE_EMULATOR_HOST": c.Storage,
		"PUBSUB_EMULATOR_HOST": c.PubSub, "TOPIC_REQUESTED": c.Requested, "TOPIC_FINISHED": c.Finished,
		"SIGNER_ACCOUNT": c.Account, "PUBLIC_URL": c.PublicURL, "SOURCE_BUCKETS": strings.Join(c.Sources, ","),
		"CORS_ORIGINS": strings.Join(c.Origins, ","), "API_KEYS": strings.Join(c.APIKeys, ","), "ASK_KEYS": strconv.FormatBool(c.AskKeys), "LOOPBACK_WEBHOOKS": strconv.FormatBool(c.LoopbackWebhooks),
		"RATE_LIMIT_CALLER": strconv.Itoa(c.RateCaller), "RATE_LIMIT_GLOBAL": strconv.Itoa(c.RateGlobal), "RATE_LIMIT_DAY": strconv.Itoa(c.RateDay), "MAX_UPLOAD_BYTES": strconv.FormatInt(c.MaxUpload, 10),
		"PROXIES": strconv.Itoa(c.Proxies), "CONCURRENCY": strconv.Itoa(c.Concurrent), "MAX_TRAIN_BUDGET_S": strconv.FormatFloat(c.MaxTrainBudgetS, 'g', -1, 64),
		"MAX_IMAGES": strconv.Itoa(c.MaxImages), "MAX_LONG_EDGE_PX": strconv.Itoa(c.MaxLongEdgePx), "MAX_PRIORITY": strconv.Itoa(c.MaxPriority), "MAX_REQUESTS_DAY": strconv.Itoa(c.MaxRequestsDay),
		"MAX_MINUTES_DAY": strconv.FormatFloat(c.MaxMinutesDay, 'g', -1, 64), "MAX_UPLOAD_BYTES_DAY": strconv.FormatInt(c.MaxBytesDay, 10), "MAX_USD_DAY": strconv.FormatFloat(c.MaxUSDDay, 'g', -1, 64),
		"ALL_MINUTES_DAY": strconv.FormatFloat(c.AllMinutesDay, 'g', -1, 64), "ALL_UPLOAD_BYTES_DAY": strconv.FormatInt(c.AllBytesDay, 10), "ALL_USD_DAY": strconv.FormatFloat(c.AllUSDDay, 'g', -1, 64),
		"API_KEY_LIMITS": c.KeyLimits, "FAIR_SHARE": strconv.FormatBool(c.FairShare), "SLOTS": list(slots), "MACHINES": list(c.Machines), "JOBS": list(c.Jobs),
		"LEASE_TTL": c.LeaseTTL.String(), "HEARTBEAT": c.Heartbeat.String(), "START_BUDGET": c.StartBudget.String(),
		"TASK_TIMEOUT": c.TaskTimeout.String(), "WORKER_NAME": c.Worker, "WORK_DIR": c.WorkDir, "THREADS": strconv.Itoa(c.Threads),
		"WORKER_USD_PER_S": strconv.FormatFloat(c.USDPerS, 'g', -1, 64), "MAX_REQUEST_USD": strconv.FormatFloat(c.MaxUSD, 'g', -1, 64), "PORT": c.Port,
		"DEPTH_MODEL": c.DepthModel, "DEPTH_NAMES": strings.Join(c.DepthNames, ","), "DEPTH_SHARES": list(shares), "PRESETS": c.Presets, "DECLARED": c.Declared, "DEPTH_MODELS": c.DepthModels, "DEPTH_PROVIDER": c.DepthProvider, "ONNXRUNTIME_LIBRARY": c.ONNXRuntime, "TRAIN_DEVICE": c.TrainDevice,
		"TRAIN_CARD": strconv.FormatBool(c.TrainCard),
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, name+"="+values[name])
	}
	return env
}
