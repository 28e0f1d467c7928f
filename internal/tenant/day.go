package tenant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Resource is something that callers use, counted in whole units.
type Resource string

// What is counted in any 24 hours.
const (
	Work   Resource = "work"   // of workers, in milliseconds
	Upload Resource = "upload" // of captures, in bytes
	Cost   Resource = "cost"   // by the prices of the workers, in millionths of a USD
)

// All is who uses what all callers use together.
const All = "all"

// Charge notes what an entry has used so far. Charging it again replaces what it had, so a charge may be repeated.
type Charge struct {
	Caller string
	Entry  string // what uses it: an attempt, a capture
	Of     Resource
	Total  int64
	Most   int64 // that the caller may use in the window; 0: no limit
	// MostOfAll is what all callers together may use; 0: no limit.
	MostOfAll int64
	// Firm notes nothing where a limit would be passed: for what can be refused. Work that was done was used.
	Firm bool
}

// Beyond says whose limit was passed.
type Beyond int

// The answers to a Charge. The caller's own limit comes first.
const (
	Within Beyond = iota
	BeyondCaller
	BeyondAll
)

// Meter adds up what callers use: ratelimit.Meter.
type Meter interface {
	// Charge counts and decides in one step.
	Charge(ctx context.Context, c Charge) (Beyond, error)
	// Used is what a caller, or All, has used of a resource that still counts, and how long it takes until that is below most, if nothing more is used.
	Used(ctx context.Context, who string, of Resource, most int64) (used int64, wait time.Duration, err error)
}

// Daily is what may be used in any 24 hours; 0: no limit.
type Daily struct {
	Minutes float64 `json:"max_minutes_day"`      // of workers
	Bytes   int64   `json:"max_upload_bytes_day"` // of captures
	USD     float64 `json:"max_usd_day"`          // by the prices of the workers
}

// MaxDaily bounds each limit, so that its units can be counted exactly.
var MaxDaily = Daily{Minutes: 1e9, Bytes: 1 << 50, USD: 1e9}

// Check says what is wrong with limits.
func (d Daily) Check() error {
	switch {
	case !(d.Minutes >= 0 && d.Minutes <= MaxDaily.Minutes):
		return fmt.Errorf("the limit of minutes a day must be between 0 (no limit) and %g", MaxDaily.Minutes)
	case d.Bytes < 0 || d.Bytes > MaxDaily.Bytes:
		return fmt.Errorf("the limit of bytes a day must be between 0 (no limit) and %d", MaxDaily.Bytes)
	case !(d.USD >= 0 && d.USD <= MaxDaily.USD):
		return fmt.Errorf("the limit of USD a day must be between 0 (no limit) and %g", MaxDaily.USD)
	}
	return nil
}

// of is the limit of a resource in its units. The smallest limit is one unit: 0 would be none.
func (d Daily) of(r Resource) int64 {
	units := 0.0
	switch r {
	case Work:
		units = d.Minutes * 60_000
	case Upload:
		return d.Bytes
	case Cost:
		units = d.USD * 1e6
	}
	return int64(math.Ceil(units))
}

// Days holds callers to what they may use in a day. A nil one knows no limits.
type Days struct {
	Meter Meter
	Of    func(caller string) Daily
	All   Daily // of all callers together
}

// Excess is a limit that was reached. As an error it says so to the client.
type Excess struct {
	Of   Resource
	All  bool // it is that of all callers together
	Most int64
	Wait time.Duration // until there is room, where it is known
}

func (e *Excess) Error() string {
	whose := "of one caller"
	if e.All {
		whose = "of all callers together"
	}
	what := fmt.Sprintf("%d bytes of captures", e.Most)
	switch e.Of {
	case Work:
		what = fmt.Sprintf("%.4g minutes of work", float64(e.Most)/60_000)
	case Cost:
		what = fmt.Sprintf("%.4g USD of work", float64(e.Most)/1e6)
	}
	return fmt.Sprintf("At most %s %s are allowed in 24 hours, and they are used up.", what, whose)
}

// Upload counts the bytes of a capture, once for each request, unless they do not fit into a limit: then it returns an *Excess.
func (d *Days) Upload(ctx context.Context, caller, requestID string, bytes int64) error {
	if d == nil {
		return nil
	}
	return d.charge(ctx, Charge{Caller: caller, Entry: requestID, Of: Upload, Total: bytes, Firm: true})
}

// Work counts what an attempt has taken so far, and returns an *Excess once its caller, or all together, have used more than they may.
func (d *Days) Work(ctx context.Context, caller, attempt string, took time.Duration, usd float64) error {
	if d == nil {
		return nil
	}
	return errors.Join(
		d.charge(ctx, Charge{Caller: caller, Entry: attempt, Of: Work, Total: took.Milliseconds()}),
		d.charge(ctx, Charge{Caller: caller, Entry: attempt, Of: Cost, Total: int64(usd * 1e6)}))
}

// charge asks the meter where there is a limit at all.
func (d *Days) charge(ctx context.Context, c Charge) error {
	c.Most, c.MostOfAll = d.Of(c.Caller).of(c.Of), d.All.of(c.Of)
	if c.Most == 0 && c.MostOfAll == 0 {
		return nil
	}
	beyond, err := d.Meter.Charge(ctx, c)
	switch {
	case err != nil:
		return err
	case beyond == BeyondCaller:
		return &Excess{Of: c.Of, Most: c.Most}
	case beyond == BeyondAll:
		return &Excess{Of: c.Of, Most: c.MostOfAll, All: true}
	}
	return nil
}

// Room says how many bytes of captures a caller may upload still, at most most. It returns an *Excess where it may begin nothing now, with the
// longest wait.
func (d *Days) Room(ctx context.Context, caller string, most int64) (bytes int64, _ error) {
	bytes = most
	if d == nil {
		return bytes, nil
	}
	var worst *Excess
	for _, of := range []Resource{Work, Upload, Cost} {
		for _, who := range []string{caller, All} {
			limit := d.All.of(of)
			if who == caller {
				limit = d.Of(caller).of(of)
			}
			if limit == 0 {
				continue
			}
			used, wait, err := d.Meter.Used(ctx, who, of, limit)
			if err != nil {
				return 0, err
			}
			if of == Upload {
				bytes = min(bytes, limit-used)
			}
			if used >= limit && (worst == nil || wait > worst.Wait) {
				worst = &Excess{Of: of, Most: limit, All: who == All, Wait: wait}
			}
		}
	}
	if worst != nil {
		return 0, worst
	}
	return bytes, nil
}
