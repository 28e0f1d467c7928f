package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/splatworks/splatworks/pipeline"
)

// bars shows one bar with an ETA per step of a long command: on a terminal a moving one, elsewhere a line now and then.
type bars struct {
	w        io.Writer
	terminal bool
	name     string
	started  time.Time
	bar      *progressbar.ProgressBar
	lastLine time.Time
	percent  float64
	leftS    float64 // of the step, where its worker reports it; 0: not reported
	local    bool    // the stages run on this machine
	model    string  // depth model that was asked for, where local
}

func newBars(w io.Writer) *bars {
	f, ok := w.(*os.File)
	b := &bars{w: w}
	if ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// lineEvery keeps logs readable where there is no terminal.
const lineEvery = 5 * time.Second

// show reports progress of a named step. A new name ends the bar before it.
func (b *bars) show(name string, percent float64, message string) {
	name, message = printable(name), printable(message)
	now := time.Now()
	if name != b.name {
		b.end()
		b.name, b.started, b.percent, b.lastLine = name, now, 0, time.Time{}
		if b.terminal {
			b.bar = progressbar.NewOptions64(1000,
				progressbar.OptionSetWriter(b.w), progressbar.OptionSetWidth(28), progressbar.OptionSetPredictTime(true),
				progressbar.OptionShowElapsedTimeOnFinish(), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish(),
				progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}))
		}
	}
	b.percent = max(b.percent, percent)
	if b.bar != nil {
		b.draw(message)
		return
	}
	if now.Sub(b.lastLine) >= lineEvery {
		b.lastLine = now
		eta := ""
		if b.leftS > 0 {
			eta = ", about " + (time.Duration(b.leftS * float64(time.Second))).Round(time.Second).String() + " left"
		} else if spent := now.Sub(b.started); b.percent >= 2 && spent > 2*time.Second {
			left := time.Duration(float64(spent) * (100 - b.percent) / b.percent)
			eta = ", about " + left.Round(time.Second).String() + " left"
		}
		fmt.Fprintf(b.w, "  %-10s %3.0f %% %s%s\n", b.name, b.percent, message, eta)
	}
}

// A line holds name and message, and then what the bar itself shows at least: percent, brackets, time spent and left. A line that
// is longer than the terminal is wide would begin another one each time it is drawn.
const (
	nameWidth       = 10
	barWidth        = 34
	widestMessage   = 36
	smallestMessage = 8 // below it the line has no bar
)

// draw shows the bar, or what a narrow terminal has room for.
func (b *bars) draw(message string) {
	columns := b.columns()
	if room := min(columns-barWidth-nameWidth-1, widestMessage); room >= smallestMessage {
		b.bar.Describe(fmt.Sprintf("%-*s %-*.*s", nameWidth, b.name, room, room, message))
		_ = b.bar.Set64(int64(b.percent * 10))
		return
	}
	const clearToEnd = "\x1b[K"
	fmt.Fprint(b.w, "\r", narrowLine(columns, b.name, b.percent, message), clearToEnd)
}

// narrowLine is at least a column shorter than the terminal is wide.
func narrowLine(columns int, name string, percent float64, message string) string {
	line := []rune(fmt.Sprintf("%3.0f%% %s %s", percent, name, message))
	return string(line[:max(min(columns-1, len(line)), 0)])
}

// columns of the terminal; 80 when it does not say.
func (b *bars) columns() int {
	if f, ok := b.w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// end closes the bar that is showing and says how long its step took.
func (b *bars) end() {
	if b.name == "" {
		return
	}
	if b.bar != nil {
		_ = b.bar.Finish()
		_ = b.bar.Clear()
		b.bar = nil
	}
	fmt.Fprintf(b.w, "  %-10s done in %s\n", b.name, time.Since(b.started).Round(100*time.Millisecond))
	b.name = ""
}

// fail closes the bar without saying that its step is done.
func (b *bars) fail() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	b.name, b.bar = "", nil
}

// warn prints a warning above the bar.
func (b *bars) warn(w pipeline.Warning) {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	advice := w.Advice
	if how := howToInstall(w.Code, b.model); b.local && how != "" {
		advice += " " + how
	}
	fmt.Fprintf(b.w, "  note: %s %s\n", printable(w.Message), printable(advice))
}

// upload shows how much of the input is copied.
func (b *bars) upload(sent, total int64) {
	b.show("upload", 100*float64(sent)/float64(max(total, 1)), megabytes(sent))
}

// progress shows what a stage reports, and its warning if it has one.
func (b *bars) progress(p pipeline.Progress) {
	if p.Warning != nil {
		b.warn(*p.Warning)
	}
	if p.Step == "" {
		return
	}
	b.leftS = p.Metrics["left_s"]
	b.show(string(p.Stage), p.Percent, stepOf(p.Step, p.Message))
}

// stepOf is what a stage does at the moment, in one line.
func stepOf(step, message string) string {
	if message == "" {
		return step
	}
	return step + ", " + message
}

// retry says why a stage is attempted again.
func (b *bars) retry(f *pipeline.Failure, in time.Duration) {
	b.warn(pipeline.Warning{Message: f.Message, Advice: fmt.Sprintf("The stage is retried in %s.", in.Round(time.Second))})
}
