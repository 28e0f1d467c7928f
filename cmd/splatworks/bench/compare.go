package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// Measure is a metric that a comparison shows. Missing metrics are NaN there.
type Measure struct {
	Name   string // in Record.Metrics
	Title  string
	Format string // of fmt
	Better int    // 1: more is better; -1: less is; 0: neither
}

// Measures of the table, in its order.
var Measures = []Measure{
	{"psnr_db", "PSNR, dB", "%.2f", 1},
	{"corrected_psnr_db", "corrected, dB", "%.2f", 1},
	{"ssim", "SSIM", "%.3f", 1},
	{"images_registered", "images placed", "%.0f", 1},
	{"gaussians", "Gaussians", "%.0f", 0},
	{"preprocess.cpu_s", "poses, CPU s", "%.0f", -1},
	{"train.iterations", "training steps", "%.0f", 0},
	{"cpu_s", "all, CPU s", "%.0f", -1},
}

// Pair is the same capture and variant in two studies; one of them may be missing.
type Pair struct {
	Name string
	A, B *Record
}

// Comparison of two studies.
type Comparison struct {
	NameA, NameB string
	Pairs        []Pair
	Differences  []Difference // parameters that one study has everywhere and the other has otherwise
}

// Difference is a parameter by which all of A differ from all of B.
type Difference struct{ Param, A, B string }

// Compare pairs the runs of two folders by capture and variant. Two folders of single runs are one pair, whatever they are of.
func Compare(dirA, dirB string) (c Comparison, err error) {
	a, err := Read(dirA)
	if err != nil {
		return c, err
	}
	b, err := Read(dirB)
	if err != nil {
		return c, err
	}
	c.NameA, c.NameB = title(dirA), title(dirB)
	if c.NameA == c.NameB {
		c.NameA, c.NameB = dirA, dirB
	}
	if len(a) == 1 && len(b) == 1 {
		name := a[0].Name()
		if b[0].Name() != name {
			name += " and " + b[0].Name()
		}
		c.Pairs = []Pair{{name, &a[0], &b[0]}}
	} else {
		c.Pairs = pairs(a, b)
	}
	c.Differences = differences(a, b)
	return c, nil
}

func title(dir string) string { return filepath.Base(filepath.Clean(dir)) }

func pairs(a, b []Record) []Pair {
	byName := map[string]*Pair{}
	at := func(name string) *Pair {
		if byName[name] == nil {
			byName[name] = &Pair{Name: name}
		}
		return byName[name]
	}
	for i := range a {
		at(a[i].Name()).A = &a[i]
	}
	for i := range b {
		at(b[i].Name()).B = &b[i]
	}
	var list []Pair
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, *byName[name])
	}
	return list
}

// differences are the parameters, and the program, that have one value in all runs of a study and another one in all of the other. Runs
// that failed before they knew their parameters do not count.
func differences(a, b []Record) (list []Difference) {
	inA, inB := common(a), common(b)
	for _, name := range slices.Sorted(maps.Keys(inA)) {
		if v, has := inB[name]; has && v != inA[name] {
			list = append(list, Difference{name, inA[name], v})
		}
	}
	return list
}

// common are the parameters that all runs have alike, and their program.
func common(records []Record) map[string]string {
	var params map[string]string
	for _, r := range records {
		if len(r.Params) == 0 {
			continue
		}
		own := maps.Clone(r.Params)
		own["program"] = r.Program
		if params == nil {
			params = own
		}
		maps.DeleteFunc(params, func(name, v string) bool { return own[name] != v })
	}
	return params
}

// Value of a measure, NaN where the run has none.
func (m Measure) Value(r *Record) float64 {
	if r == nil {
		return math.NaN()
	}
	if v, ok := r.Metrics[m.Name]; ok {
		return v
	}
	return math.NaN()
}

// Text of a value; empty when there is none.
func (m Measure) Text(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf(m.Format, v)
}

