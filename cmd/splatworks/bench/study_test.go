package bench

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/web/chromium"
)

func TestAStudyKeepsWhatCameOfEachRun(t *testing.T) {
	s, calls := study(t, t.TempDir())
	records := s.make(t, []string{"caps/fox.mp4", "broken.mp4"}, []string{"seed=1,2", "preset=preview"}, "--sky=on")
	if len(records) != 4 || len(calls()) != 4 || !strings.HasPrefix(calls()[1], "run caps/fox.mp4 -o ") || !strings.HasSuffix(calls()[1], " --json --sky=on --seed=2 --preset=preview") {
		t.Fatalf("%d records of %q", len(records), calls())
	}
	read, err := Read(s.Dir)
	if err != nil || len(read) != 4 {
		t.Fatal(len(read), err)
	}
	i := slices.IndexFunc(read, func(r Record) bool { return r.Name() == "fox seed=2 preset=preview" })
	r := read[i]
	for name, want := range map[string]float64{"psnr_db": 22.5, "ssim": 0.8, "images_registered": 7, "gaussians": 1000, "preprocess.cpu_s": 3, "train.iterations": 700, "cpu_s": 9, "wall_s": 6} {
		if got, ok := r.Metrics[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if r.Params["seed"] != "2" || r.Params["preset"] != "preview" || r.Program != "v0-test" || !slices.Equal(r.Warnings, []string{"few_images"}) || !slices.Equal(r.Pictures, []string{"pairs.jpg"}) {
		t.Errorf("%+v", r)
	}
	if curve := r.Curves["psnr_db"]; !slices.Equal(curve, []Point{{100, 1, 15}, {700, 2, 22.5}}) {
		t.Errorf("curve %v", curve)
	}
	if left := names(t, r.Dir); !slices.Equal(left, []string{"pairs.jpg", "report.json", "run.json"}) {
		t.Errorf("left %q", left)
	}
	if b := read[0]; b.Failure != "no_sparse_model" || b.Message == "" || len(b.Curves) != 0 {
		t.Errorf("%+v", b)
	}
	// The same once more makes nothing; other options under the same name are refused.
	again := s.make(t, []string{"caps/fox.mp4", "broken.mp4"}, []string{"seed=1,2", "preset=preview"}, "--sky=on")
	if len(calls()) != 4 || !maps.Equal(again[0].Metrics, records[0].Metrics) {
		t.Errorf("%d calls", len(calls()))
	}
	cells, err := Cells([]string{"fox.mp4"}, []Axis{{"seed", []string{"1"}}, {"preset", []string{"preview"}}}, []string{"--sky=off"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Run(t.Context(), cells[0]); err == nil || !strings.Contains(err.Error(), "other options") {
		t.Errorf("other options: %v", err)
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWrongUsageIsNoResult(t *testing.T) {
	s, _ := study(t, t.TempDir())
	if _, _, err := s.Run(t.Context(), Cell{Input: "odd.mp4", Capture: "odd"}); err == nil {
		t.Error("a run with wrong options counts as made")
	}
	if _, err := Read(s.Dir); err == nil {
		t.Error("it left a record")
	}
	for _, text := range []string{"seed", "=1", "seed=1,,2", "seed="} {
		if _, err := ParseAxis(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if _, err := Cells([]string{"a/fox.mp4", "b/fox.zip"}, nil, nil); err == nil {
		t.Error("two captures of one name were taken")
	}
}

func TestCompareTwoStudies(t *testing.T) {
	one, _ := study(t, filepath.Join(t.TempDir(), "one"))
	two, _ := study(t, filepath.Join(t.TempDir(), "two"))
	one.make(t, []string{"fox.mp4", "bee.mp4", "broken.mp4", "only.mp4"}, nil, "--seed=1")
	two.make(t, []string{"fox.mp4", "bee.mp4", "broken.mp4"}, nil, "--seed=3")
	c, err := Compare(one.Dir, two.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Differences, []Difference{{"seed", "1", "3"}}) || len(c.Pairs) != 4 {
		t.Errorf("differences %v, %d pairs", c.Differences, len(c.Pairs))
	}
	mean, standardError, n := c.Mean(Measures[0])
	if n != 2 || !(mean == 2) || !(standardError == 0) {
		t.Errorf("%v ± %v of %d", mean, standardError, n)
	}
	var table bytes.Buffer
	if err := c.Print(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"from one to two", "seed: 1, then 3", "| fox | 21.50 23.50 (+2.00) |", "| broken (both: no_sparse_model) |  |", "| only (second: missing) | 21.50 |", "| mean change | +2.00 ± 0.00 |"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	// Two single runs are compared whatever they are of.
	c, err = Compare(filepath.Join(one.Dir, "fox"), filepath.Join(one.Dir, "bee"))
	if err != nil || len(c.Pairs) != 1 || c.Pairs[0].Name != "fox and bee" {
		t.Errorf("%+v, %v", c.Pairs, err)
	}
}

// The mean of 0.1, 0.2 and 0.6 is 0.3, their standard deviation sqrt(0.07), of the mean sqrt(0.07/3).
func TestMeanAndItsStandardError(t *testing.T) {
	var c Comparison
	for _, d := range []float64{0.1, 0.2, 0.6} {
		c.Pairs = append(c.Pairs, Pair{A: &Record{Metrics: map[string]float64{"ssim": 0}}, B: &Record{Metrics: map[string]float64{"ssim": d}}})
	}
	c.Pairs = append(c.Pairs, Pair{A: &Record{}})
	mean, standardError, n := c.Mean(Measure{Name: "ssim"})
	if n != 3 || !(math.Abs(mean-0.3) < 1e-12) || !(math.Abs(standardError-math.Sqrt(0.07/3)) < 1e-12) {
		t.Errorf("%v ± %v of %d", mean, standardError, n)
	}
	if _, _, n := (Comparison{}).Mean(Measures[0]); n != 0 {
		t.Errorf("%d of none", n)
	}
}

// TestPageLoadsNothing looks at the page in a browser, narrow and wide: nothing is wider than the screen but what scrolls, pictures and
// curves are there, and a name is not markup.
func TestPageLoadsNothing(t *testing.T) {
	one, _ := study(t, filepath.Join(t.TempDir(), "one <b>"))
	two, _ := study(t, filepath.Join(t.TempDir(), "two"))
	one.make(t, []string{"fox.mp4", "broken.mp4"}, nil, "--seed=1")
	two.make(t, []string{"fox.mp4", "broken.mp4"}, nil, "--seed=3")
	c, err := Compare(one.Dir, two.Dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	var body bytes.Buffer
	if err := c.Page(&body); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(body.String(), "://") || strings.Contains(body.String(), "one <b>") {
		t.Error("the page names something outside, or takes a name for markup")
	}
	tab := chromium.Open(t, "file://"+path, 375, 800, false)
	for _, width := range []int{375, 1440} {
		tab.Resize(width, 900, width == 375)
		var wide, pictures, lines int
		tab.Eval("document.documentElement.scrollWidth - innerWidth", &wide)
		tab.Eval("[...document.images].filter(i => i.naturalWidth === 320).length", &pictures)
		tab.Eval("document.querySelectorAll('polyline').length", &lines)
		if wide > 0 || pictures != 2 || lines != 2 {
			t.Errorf("at %d: %d too wide, %d pictures, %d curves", width, wide, pictures, lines)
		}
	}
	if faults := tab.Faults(); len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}
