package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// medians of each of a result's numbers.
func medians(turns []result) (r result) {
	pick := func(of func(result) float64) float64 {
		var values []float64
		for _, x := range turns {
			values = append(values, of(x))
		}
		return median(values)
	}
	r.rate, r.cpu = pick(func(r result) float64 { return r.rate }), pick(func(r result) float64 { return r.cpu })
	r.p50 = time.Duration(pick(func(r result) float64 { return float64(r.p50) }))
	r.p99 = time.Duration(pick(func(r result) float64 { return float64(r.p99) }))
	return r
}

// ratio is the median of ratios, of rates and of processor time the other way round: more is better for ours.
func (m *measurement) ratio(ours, theirs operation) (rate, cpu float64) {
	var rates, cpus []float64
	for i, x := range m.results[ours] {
		y := m.results[theirs][i]
		rates, cpus = append(rates, x.rate/y.rate), append(cpus, y.cpu/x.cpu)
	}
	return median(rates), median(cpus)
}

// overEmpty is the median of p50 over that at depth 0 in the same turn.
func (m *measurement) overEmpty(empty *measurement, op operation) float64 {
	var ratios []float64
	for i, r := range m.results[op] {
		ratios = append(ratios, float64(r.p50)/float64(empty.results[op][i].p50))
	}
	return median(ratios)
}

// compared says what is measured against what.
var compared = []struct{ ours, theirs string }{
	{"enqueue", "asynq enqueue"}, {"claim+complete", "asynq process"},
}

// report prints a table of everything and one of what matters, and reports the latter as metrics.
func report(b *testing.B, at []*measurement) {
	b.Helper()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("\n%s\n", b.Name())
	fmt.Fprintf(t, "operation\tdepth\tat once\ta second\tp50 us\tp99 us\tCPU us\tthe other a second\tCPU us\trate over the other's\tCPU\tp50 over empty\t\n")
	for _, pair := range compared {
		for _, c := range []int{1, 8} {
			for _, m := range at {
				line(t, b, m, at[0], operation{pair.ours, c}, operation{pair.theirs, c})
			}
		}
	}
	if err := t.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("medians of %d turns; ratios of neighbours in time; the other is asynq\n", *rounds*benchTurns)
	for _, m := range at[1:] {
		fmt.Printf("depth %d: %.0f bytes a request; asynq, of a 200-byte payload and without session and token: %.0f\n", m.depth, m.bytes, m.asynqBytes)
		b.ReportMetric(m.bytes, fmt.Sprintf("bytes/request@%d", m.depth))
	}
}

func line(t *tabwriter.Writer, b *testing.B, m, empty *measurement, ours, theirs operation) {
	us := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/1e3) }
	r, o := medians(m.results[ours]), medians(m.results[theirs])
	rate, cpu := m.ratio(ours, theirs)
	over := m.overEmpty(empty, ours)
	fmt.Fprintf(t, "%s\t%d\t%d\t%.0f\t%s\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t\n", ours.name, m.depth, ours.c, r.rate, us(r.p50), us(r.p99),
		r.cpu, o.rate, o.cpu, rate, cpu, over)
	where := fmt.Sprintf("@%d-c%d", m.depth, ours.c)
	b.ReportMetric(rate, ours.metric()+"/"+theirs.metric()+where)
	b.ReportMetric(over, ours.metric()+"-p50/empty"+where)
}

// metric is the name without spaces, which metrics may not have.
func (o operation) metric() string {
	name := []byte(o.name)
	for i, c := range name {
		if c == ' ' {
			name[i] = '-'
		}
	}
	return string(name)
}