// Change from a to b with its sign; empty when one of them is missing.
func (m Measure) Change(a, b float64) string {
	if math.IsNaN(a) || math.IsNaN(b) {
		return ""
	}
	text := fmt.Sprintf(strings.Replace(m.Format, "%", "%+", 1), b-a)
	if strings.Trim(text, "+-0.") == "" {
		return "±0"
	}
	return text
}

// Mean is the mean change over the pairs that have both values, and its standard error; n counts them. The error is NaN for one pair.
func (c Comparison) Mean(m Measure) (mean, standardError float64, n int) {
	var changes []float64
	for _, p := range c.Pairs {
		if d := m.Value(p.B) - m.Value(p.A); !math.IsNaN(d) {
			changes = append(changes, d)
			mean += d
		}
	}
	n = len(changes)
	mean /= float64(n)
	squares := 0.0
	for _, d := range changes {
		squares += (d - mean) * (d - mean)
	}
	return mean, math.Sqrt(squares / float64(n-1) / float64(n)), n
}

// Print writes the comparison as a table in Markdown.
func (c Comparison) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "from %s to %s\n", c.NameA, c.NameB)
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "%s: %s, then %s\n", d.Param, d.A, d.B)
	}
	b.WriteString("\n| run |")
	for _, m := range Measures {
		fmt.Fprintf(&b, " %s |", m.Title)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(Measures)) + "\n")
	for _, p := range c.Pairs {
		fmt.Fprintf(&b, "| %s%s |", p.Name, p.trouble())
		for _, m := range Measures {
			from, to := m.Value(p.A), m.Value(p.B)
			fmt.Fprintf(&b, " %s |", strings.TrimSpace(fmt.Sprintf("%s %s %s", m.Text(from), m.Text(to), parenthesised(m.Change(from, to)))))
		}
		b.WriteString("\n")
	}
	b.WriteString("| mean change |")
	for _, m := range Measures {
		fmt.Fprintf(&b, " %s |", c.meanText(m))
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func parenthesised(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// meanText is the mean change with its standard error.
func (c Comparison) meanText(m Measure) string {
	mean, standardError, n := c.Mean(m)
	if n == 0 {
		return ""
	}
	text := m.Change(0, mean)
	if errorText := fmt.Sprintf(m.Format, standardError); !math.IsNaN(standardError) && (text != "±0" || strings.Trim(errorText, "0.") != "") {
		text += " ± " + errorText
	}
	return text
}

// trouble says which of the two failed or is missing.
func (p Pair) trouble() string {
	of := func(r *Record) string {
		switch {
		case r == nil:
			return "missing"
		case r.Failure != "":
			return r.Failure
		}
		return ""
	}
	a, b := of(p.A), of(p.B)
	switch {
	case a == "" && b == "":
		return ""
	case a == b:
		return " (both: " + a + ")"
	case b == "":
		return " (first: " + a + ")"
	case a == "":
		return " (second: " + b + ")"
	}
	return " (first: " + a + ", second: " + b + ")"
}

// Table writes the runs of one study as a table in Markdown.
func Table(w io.Writer, records []Record) error {
	var b strings.Builder
	b.WriteString("| run | images: in, used, placed | poses: planned, s, CPU s | train, s | PSNR | corrected | SSIM | on | Gaussians | warnings |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range records {
		m := r.Metrics
		if r.Failure != "" {
			fmt.Fprintf(&b, "| %s | FAILED %s | | | | | | | | |\n", r.Name(), r.Failure)
			continue
		}
		on := fmt.Sprintf("%.0f held out", m["held_out"])
		if m["held_out"] == 0 {
			on = "training images"
		}
		fmt.Fprintf(&b, "| %s | %.0f, %.0f, %.0f | %.0f, %.0f, %.0f | %.0f | %.1f dB | %.1f dB | %.3f | %s | %.0f | %s |\n", r.Name(),
			m["images_input"], m["images_used"], m["images_registered"], m["preprocess.planned_wall_s"], m["preprocess.wall_s"], m["preprocess.cpu_s"], m["train.wall_s"],
			m["psnr_db"], m["corrected_psnr_db"], m["ssim"], on, m["gaussians"], strings.Join(r.Warnings, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
