package bench

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// standIn has this test binary play 'splatworks run' and 'splatworks version'.
const standIn = "BENCH_TEST_STANDIN"

func TestMain(m *testing.M) {
	if os.Getenv(standIn) != "" {
		os.Exit(play(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// play does what the program does, in no time: quality grows with the seed, the capture "broken" fails, "odd" ends with wrong usage.
// Each call adds a line to the file that standIn names.
func play(args []string) int {
	if args[0] == "version" {
		fmt.Println("splatworks v0-test")
		return 0
	}
	log, err := os.OpenFile(os.Getenv(standIn), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(log, strings.Join(args, " "))
	value := func(name string) (v string) {
		for i, a := range args {
			if a == name {
				v = args[i+1]
			}
			if rest, ok := strings.CutPrefix(a, name+"="); ok {
				v = rest
			}
		}
		return v
	}
	capture, out, data := filepath.Base(args[1]), value("-o"), value("--data")
	switch capture {
	case "odd.mp4":
		fmt.Fprintln(os.Stderr, "splatworks: unknown flag")
		return 2
	case "broken.mp4":
		fmt.Println(`{"status": "FAILED", "failure": {"kind": "invalid_input", "code": "no_sparse_model", "message": "No poses."}}`)
		return 1
	}
	seed := 0
	fmt.Sscan(value("--seed"), &seed)
	report := fmt.Sprintf(`{"status":"COMPLETED","options":{"preset":"preview","seed":%d},"images":{"input":9,"used":8,"registered":7},"quality":{"psnr_db":%d.5,"ssim":0.8,"held_out":2},
"splat":{"gaussians":1000},"stages":[{"stage":"preprocess","wall_s":2,"cpu_s":3,"peak_rss_bytes":5},{"stage":"train","wall_s":4,"cpu_s":6,"metrics":{"iterations":700}}],"warnings":[{"code":"few_images"}]}`, seed, 20+seed)
	curve := fmt.Sprintf(`{"result":{"curve":[{"elapsed":1000000000,"iteration":100,"psnr_db":15,"ssim":0.5,"gaussians":400},{"elapsed":2000000000,"iteration":700,"psnr_db":%d.5,"ssim":0.8,"gaussians":1000}]}}`, 20+seed)
	for path, body := range map[string]string{filepath.Join(out, "report.json"): report, filepath.Join(out, "splat.ply"): "ply", filepath.Join(data, "artifacts", "r", "train", "1", "train_report.json"): curve} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			panic(err)
		}
	}
	f, err := os.Create(filepath.Join(out, "pairs.jpg"))
	if err != nil {
		panic(err)
	}
	picture := image.NewRGBA(image.Rect(0, 0, 320, 120))
	for i := range 320 * 120 {
		picture.Set(i%320, i/320, color.RGBA{uint8(i % 256), uint8(80 * seed), 90, 255})
	}
	if err := jpeg.Encode(f, picture, nil); err != nil {
		panic(err)
	}
	fmt.Println(report)
	return 0
}

// study makes a study whose program is the stand-in; calls reads what was asked of it.
func study(t *testing.T, dir string) (s *Study, calls func() []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	t.Setenv(standIn, log)
	clock := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { clock = clock.Add(time.Minute); return clock }
	return &Study{Dir: dir, Program: os.Args[0], Now: now, Note: func(string) {}}, func() []string {
		body, err := os.ReadFile(log)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(body)), "\n")
	}
}

// make runs captures with the arguments and axes given, and returns the records.
func (s *Study) make(t *testing.T, inputs, axes []string, args ...string) (records []Record) {
	t.Helper()
	var parsed []Axis
	for _, text := range axes {
		a, err := ParseAxis(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, a)
	}
	cells, err := Cells(inputs, parsed, args)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		r, _, err := s.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}
