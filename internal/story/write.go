package story

import (
	"fmt"
	"io"
	"strings"

	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/pipeline"
)

// barColumns is how wide the whole time is drawn.
const barColumns = 32

// Write prints a story for a terminal: one line an attempt, with its place in the whole time drawn beside it.
func (s *Story) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", s.RequestID, s.Status)
	fmt.Fprintf(&b, "session %s, asked for at %s", tool.Printable(s.SessionID), s.CreatedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	if s.Caller != "" {
		fmt.Fprintf(&b, " by %s", tool.Printable(s.Caller))
	}
	if s.TraceID != "" {
		fmt.Fprintf(&b, ", trace %s", s.TraceID)
	}
	b.WriteString("\n")
	if s.Now != "" {
		fmt.Fprintf(&b, "%s\n", tool.Printable(strings.TrimSpace(s.Now+" "+s.Advice)))
	}
	fmt.Fprintf(&b, "\n%-12s %-28s %9s %9s %9s %9s  %s\n", "stage", "attempt", "wait s", "launch s", "work s", "USD", "- wait  > launch  = work")
	for _, line := range s.Stages {
		s.writeStage(&b, line)
	}
	sum := s.Sum
	fmt.Fprintf(&b, "%-12s %-28s %9.1f %9.1f %9.1f %9s  together %.1f s", "sum", "", sum.WaitS, sum.LaunchS, sum.WorkS, usd(sum.CostUSD), sum.TotalS)
	if sum.OtherS >= 0.05 {
		fmt.Fprintf(&b, ", %.1f s of it elsewhere", sum.OtherS)
	}
	b.WriteString("\n")
	s.writeFailures(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Story) writeStage(b *strings.Builder, line Stage) {
	name := string(line.Stage)
	for _, a := range line.Attempts {
		how := a.Outcome
		if a.Code != "" {
			how += ": " + a.Code
		}
		fmt.Fprintf(b, "%-12s %-28s %9.1f %9.1f %9.1f %9s  %s\n", name, cut(fmt.Sprintf("%d %s", a.Attempt, tool.Printable(how)), 28), a.WaitS, a.LaunchS, a.WorkS, usd(a.CostUSD), s.bar(a))
		name = ""
	}
	for _, p := range line.Programs {
		runs := ""
		if p.Runs > 1 {
			runs = fmt.Sprintf(" x %d", p.Runs)
		}
		fmt.Fprintf(b, "%-12s   %-46s %9.1f\n", "", cut(tool.Printable(p.Name)+runs, 46), p.WallS)
	}
	for _, step := range line.Steps {
		fmt.Fprintf(b, "%-12s   %-46s %9.1f\n", "", cut("step "+tool.Printable(step.Name), 46), step.WallS)
	}
}

// bar draws an attempt and the wait before it where they are in the whole time.
func (s *Story) bar(a Attempt) string {
	if !(s.Sum.TotalS > 0) {
		return ""
	}
	at := func(t float64) int { return min(int(t/s.Sum.TotalS*barColumns+0.5), barColumns) }
	waited := a.FromS + a.WaitS
	claimed := waited + a.LaunchS
	return strings.TrimRight(strings.Repeat(" ", at(a.FromS))+strings.Repeat("-", at(waited)-at(a.FromS))+strings.Repeat(">", at(claimed)-at(waited))+
		strings.Repeat("=", max(at(claimed+a.WorkS)-at(claimed), min(1, int(a.WorkS*1000)))), " ")
}

// writeFailures prints why attempts failed, and the last lines of what their programs printed for the newest.
func (s *Story) writeFailures(b *strings.Builder) {
	var newest *Attempt
	var of pipeline.Stage
	for i := range s.Stages {
		for k := range s.Stages[i].Attempts {
			a := &s.Stages[i].Attempts[k]
			if a.Message == "" {
				continue
			}
			fmt.Fprintf(b, "\n%s, attempt %d failed with %s (%s): %s\n", s.Stages[i].Stage, a.Attempt, tool.Printable(a.Code), tool.Printable(string(a.Kind)), tool.Printable(a.Message))
			newest, of = a, s.Stages[i].Stage
		}
	}
	if newest == nil {
		return
	}
	if newest.Cause != "" {
		fmt.Fprintf(b, "cause: %s\n", printable(newest.Cause))
	}
	if len(newest.Log) > 0 {
		fmt.Fprintf(b, "the programs of %s printed last:\n", of)
		for _, l := range newest.Log {
			fmt.Fprintf(b, "    %s\n", tool.Printable(l))
		}
	}
}

func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = tool.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

func usd(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.4f", v)
}
