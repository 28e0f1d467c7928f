package bench

import (
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"value": func(m Measure, r *Record) string { return m.Text(m.Value(r)) },
	"change": func(m Measure, p Pair) string {
		return m.Change(m.Value(p.A), m.Value(p.B))
	},
	"verdict":  func(m Measure, p Pair) string { return m.verdict(m.Value(p.B) - m.Value(p.A)) },
	"picture":  picture,
	"curves":   curves,
	"trouble":  func(p Pair) string { return strings.TrimSpace(p.trouble()) },
	"captions": func() map[string]string { return captions },
}).Parse(pageText))

// captions of the pictures that the page shows.
var captions = map[string]string{
	"pairs.jpg":     "photographs, and beside them what the splat shows there",
	"thumbnail.jpg": "the film's first picture",
}

// Page writes the comparison as one HTML file that loads nothing.
func (c Comparison) Page(w io.Writer) error {
	type mean struct {
		Measure
		Text, Verdict string
	}
	var means []mean
	for _, m := range Measures {
		v, _, _ := c.Mean(m)
		means = append(means, mean{m, c.meanText(m), m.verdict(v)})
	}
	return page.Execute(w, struct {
		Comparison
		Means []mean
		Shown []string
	}{c, means, []string{"pairs.jpg", "thumbnail.jpg"}})
}

// verdict is a class of the page: whether a change is for the better. What the table rounds to nothing is neither.
func (m Measure) verdict(change float64) string {
	switch text := m.Change(0, change); {
	case text == "" || text == "±0" || m.Better == 0:
		return ""
	case (change > 0) == (m.Better > 0):
		return "better"
	}
	return "worse"
}

// picture is a picture of a run as a data URL; empty when it has none.
func picture(r *Record, name string) (template.URL, error) {
	if r == nil || !slices.Contains(r.Pictures, name) {
		return "", nil
	}
	body, err := os.ReadFile(filepath.Join(r.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return template.URL("data:" + http.DetectContentType(body) + ";base64," + base64.StdEncoding.EncodeToString(body)), nil
}

// Size of a drawing of curves, in its own units.
const (
	curveWidth, curveHeight = 360.0, 150.0
	curveLeft, curveBottom  = 36.0, 20.0
)

// drawing is a metric of both runs of a pair over the training steps.
type drawing struct {
	Width, Height, Left, Bottom float64
	A, B                        string // points of polylines
	Low, High, Last             string // labels of the axes
}

// curves draws the held-out PSNR; nil when neither run has it.
func curves(p Pair) *drawing {
	const metric = "psnr_db"
	points := func(r *Record) []Point {
		if r == nil {
			return nil
		}
		return r.Curves[metric]
	}
	a, b := points(p.A), points(p.B)
	all := slices.Concat(a, b)
	if len(all) == 0 {
		return nil
	}
	low, high, last := math.Inf(1), math.Inf(-1), 1
	for _, q := range all {
		low, high, last = min(low, q.Value), max(high, q.Value), max(last, q.Step)
	}
	if !(high-low >= 0.1) {
		low, high = low-0.1, high+0.1
	}
	line := func(points []Point) string {
		var b strings.Builder
		for _, q := range points {
			fmt.Fprintf(&b, "%.1f,%.1f ", curveLeft+(curveWidth-curveLeft-4)*float64(q.Step)/float64(last), 4+(curveHeight-curveBottom-8)*(high-q.Value)/(high-low))
		}
		return strings.TrimSpace(b.String())
	}
	return &drawing{curveWidth, curveHeight, curveLeft, curveHeight - curveBottom, line(a), line(b),
		fmt.Sprintf("%.1f", low), fmt.Sprintf("%.1f", high), fmt.Sprint(last)}
}
