package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/pipeline"
)

var (
	capturesFile    = flag.String("captures", "", "reconstruct every capture and keep the results in this file, one JSON object a line; those that it holds are not made again")
	capturesPresets = flag.String("captures-presets", "preview", "with these presets")
	capturesSeeds   = flag.String("captures-seeds", "1", "and these seeds")
	capturesBase    = flag.String("captures-base", "", "and with this program beside the one of this commit")
	capturesOnly    = flag.String("captures-only", "", "only those whose names contain this")
)

// capturesToRun are the real captures, below the folder of capturetest.
var capturesToRun = []string{"fox/fox.mp4", "sceaux", "banana", "brighton", "flowerpot", "videos/cycle_h265.mp4", "videos/static_trees.mp4"}

// captureRun is one reconstruction in the file.
type captureRun struct {
	Capture   string   `json:"capture"`
	Preset    string   `json:"preset"`
	Seed      string   `json:"seed"`
	Base      bool     `json:"base,omitempty"` // by the other program
	Failure   string   `json:"failure,omitempty"`
	Input     int      `json:"input"`
	Used      int      `json:"used"`
	Placed    int      `json:"placed"`
	PosesS    float64  `json:"poses_s"`
	PosesCPU  float64  `json:"poses_cpu_s"`
	PlannedS  float64  `json:"poses_planned_s"`
	TrainS    float64  `json:"train_s"`
	PSNR      float64  `json:"psnr_db"`
	Corrected float64  `json:"corrected_psnr_db"`
	SSIM      float64  `json:"ssim"`
	HeldOut   int      `json:"held_out"`
	Count     int      `json:"gaussians"`
	Warnings  []string `json:"warnings"`
}

func (r captureRun) key() string { return fmt.Sprint(r.Capture, r.Preset, r.Seed, r.Base) }

// TestCaptures makes the table of real captures for docs/performance.md: `make captures`. Results are appended to a file as they come,
// so that the same command continues after an interruption; results and films stay beside it.
func TestCaptures(t *testing.T) {
	if *capturesFile == "" {
		t.Skip("takes an hour: run it with -captures FILE")
	}
	need(t, "ffmpeg", "colmap")
	ours, err := program()
	if err != nil {
		t.Fatal(err)
	}
	runs := readRuns(t)
	done := map[string]bool{}
	for _, r := range runs {
		done[r.key()] = true
	}
	for _, name := range capturesToRun {
		for _, preset := range strings.Split(*capturesPresets, ",") {
			for _, seed := range strings.Split(*capturesSeeds, ",") {
				for _, path := range []string{ours, *capturesBase} {
					r := captureRun{Capture: name, Preset: preset, Seed: seed, Base: path != ours}
					if path == "" || done[r.key()] || !strings.Contains(name, *capturesOnly) {
						continue
					}
					t.Run(strings.Join([]string{name, preset, seed}, " "), func(t *testing.T) {
						r.reconstruct(t, path, capturetest.Find(t, name))
						runs = append(runs, r)
					})
				}
			}
		}
	}
	t.Log("\n" + captureTable(runs))
}

