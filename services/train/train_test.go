package train_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/clean"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/train"
)

const (
	frames        = 18 // enough that some are held out
	width, height = 96, 64
)

// scene is what preprocess would leave of the synthetic sample. With masks, their left half is to be ignored.
func scene(t *testing.T, masks bool) string { return sceneOf(t, frames, masks) }

func sceneOf(t *testing.T, frames int, masks bool) string {
	t.Helper()
	c, err := sample.New(sample.Options{Seed: 4, Frames: frames, Width: width, Height: height})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folders := []string{"images"}
	if masks {
		folders = append(folders, "masks")
	}
	for _, folder := range folders {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range frames {
		rgb := c.Frame(i)
		img, mask := image.NewNRGBA(image.Rect(0, 0, width, height)), image.NewGray(image.Rect(0, 0, width, height))
		for at := range width * height {
			img.SetNRGBA(at%width, at/width, color.NRGBA{rgb[3*at], rgb[3*at+1], rgb[3*at+2], 255})
			if at%width >= width/2 {
				mask.Pix[at] = 255
			}
		}
		write(t, filepath.Join(dir, "images", sample.Name(i)), img)
		if masks {
			write(t, filepath.Join(dir, "masks", sample.Name(i)+".png"), mask)
		}
	}
	if err := c.Reconstruction().Write(filepath.Join(dir, "sparse")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path string, img image.Image) {
	t.Helper()
	var body bytes.Buffer
	if err := png.Encode(&body, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// trained lets the stage work with a clock that moves by ten milliseconds whenever it is looked at.
func trained(t *testing.T, o pipeline.Options, scene string) (*stagetest.World, *artifacts.ReportDocument) {
	t.Helper()
	var looks atomic.Int64
	o.TrainBudgetS, o.LongEdgePx = 1, width
	w := stagetest.New(t, o, train.Stage(train.Config{Threads: 2, Now: func() time.Time { return time.UnixMilli(10 * looks.Add(1)) }}))
	w.Give(artifacts.Scene, scene)
	w.Work()
	return w, w.Report()
}

func TestTrains(t *testing.T) {
	w, r := trained(t, pipeline.Options{}, scene(t, false))
	cloud, err := splat.ReadPLY(bytes.NewReader(w.Body(artifacts.Trained)))
	if err != nil || cloud.Len() == 0 {
		t.Fatalf("%v, %v", cloud, err)
	}
	if q := r.Quality; q == nil || q.HeldOut != 3 || !(q.PSNRdB > 10) || q.Width != width || q.Height != height || q.Iterations == 0 {
		t.Errorf("quality %+v", r.Quality)
	}
	if r.Training.DeviceReason = ""; *r.Training != (artifacts.TrainingReport{BackgroundMode: pipeline.BackgroundFixed, Device: artifacts.ProcessorTrained}) {
		t.Errorf("without options: %+v", *r.Training)
	}
	if said := besidesQuality(r.Warnings); len(said) != 0 {
		t.Errorf("warnings %+v", said)
	}
}

// What a client expects of its capture reaches the trainer, and the report says what came of it.
func TestWishesReachTheTrainer(t *testing.T) {
	o := pipeline.Options{Seed: 7, MaxGaussians: 1234, Sky: pipeline.SkyOn, BackgroundMode: pipeline.BackgroundEmpty, RefinePoses: true, CompensateExposure: true}
	w, r := trained(t, o, scene(t, true))
	var report struct {
		Config trainer.Config
		Result trainer.Result
	}
	if err := json.Unmarshal(w.Body(artifacts.TrainReport), &report); err != nil {
		t.Fatal(err)
	}
	c := report.Config
	if c.Seed != 7 || c.MaxGaussians != 1234 || c.Sky != trainer.SkyOn || c.BackgroundMode != trainer.BackgroundEmpty || !c.RefinePoses || !c.Exposure || c.Budget != time.Second || c.MaxSide != width {
		t.Errorf("configuration %+v", c)
	}
	if report.Result.Recolored != frames-3 {
		t.Errorf("%d images before a changing background", report.Result.Recolored)
	}
	got := r.Training
	if got.BackgroundMode != pipeline.BackgroundEmpty || got.RefinedPoses != frames-3 || !(got.RefinedDeg > 0 && got.RefinedDeg < 5) || !(got.ExposureStops > 0 && got.ExposureStops < 1) {
		t.Errorf("report %+v", *got)
	}
	if said := besidesQuality(r.Warnings); len(said) != 0 {
		t.Errorf("warnings %+v", said)
	}
}

// Where images that see the same were taken differently bright, exposures are found without asking.
func TestExposureIsFoundUnasked(t *testing.T) {
	dir := scene(t, false)
	for i := 0; i < frames; i += 2 {
		path := filepath.Join(dir, "images", sample.Name(i))
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		darker := image.NewNRGBA(img.Bounds())
		for at := range width * height {
			r, g, b, _ := img.At(at%width, at/width).RGBA()
			darker.SetNRGBA(at%width, at/width, color.NRGBA{uint8(r >> 8 * 2 / 3), uint8(g >> 8 * 2 / 3), uint8(b >> 8 * 2 / 3), 255})
		}
		write(t, path, darker)
	}
	_, r := trained(t, pipeline.Options{}, dir)
	if stops := r.Training.ExposureStops; !(stops > 0.15 && stops < 0.6) { // 0.58 between them
		t.Errorf("exposures of %.2f stops", stops)
	}
}

// What was cleaned away is in the report by reason, and the splat before it is kept.
func TestCleaningIsReported(t *testing.T) {
	for _, level := range []string{pipeline.CleanupOff, pipeline.CleanupStrong} {
		w, r := trained(t, pipeline.Options{Cleanup: level}, scene(t, false))
		if level == pipeline.CleanupOff {
			if r.Cleanup != nil {
				t.Errorf("cleaned without being asked: %v", r.Cleanup)
			}
			continue
		}
		body, err := json.Marshal(r.Cleanup)
		if err != nil {
			t.Fatal(err)
		}
		var report clean.Report
		if err := json.Unmarshal(body, &report); err != nil {
			t.Fatal(err)
		}
		cloud, err := splat.ReadPLY(bytes.NewReader(w.Body(artifacts.Trained)))
		if err != nil || report.After != cloud.Len() || report.After >= report.Before || report.HeldOut != 3 || !(report.Cleaned == r.Quality.PSNRdB) {
			t.Errorf("%+v of %d Gaussians at %.3f dB, %v", report, cloud.Len(), r.Quality.PSNRdB, err)
		}
		whole, err := splat.ReadPLY(bytes.NewReader(w.Body(artifacts.Uncleaned)))
		if err != nil || whole.Len() != report.Before {
			t.Errorf("%d Gaussians are kept of %d, %v", whole.Len(), report.Before, err)
		}
		removed := 0
		for _, s := range report.Steps {
			removed += s.Removed
		}
		if removed != report.Before-report.After {
			t.Errorf("%d Gaussians went for a reason, %d went", removed, report.Before-report.After)
		}
	}
}

func TestEmptyBackgroundNeedsMasks(t *testing.T) {
	_, r := trained(t, pipeline.Options{BackgroundMode: pipeline.BackgroundEmpty}, scene(t, false))
	if said := besidesQuality(r.Warnings); len(said) != 1 || said[0].Code != "no_masks" || said[0].Advice == "" {
		t.Errorf("warnings %+v", r.Warnings)
	}
}

// besidesQuality leaves out what so short a training cannot help.
func besidesQuality(warnings []pipeline.Warning) (others []pipeline.Warning) {
	for _, w := range warnings {
		if w.Code != "low_quality" && w.Code != "few_points" {
			others = append(others, w)
		}
	}
	return others
}

// A result that is bad is called so, and one that was measured on what it was trained on too; each with advice.
func TestTheReportSaysWhatTheQualityIsWorth(t *testing.T) {
	_, r := trained(t, pipeline.Options{}, scene(t, false))
	codes := map[string]bool{}
	for _, w := range r.Warnings {
		codes[w.Code] = true
		if w.Advice == "" || w.Message == "" {
			t.Errorf("a warning without advice: %+v", w)
		}
	}
	if codes["not_held_out"] != (r.Quality.HeldOut == 0) {
		t.Errorf("%d held out, warnings %+v", r.Quality.HeldOut, r.Warnings)
	}
	if bad := !(r.Quality.PSNRdB >= 20 && r.Quality.SSIM >= 0.6); codes["low_quality"] != bad {
		t.Errorf("PSNR %.1f dB, SSIM %.2f, warnings %+v", r.Quality.PSNRdB, r.Quality.SSIM, r.Warnings)
	}
}

// Small captures are measured on images that a trial left out, and trained on all; the two share the budget. Of even fewer nothing
// can be left out.
func TestSmallCapturesAreMeasuredByATrial(t *testing.T) {
	for images, heldOut := range map[int]int{8: 0, 9: 2, 13: 3, 15: 3} {
		var looks atomic.Int64
		o := pipeline.Options{TrainBudgetS: 1, LongEdgePx: width}
		w := stagetest.New(t, o, train.Stage(train.Config{Threads: 2, Now: func() time.Time { return time.UnixMilli(10 * looks.Add(1)) }}))
		w.Known.Images = &artifacts.ImagesReport{Registered: images}
		w.Give(artifacts.Scene, sceneOf(t, images, false))
		w.Work()
		r := w.Report()
		if q := r.Quality; q.HeldOut != heldOut || q.Trial != (heldOut > 0) || !(q.PSNRdB > 10) {
			t.Errorf("%d images: %+v", images, *r.Quality)
		}
		said := slices.ContainsFunc(r.Warnings, func(w pipeline.Warning) bool { return w.Code == "not_held_out" })
		if said != (heldOut == 0) {
			t.Errorf("%d images: warnings %+v", images, r.Warnings)
		}
		var report struct{ Config trainer.Config }
		if err := json.Unmarshal(w.Body(artifacts.TrainReport), &report); err != nil {
			t.Fatal(err)
		}
		want := time.Second
		if heldOut > 0 {
			want = 3 * time.Second / 4
		}
		if report.Config.Budget != want || report.Config.HoldOut != 0 {
			t.Errorf("%d images: trained for %v, held out every %d", images, report.Config.Budget, report.Config.HoldOut)
		}
		if len(w.Body(artifacts.Comparison)) == 0 {
			t.Errorf("%d images: no comparison", images)
		}
		if want := min(6, max(heldOut, 1)); len(r.Quality.Pairs) < want || len(w.Body(artifacts.Pairs)) == 0 {
			t.Errorf("%d images: %d pairs in %d bytes", images, len(r.Quality.Pairs), len(w.Body(artifacts.Pairs)))
		}
	}
}

// A budget in which nothing can be trained is the client's mistake, not a bug.
func TestATooShortBudgetIsRefused(t *testing.T) {
	w := stagetest.New(t, pipeline.Options{TrainBudgetS: 1e-300, LongEdgePx: width}, train.Stage(train.Config{Threads: 2, Now: time.Now}))
	w.Give(artifacts.Scene, scene(t, false))
	w.Work()
	state, err := w.Queue.Lookup(t.Context(), w.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	if f := state.Failure; f == nil || f.Kind != pipeline.InvalidInput || f.Code != "train_budget_too_short" || f.Advice == "" {
		t.Errorf("failure %+v", f)
	}
}

// What is to be said of the scene is said once.
func TestAWarningComesOnce(t *testing.T) {
	_, r := trained(t, pipeline.Options{}, sceneOf(t, 6, false))
	seen := map[string]int{}
	for _, w := range r.Warnings {
		seen[w.Message]++
	}
	if len(seen) == 0 {
		t.Error("six images are no reason for a warning")
	}
	for message, times := range seen {
		if times > 1 {
			t.Errorf("said %d times: %s", times, message)
		}
	}
}

// A saved state that cannot be used costs the time it was worth, and nothing is said to have been resumed.
func TestAnUnusableCheckpoint(t *testing.T) {
	for name, stored := range map[string]string{"of another program": "of another program", "damaged in the storage": "0f another program"} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int64
			w := stagetest.New(t, pipeline.Options{TrainBudgetS: 1, LongEdgePx: width},
				train.Stage(train.Config{Threads: 2, Now: func() time.Time { return time.UnixMilli(10 * looks.Add(1)) }}))
			w.Give(artifacts.Scene, scene(t, false))
			o, err := w.Store.Put(t.Context(), w.Buckets.Artifacts, artifacts.Path(w.Request.ID, pipeline.Train, 1, artifacts.Checkpoint),
				strings.NewReader("of another program"), artifacts.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.Store.Spoil(o, []byte(stored), "")
			w.Work()
			if r := w.Report(); len(r.Warnings) == 0 || r.Warnings[0].Code != "checkpoint_unusable" {
				t.Errorf("warnings %+v", r.Warnings)
			}
			history := w.Manifest().History
			if at, resumed := history[len(history)-1].Metrics["resumed_at"]; resumed {
				t.Errorf("resumed at %v", at)
			}
		})
	}
}

// TestPresetsTrainAsLongAsTheyPromise: what the vocabulary says of a preset, for estimates, is what the trainer does.
func TestPresetsTrainAsLongAsTheyPromise(t *testing.T) {
	for _, preset := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
		c, err := trainer.Defaults(trainer.Preset(preset))
		if err != nil {
			t.Fatal(err)
		}
		if s := (pipeline.Options{Preset: preset}).TrainS(); s != c.Budget.Seconds() {
			t.Errorf("%s: %v s, and the trainer takes %v", preset, s, c.Budget)
		}
	}
}
