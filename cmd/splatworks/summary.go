package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// readReport loads report.json of a result folder.
func readReport(dir string) (*artifacts.ReportDocument, error) {
	body, err := os.ReadFile(filepath.Join(dir, artifacts.Report.FileName()))
	if err != nil {
		return nil, err
	}
	var r artifacts.ReportDocument
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	return &r, nil
}

// printSummary prints how the reconstruction went.
func printSummary(w io.Writer, r *artifacts.ReportDocument, dir string) {
	fmt.Fprintln(w)
	if im := r.Images; im != nil {
		fmt.Fprintf(w, "  frames        %d in the capture, %d used, %d registered\n", im.Input, im.Used, im.Registered)
	}
	if m := r.SfM; m != nil {
		fmt.Fprintf(w, "  poses         %s, %d points, reprojection error %.2f px\n", m.Mapper, m.Points, m.ReprojectionErrorPx)
	}
	switch d := r.Depth; {
	case d == nil:
	case d.Skipped != "":
		fmt.Fprintf(w, "  depth         none: %s\n", printable(d.Skipped))
	default:
		fmt.Fprintf(w, "  depth         %s, %d of %d images aligned, off by %.1f %%\n", printable(d.Model), d.Aligned, d.Images, 100*d.Residual)
	}
	if used := expectations(r.Training); used != "" {
		fmt.Fprintf(w, "  training      %s\n", used)
	}
	if s := r.Splat; s != nil {
		fmt.Fprintf(w, "  splat         %d Gaussians, spherical harmonics of degree %d, %s\n", s.Gaussians, s.SHDegree, megabytes(s.Bytes))
	}
	if q := r.Quality; q != nil {
		on := fmt.Sprintf("%d held-out images", q.HeldOut)
		if q.Trial {
			on = fmt.Sprintf("%d images that a shorter training left out", q.HeldOut)
		}
		if q.HeldOut == 0 {
			on = "the training images, too few to hold any out"
		}
		fmt.Fprintf(w, "  quality       PSNR %.2f dB (%.2f with colours corrected), SSIM %.3f on %s at %dx%d\n", q.PSNRdB, q.CorrectedPSNRdB, q.SSIM, on, q.Width, q.Height)
	}
	fmt.Fprintf(w, "\n  %-12s %9s %9s %10s\n", "stage", "seconds", "CPU s", "peak")
	var wall, cpu float64
	for _, s := range r.Stages {
		fmt.Fprintf(w, "  %-12s %9.1f %9.1f %10s\n", s.Stage, s.WallS, s.CPUS, megabytes(s.PeakRSSBytes))
		wall, cpu = wall+s.WallS, cpu+s.CPUS
	}
	fmt.Fprintf(w, "  %-12s %9.1f %9.1f\n", "together", wall, cpu)
	fmt.Fprintf(w, "\n  %s\n  look at it: ", filepath.Join(dir, artifacts.Splat.FileName()))
	if page := filepath.Join(dir, artifacts.Viewer.FileName()); isFile(page) {
		fmt.Fprintf(w, "open %s in a browser, or ", page)
	}
	fmt.Fprintf(w, "splatworks view %s\n", dir)
}

// expectations says what came of the options about the capture; nothing where they were left out and found nothing.
func expectations(t *artifacts.TrainingReport) string {
	if t == nil {
		return ""
	}
	var parts []string
	if t.SkyGaussians > 0 {
		parts = append(parts, fmt.Sprintf("a sky of %d Gaussians", t.SkyGaussians))
	}
	if t.BackgroundMode != pipeline.BackgroundFixed {
		parts = append(parts, "background "+t.BackgroundMode)
	}
	if t.RefinedPoses > 0 {
		parts = append(parts, fmt.Sprintf("%d cameras turned by %.3f degree", t.RefinedPoses, t.RefinedDeg))
	}
	if t.ExposureStops >= 0.05 { // as it is rounded below
		parts = append(parts, fmt.Sprintf("exposures up to %.1f stops apart from their mean", t.ExposureStops))
	}
	if t.Device != "" && t.Device != artifacts.ProcessorTrained {
		parts = append(parts, fmt.Sprintf("on %s (%s)", printable(t.Device), printable(t.DeviceReason)))
	}
	return strings.Join(parts, ", ")
}

func megabytes(bytes int64) string {
	if bytes < 1e5 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}