// reconstruct runs a program on a capture and appends what came of it to the file.
func (r *captureRun) reconstruct(t *testing.T, program, input string) {
	which := "ours"
	if r.Base {
		which = "base"
	}
	dir := filepath.Join(filepath.Dir(*capturesFile), strings.NewReplacer("/", "-", ".", "-").Replace(r.Capture)+"-"+r.Preset+"-"+r.Seed+"-"+which)
	out, err := exec.CommandContext(t.Context(), program, "run", input, "-o", dir, "--preset", r.Preset, "--seed", r.Seed, "--json").Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if t.Context().Err() != nil {
		t.Skip("interrupted")
	}
	var report struct {
		artifacts.ReportDocument
		Failure *pipeline.Failure `json:"failure"`
	}
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		t.Fatalf("%v: %v", jsonErr, err)
	}
	r.fill(report.ReportDocument, report.Failure)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(*capturesFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (r *captureRun) fill(d artifacts.ReportDocument, failure *pipeline.Failure) {
	if failure != nil {
		r.Failure = failure.Code
	}
	if d.Images != nil {
		r.Input, r.Used, r.Placed = d.Images.Input, d.Images.Used, d.Images.Registered
	}
	if d.Quality != nil {
		r.PSNR, r.Corrected, r.SSIM, r.HeldOut = d.Quality.PSNRdB, d.Quality.CorrectedPSNRdB, d.Quality.SSIM, d.Quality.HeldOut
	}
	if d.Splat != nil {
		r.Count = d.Splat.Gaussians
	}
	for _, s := range d.Stages {
		switch s.Stage {
		case pipeline.Preprocess:
			r.PosesS, r.PosesCPU = s.WallS, s.CPUS
		case pipeline.Train:
			r.TrainS = s.WallS
		}
	}
	if d.Plan != nil {
		for _, s := range d.Plan.Stages {
			if s.Stage == pipeline.Preprocess {
				r.PlannedS = s.PlannedWallS
			}
		}
	}
	for _, w := range d.Warnings {
		r.Warnings = append(r.Warnings, w.Code)
	}
}

func readRuns(t *testing.T) (runs []captureRun) {
	t.Helper()
	f, err := os.Open(*capturesFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r captureRun
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", *capturesFile, err)
		}
		runs = append(runs, r)
	}
	return runs
}

// captureTable is the table in Markdown.
func captureTable(runs []captureRun) string {
	var b strings.Builder
	b.WriteString("| capture | preset | seed | images: in, used, placed | poses: planned, s, CPU s | train, s | PSNR | corrected | SSIM | on | Gaussians | warnings |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range runs {
		name := r.Capture
		if r.Base {
			name += " (base)"
		}
		if r.Failure != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | FAILED %s | | | | | | | | |\n", name, r.Preset, r.Seed, r.Failure)
			continue
		}
		on := fmt.Sprintf("%d held out", r.HeldOut)
		if r.HeldOut == 0 {
			on = "training images"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d, %d, %d | %.0f, %.0f, %.0f | %.0f | %.1f dB | %.1f dB | %.3f | %s | %d | %s |\n", name, r.Preset, r.Seed, r.Input, r.Used, r.Placed,
			r.PlannedS, r.PosesS, r.PosesCPU, r.TrainS, r.PSNR, r.Corrected, r.SSIM, on, r.Count, strings.Join(r.Warnings, ", "))
	}
	return b.String()
}

// TestCaptureTable: a row says what came out, also of a failure and of the other program.
func TestCaptureTable(t *testing.T) {
	failed, good := captureRun{Capture: "a", Preset: "preview", Seed: "1"}, captureRun{Capture: "b", Preset: "preview", Seed: "1", Base: true}
	failed.fill(artifacts.ReportDocument{}, &pipeline.Failure{Code: "no_sparse_model"})
	good.fill(artifacts.ReportDocument{Images: &artifacts.ImagesReport{Input: 20, Used: 18, Registered: 17}, Quality: &artifacts.QualityReport{PSNRdB: 21.44, CorrectedPSNRdB: 21.96, SSIM: 0.7, HeldOut: 3},
		Splat: &artifacts.SplatReport{Gaussians: 5}, Stages: []artifacts.StageRecord{{Stage: pipeline.Preprocess, WallS: 30, CPUS: 55}},
		Warnings: []pipeline.Warning{{Code: "few_images"}}}, nil)
	table := captureTable([]captureRun{failed, good})
	for _, row := range []string{"| a | preview | 1 | FAILED no_sparse_model |", "| b (base) | preview | 1 | 20, 18, 17 | 0, 30, 55 | 0 | 21.4 dB | 22.0 dB | 0.700 | 3 held out | 5 | few_images |"} {
		if !strings.Contains(table, row) {
			t.Errorf("no %s in\n%s", row, table)
		}
	}
}
