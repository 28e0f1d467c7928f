package simulate

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Quantiles of durations.
type Quantiles struct {
	Count              int
	Mean               time.Duration
	P50, P90, P99, Max time.Duration
}

// StageReport is how one stage fared.
type StageReport struct {
	Stage       pipeline.Stage
	Slots       int
	Needed      float64   // slots that just keep up, see Config.Needed
	Wait        Quantiles // from ready to claimed
	Attempts    int
	Launches    int     // workers started for it
	Utilisation float64 // share of the slots' time in which they worked, while requests arrived and after the first quarter of that
	PeakReady   int     // most tasks that waited
	WorkerHours float64 // of the workers started for it, from launch to end: starts, idle ends, and the later stages with which they continued
	USD         float64
}

// Report is what a run found.
type Report struct {
	PerHour           float64
	Requests          int
	Completed, Failed int
	Span              time.Duration // from the first arrival's clock to the last completion
	Latency           Quantiles     // from submission to completion
	LatencyByPriority map[int]Quantiles
	Stages            []StageReport
	USD               float64
	USDPerRequest     float64
	StartsPerRequest  float64 // of workers
}

// Overloaded lists the stages that cannot keep up with what reaches them, for ever longer waits: the last of them limits the whole.
// A stage behind one of them hears of no more requests than that one lets through.
func (r Report) Overloaded() []pipeline.Stage {
	var stages []pipeline.Stage
	reaches := 1.0 // share of the arrivals
	for _, s := range r.Stages {
		if capacity := float64(s.Slots) / s.Needed; reaches >= capacity {
			stages, reaches = append(stages, s.Stage), capacity
		}
	}
	return stages
}

// perHour is how many requests a stage has slots for.
func (r Report) perHour(stage pipeline.Stage) float64 {
	s := r.Stages[slices.IndexFunc(r.Stages, func(s StageReport) bool { return s.Stage == stage })]
	return r.PerHour * float64(s.Slots) / s.Needed
}

// collector gathers while a run continues.
type collector struct {
	cfg        Config
	latency    map[int][]float32 // seconds, by priority
	failures   int
	wait       map[pipeline.Stage][]float32
	attempts   map[pipeline.Stage]int
	busy, paid map[pipeline.Stage]time.Duration
	launches   map[pipeline.Stage]int
	peak       map[pipeline.Stage]int
}

func newCollector(cfg Config) *collector {
	return &collector{cfg: cfg, latency: map[int][]float32{}, wait: map[pipeline.Stage][]float32{}, attempts: map[pipeline.Stage]int{},
		busy: map[pipeline.Stage]time.Duration{}, paid: map[pipeline.Stage]time.Duration{}, launches: map[pipeline.Stage]int{},
		peak: map[pipeline.Stage]int{}}
}

func (c *collector) waiting(s pipeline.Stage, n int) { c.peak[s] = max(c.peak[s], n) }
func (c *collector) failed()                         { c.failures++ }
func (c *collector) completed(priority int, d time.Duration) {
	c.latency[priority] = append(c.latency[priority], float32(d.Seconds()))
}
func (c *collector) claimed(s pipeline.Stage, d time.Duration) {
	c.wait[s] = append(c.wait[s], float32(d.Seconds()))
	c.attempts[s]++
}

// steady is when the run neither fills nor drains: of the time in which requests are expected to arrive, all but the first
// quarter.
func (c *collector) steady() (from, to time.Duration) {
	span := seconds(float64(c.cfg.Requests) / c.cfg.PerHour * 3600)
	return span / 4, span
}

func (c *collector) worked(s pipeline.Stage, start, end time.Duration) {
	from, to := c.steady()
	c.busy[s] += max(0, min(end, to)-max(start, from))
}
func (c *collector) worker(s pipeline.Stage, d time.Duration) {
	c.launches[s]++
	c.paid[s] += d
}

