package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/pipeline"
)

// Study is where runs are made and kept.
type Study struct {
	Dir     string
	Program string // splatworks, of this or of another version
	Keep    bool   // the whole results, not the pictures alone
	Now     func() time.Time
	Note    func(line string) // called with what a run prints for people
}

// Pictures and report that a record keeps of a run's results.
var kept = []artifacts.Kind{artifacts.Report, artifacts.Thumbnail, artifacts.Pairs, artifacts.Cameras}

// Run makes the run of a cell, or returns the one that is there. A run that failed is a record, too; made says whether it was made now.
// An interrupted one continues with the same call.
func (s *Study) Run(ctx context.Context, c Cell) (r Record, made bool, err error) {
	dir := filepath.Join(s.Dir, c.Folder())
	if r, err := readRecord(dir); err == nil {
		if !slices.Equal(r.Args, c.Args) {
			return r, false, fmt.Errorf("%s holds a run with other options (%s): use another folder", dir, strings.Join(r.Args, " "))
		}
		return r, false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, false, err
	}
	r = Record{Capture: c.Capture, Variant: c.Variant, Args: c.Args, Dir: dir, StartedAt: s.Now().UTC(), Params: map[string]string{}, Metrics: map[string]float64{}, Curves: map[string][]Point{}}
	if r.Program, err = s.version(ctx); err != nil {
		return r, false, err
	}
	if err := s.reconstruct(ctx, &r, c.Input); err != nil {
		return r, false, err
	}
	r.FinishedAt = s.Now().UTC()
	return r, true, r.write(dir)
}

func (s *Study) version(ctx context.Context) (version string, err error) {
	_, err = tool.Run(ctx, tool.Command{Path: s.Program, Args: []string{"version"}, OnStdout: func(line string) { version = line }})
	return strings.TrimPrefix(version, "splatworks "), err
}

// results and work are folders in that of a run while it is made.
const (
	results = "results"
	work    = ".work"
)

// reconstruct runs the program and fills the record with what came of it.
func (s *Study) reconstruct(ctx context.Context, r *Record, input string) error {
	out, data := filepath.Join(r.Dir, results), filepath.Join(r.Dir, work)
	var stdout strings.Builder
	_, err := tool.Run(ctx, tool.Command{Path: s.Program, Args: append([]string{"run", input, "-o", out, "--data", data, "--json"}, r.Args...),
		OnStdout: func(line string) { stdout.WriteString(line + "\n") }, OnStderr: s.Note})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var answer struct {
		artifacts.ReportDocument
		Failure *pipeline.Failure `json:"failure"`
	}
	if jsonErr := json.Unmarshal([]byte(stdout.String()), &answer); jsonErr != nil {
		return fmt.Errorf("run %s: %w", r.Name(), errors.Join(err, jsonErr)) // wrong options, for example: no result of the capture
	}
	if err != nil && answer.Failure == nil {
		return fmt.Errorf("run %s: %w", r.Name(), err)
	}
	r.fill(answer.ReportDocument, answer.Failure)
	if err := r.readCurves(data); err != nil {
		return err
	}
	if err := r.keep(out); err != nil {
		return err
	}
	if !s.Keep {
		err = os.RemoveAll(out)
	}
	return errors.Join(err, os.RemoveAll(data))
}

// fill takes parameters and metrics from a report.
func (r *Record) fill(d artifacts.ReportDocument, failure *pipeline.Failure) {
	if failure != nil {
		r.Failure, r.Message = failure.Code, failure.Message
	}
	if d.Options != nil {
		for _, row := range pipeline.OptionTable() {
			r.Params[row.Name] = text(row.Field(d.Options))
		}
	}
	if d.Images != nil {
		r.metrics("images_", map[string]float64{"input": float64(d.Images.Input), "used": float64(d.Images.Used), "registered": float64(d.Images.Registered)})
	}
	if q := d.Quality; q != nil {
		r.metrics("", map[string]float64{"psnr_db": q.PSNRdB, "ssim": q.SSIM, "held_out": float64(q.HeldOut)})
	}
	if d.Quality != nil && d.Quality.CorrectedPSNRdB != 0 { // left out where it was not measured
		r.Metrics["corrected_psnr_db"] = d.Quality.CorrectedPSNRdB
	}
	if d.Splat != nil {
		r.metrics("", map[string]float64{"gaussians": float64(d.Splat.Gaussians), "splat_bytes": float64(d.Splat.Bytes)})
	}
	for _, s := range d.Stages {
		name := string(s.Stage) + "."
		r.metrics(name, s.Metrics)
		r.metrics(name, map[string]float64{"wall_s": s.WallS, "cpu_s": s.CPUS, "peak_rss_bytes": float64(s.PeakRSSBytes)})
		r.Metrics["wall_s"] += s.WallS
		r.Metrics["cpu_s"] += s.CPUS
	}
	if d.Plan != nil {
		for _, s := range d.Plan.Stages {
			r.Metrics[string(s.Stage)+".planned_wall_s"] = s.PlannedWallS
		}
	}
	for _, w := range d.Warnings {
		r.Warnings = append(r.Warnings, w.Code)
	}
}

func (r *Record) metrics(prefix string, values map[string]float64) {
	for name, v := range values {
		r.Metrics[prefix+name] = v
	}
}

// text is an option's value as a parameter.
func text(field any) string {
	switch v := field.(type) {
	case *[]string:
		return strings.Join(*v, ",")
	case *string:
		return *v
	case *float64:
		return fmt.Sprint(*v)
	case *int:
		return fmt.Sprint(*v)
	case *uint64:
		return fmt.Sprint(*v)
	case *bool:
		return fmt.Sprint(*v)
	}
	panic(fmt.Sprintf("an option of type %T", field))
}

// readCurves takes the held-out quality on the way from the training's report, which is in the folder of intermediate results. A run that
// failed before has none.
func (r *Record) readCurves(data string) error {
	return filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() || e.Name() != artifacts.TrainReport.FileName() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var report struct {
			Result struct {
				Curve []trainer.Evaluated `json:"curve"`
			} `json:"result"`
		}
		if err := json.Unmarshal(body, &report); err != nil {
			return fmt.Errorf("read the curves of %s: %w", r.Name(), err)
		}
		r.Curves = map[string][]Point{}
		for _, e := range report.Result.Curve {
			for name, v := range map[string]float64{"psnr_db": e.PSNR, "ssim": e.SSIM, "gaussians": float64(e.Gaussians)} {
				r.Curves[name] = append(r.Curves[name], Point{e.Iteration, e.Elapsed.Seconds(), v})
			}
		}
		return nil
	})
}

// keep copies report and pictures from the results; what is missing there is so in the record.
func (r *Record) keep(out string) error {
	for _, kind := range kept {
		body, err := os.ReadFile(filepath.Join(out, kind.FileName()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.Dir, kind.FileName()), body, 0o644); err != nil {
			return err
		}
		if kind != artifacts.Report {
			r.Pictures = append(r.Pictures, kind.FileName())
		}
	}
	return nil
}
