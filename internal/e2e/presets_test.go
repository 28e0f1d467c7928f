package e2e

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/pipeline"
)

// The table of docs/performance.md is made by hand, on a machine that does nothing else, in about an hour:
//
//	go test ./internal/e2e -run TestPresetTable -presets -v -timeout 3h
var presetTable = flag.Bool("presets", false, "make the table of presets")

func TestPresetTable(t *testing.T) {
	if !*presetTable {
		t.Skip("takes an hour of an idle machine: -presets")
	}
	synthetic := t.TempDir()
	if code, _, stderr := splatworks(t, "sample", "-o", synthetic); code != 0 {
		t.Fatal(stderr)
	}
	fmt.Println("| capture | preset | PSNR | SSIM | on | Gaussians | train CPU | train peak memory |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, capture := range []struct{ name, input string }{
		{"fox", capturetest.Find(t, "fox/fox.mp4")},
		{"sample", filepath.Join(synthetic, sample.VideoFile)},
		{"sceaux", capturetest.Find(t, "sceaux")},
	} {
		for _, preset := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
			_, r := reconstruct(t, capture.input, "--preset", string(preset))
			on := fmt.Sprintf("%d held out", r.Quality.HeldOut)
			if r.Quality.HeldOut == 0 {
				on = "training images"
			}
			for _, s := range r.Stages {
				if s.Stage == pipeline.Train {
					fmt.Printf("| %s | %s | %.2f dB | %.3f | %s, %dx%d | %d | %.0f s | %.0f MiB |\n", capture.name, preset, r.Quality.PSNRdB, r.Quality.SSIM,
						on, r.Quality.Width, r.Quality.Height, r.Splat.Gaussians, s.CPUS, float64(s.PeakRSSBytes)/(1<<20))
				}
			}
		}
	}
}