func quantiles(values []float32) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	at := func(share float64) time.Duration {
		return seconds(float64(values[min(len(values)-1, int(share*float64(len(values))))]))
	}
	return Quantiles{Count: len(values), Mean: seconds(sum / float64(len(values))), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (c *collector) report(span time.Duration) Report {
	r := Report{PerHour: c.cfg.PerHour, Requests: c.cfg.Requests, Failed: c.failures, Span: span, LatencyByPriority: map[int]Quantiles{}}
	var all []float32
	for priority, values := range c.latency {
		all = append(all, values...)
		r.LatencyByPriority[priority] = quantiles(values)
	}
	r.Latency = quantiles(all)
	r.Completed = r.Latency.Count
	from, to := c.steady()
	starts := 0
	for _, name := range pipeline.Stages() {
		s := c.cfg.Stages[name]
		row := StageReport{Stage: name, Slots: s.Slots, Needed: c.cfg.Needed(name), Wait: quantiles(c.wait[name]), Attempts: c.attempts[name],
			Launches: c.launches[name], PeakReady: c.peak[name], WorkerHours: c.paid[name].Hours(),
			Utilisation: c.busy[name].Seconds() / (float64(s.Slots) * (to - from).Seconds())}
		row.USD = row.WorkerHours * s.USDPerHour
		r.USD += row.USD
		starts += row.Launches
		r.Stages = append(r.Stages, row)
	}
	r.USDPerRequest = r.USD / float64(max(1, r.Completed))
	r.StartsPerRequest = float64(starts) / float64(max(1, r.Completed))
	return r
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s requests a day: %d in %s, %d completed, %d failed\n\n", round(r.PerHour*24), r.Requests, short(r.Span), r.Completed, r.Failed)
	fmt.Fprintln(t, "stage\tslots\tneeded\tbusy\twait p50\tp90\tp99\tmax\tmost waiting\tlaunches\tworker hours\tUSD\t")
	for _, s := range r.Stages {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.0f %%\t%s\t%s\t%s\t%s\t%d\t%d\t%.1f\t%.2f\t\n", s.Stage, s.Slots, s.Needed, 100*s.Utilisation,
			short(s.Wait.P50), short(s.Wait.P90), short(s.Wait.P99), short(s.Wait.Max), s.PeakReady, s.Launches, s.WorkerHours, s.USD)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nsubmitted to completed: p50 %s, p90 %s, p99 %s\n", short(r.Latency.P50), short(r.Latency.P90), short(r.Latency.P99))
	if len(r.LatencyByPriority) > 1 {
		for _, p := range slices.Sorted(maps.Keys(r.LatencyByPriority)) {
			q := r.LatencyByPriority[p]
			fmt.Fprintf(w, "  of priority %d: p50 %s, p90 %s, p99 %s\n", p, short(q.P50), short(q.P90), short(q.P99))
		}
	}
	fmt.Fprintf(w, "cost of workers: %.2f USD, %.4f USD and %.2f starts a request\n", r.USD, r.USDPerRequest, r.StartsPerRequest)
	for _, stage := range r.Overloaded() {
		fmt.Fprintf(w, "%s cannot keep up: its wait grows for as long as requests arrive, and it lets %s a day through\n", stage, round(24*r.perHour(stage)))
	}
	return nil
}

// Days are the loads that Sweep plays, in requests a day.
var Days = []float64{10, 100, 1_000, 10_000, 100_000, 1_000_000}

// sweepHours of arrivals are played at least: several times what a request takes, or a high load would end before it is one.
const sweepHours = 2

// Sweep runs cfg at each load, with as many slots as each stage needs where its own are too few, and a fifth more. Of a
// load it plays the given number of requests, but no more than a year and no less than two hours of them.
func Sweep(ctx context.Context, cfg Config, perDay []float64, requests int) ([]Report, error) {
	var reports []Report
	for _, n := range perDay {
		c := cfg
		c.PerHour = n / 24
		c.Requests = max(min(requests, int(math.Ceil(n*365))), int(math.Ceil(c.PerHour*sweepHours)))
		c.Stages = maps.Clone(cfg.Stages)
		for name, s := range c.Stages {
			if needed := c.Needed(name); needed >= 0.9*float64(s.Slots) {
				s.Slots = int(math.Ceil(1.2*needed)) + 1
				c.Stages[name] = s
			}
		}
		r, err := Run(ctx, c)
		if err != nil {
			return reports, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// PrintSweep writes one line for each load.
func PrintSweep(w io.Writer, reports []Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "a day\ttotal p50\tp99\tlongest wait p99\tat\ttrain slots\tbusy\tUSD a day\tUSD a request\t")
	for _, r := range reports {
		worst := slices.MaxFunc(r.Stages, func(a, b StageReport) int { return cmp.Compare(a.Wait.P99, b.Wait.P99) })
		train := r.Stages[slices.IndexFunc(r.Stages, func(s StageReport) bool { return s.Stage == pipeline.Train })]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%.0f %%\t%.2f\t%.3f\t\n", round(r.PerHour*24), short(r.Latency.P50), short(r.Latency.P99),
			short(worst.Wait.P99), worst.Stage, train.Slots, 100*train.Utilisation, r.USDPerRequest*r.PerHour*24, r.USDPerRequest)
	}
	return t.Flush()
}

func round(v float64) string { return fmt.Sprintf("%.0f", v) }

// short is a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1fd", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.1fh", d.Hours())
	case d >= time.Minute:
		return fmt.Sprintf("%.1fm", d.Minutes())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
