package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
)

// reconstruct runs the command line on an input and returns the result folder and its report.
func reconstruct(t *testing.T, args ...string) (dir string, r artifacts.ReportDocument) {
	t.Helper()
	dir = t.TempDir()
	code, _, stderr := splatworks(t, append([]string{"run", "-o", dir}, args...)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	body, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "splat.ply"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cloud, err := splat.ReadPLY(f)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != pipeline.Completed || r.Splat == nil || r.Quality == nil || r.SfM == nil || r.Images == nil {
		t.Fatalf("report is not whole: %s", body)
	}
	if cloud.Len() != r.Splat.Gaussians || cloud.Len() == 0 {
		t.Errorf("splat.ply holds %d Gaussians, report.json says %d", cloud.Len(), r.Splat.Gaussians)
	}
	independentCount(t, filepath.Join(dir, "splat.ply"), cloud.Len())
	if len(r.Stages) != len(pipeline.Stages()) {
		t.Errorf("%d stages in the report", len(r.Stages))
	}
	for _, s := range r.Stages {
		if !(s.WallS > 0) || !(s.PeakRSSBytes > 0) {
			t.Errorf("stage %s has no account: %+v", s.Stage, s)
		}
	}
	t.Logf("images %+v, sfm %s %d points %.2f px, %d Gaussians, %.2f dB, SSIM %.3f", *r.Images, r.SfM.Mapper, r.SfM.Points,
		r.SfM.ReprojectionErrorPx, r.Splat.Gaussians, r.Quality.PSNRdB, r.Quality.SSIM)
	for _, s := range r.Stages {
		t.Logf("%-10s %6.1f s wall %6.1f s CPU %6.0f MB", s.Stage, s.WallS, s.CPUS, float64(s.PeakRSSBytes)/1e6)
	}
	return dir, r
}

// independentCount has PlayCanvas's splat-transform convert the file and compares its count of Gaussians.
func independentCount(t *testing.T, ply string, want int) {
	t.Helper()
	converter, err := toolchain.Private("splat-transform/node_modules/.bin/splat-transform")
	if err != nil {
		t.Logf("the splat was read by no independent program: %v", err)
		return
	}
	converted := filepath.Join(t.TempDir(), "converted.compressed.ply")
	if out, err := exec.Command(converter, ply, converted).CombinedOutput(); err != nil {
		t.Errorf("splat-transform: %v\n%s", err, out)
		return
	}
	head := make([]byte, 4096)
	f, err := os.Open(converted)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := f.Read(head)
	if err != nil {
		t.Fatal(err)
	}
	if line := fmt.Sprintf("element vertex %d\n", want); !strings.Contains(string(head[:n]), line) {
		t.Errorf("splat-transform did not read %d Gaussians", want)
	}
}

// poses compares a result's cameras with the truth.
func poses(t *testing.T, dir string, truth *scene.Reconstruction) scene.Comparison {
	t.Helper()
	model, err := scene.Read(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := scene.Compare(model, truth)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSample(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	capture := t.TempDir()
	if code, _, stderr := splatworks(t, "sample", "-o", capture); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	dir, r := reconstruct(t, filepath.Join(capture, sample.VideoFile), "--preset", "preview")
	truth, err := scene.Read(filepath.Join(capture, sample.SparseFolder))
	if err != nil {
		t.Fatal(err)
	}
	if r.Images.Registered != r.Images.Used || r.Images.Used < 40 {
		t.Errorf("images %+v", *r.Images)
	}
	c := poses(t, dir, truth)
	const radius = sample.OrbitRadius
	t.Logf("rotation median %.3f degree, position RMSE %.3f %% of the orbit radius", c.RotationMedianDeg, 100*c.PositionRMSE/radius)
	if !(c.RotationMedianDeg < 0.2) {
		t.Errorf("median rotation error %.3f degree", c.RotationMedianDeg)
	}
	if !(c.PositionRMSE < 0.005*radius) {
		t.Errorf("position error %.3f %% of the orbit radius", 100*c.PositionRMSE/radius)
	}
	model, err := scene.Read(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	known := on(knownDistance(t, truth), float64(model.Cameras[0].Width)/float64(truth.Cameras[0].Width))
	metric, world, err := model.Settle(nil, nil, scene.Asked{Distance: known})
	if err != nil || world.Refused != "" {
		t.Fatalf("%v %s", err, world.Refused)
	}
	measured, err := scene.Compare(metric, truth)
	if err != nil {
		t.Fatal(err)
	}
	off := 100 * (measured.Similarity.Scale - 1)
	t.Logf("a metre by a known distance is off by %.2f %%, said to be %.2f %%", off, world.ScaleErrorPct)
	if !(math.Abs(off) < 3*world.ScaleErrorPct && world.ScaleErrorPct < 3) {
		t.Errorf("a metre is off by %.2f %%, said to be %.2f %%", off, world.ScaleErrorPct)
	}
	if !(r.Quality.PSNRdB > 24) { // measured above 27 for the preview preset
		t.Errorf("held-out PSNR %.2f dB", r.Quality.PSNRdB)
	}
}

func TestFox(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	video := capturetest.Find(t, "fox/fox.mp4")
	dir, r := reconstruct(t, video)
	if r.Images.Used != 50 || r.Images.Registered < 49 {
		t.Errorf("images %+v by %s", *r.Images, r.SfM.Mapper)
	}
	if !(r.Quality.PSNRdB >= 22) || max(r.Quality.Width, r.Quality.Height) < 630 {
		t.Errorf("held-out PSNR %.2f dB at %dx%d", r.Quality.PSNRdB, r.Quality.Width, r.Quality.Height)
	}
	if n := registeredBy(t, r, "global_mapper"); n < 49 {
		t.Errorf("global_mapper registered %d images", n)
	}
	truth, err := scene.ReadTransforms(capturetest.Find(t, "fox/transforms.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The reference has more poses than the video has frames; the list says which ones are in it, in order.
	list, err := os.ReadFile("../../engines/colmap/testdata/fox_frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	frame := map[string]string{}
	for i, name := range strings.Fields(string(list)) {
		frame[name] = frames.FrameName(i)
	}
	truth.Images = slices.DeleteFunc(truth.Images, func(im scene.Image) bool { return frame[stem(im.Name)] == "" })
	for i := range truth.Images {
		truth.Images[i].Name = frame[stem(truth.Images[i].Name)]
	}
	c := poses(t, dir, truth)
	if c.Images < 49 {
		t.Errorf("%d images compared", c.Images)
	}
	share := c.PositionRMSEPct
	t.Logf("position RMSE %.3f %% of the camera box's diagonal, rotation median %.3f degree", share, c.RotationMedianDeg)
	if !(share < 0.2) {
		t.Errorf("position RMSE %.3f %% of the camera box's diagonal", share)
	}
}

// registeredBy is how many images a mapper's own model holds, whether or not it was chosen.
func registeredBy(t *testing.T, r artifacts.ReportDocument, mapper string) int {
	t.Helper()
	body, err := json.Marshal(r.SfM.Candidates)
	if err != nil {
		t.Fatal(err)
	}
	var candidates []struct {
		Mapper  string
		Quality scene.Quality
	}
	if err := json.Unmarshal(body, &candidates); err != nil {
		t.Fatal(err)
	}
	for _, c := range candidates {
		if c.Mapper == mapper {
			return c.Quality.RegisteredImages
		}
	}
	return 0
}

// stem is a file's name without folder and extension.
func stem(name string) string { return strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)) }

func TestFolderOfPhotos(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	photos := capturetest.Find(t, "sceaux")
	_, r := reconstruct(t, photos, "--preset", "preview")
	if r.Images.Input != 11 || r.Images.Registered < 10 {
		t.Errorf("images %+v", *r.Images)
	}
}

// smallSample is a capture that goes through quickly.
func smallSample(t *testing.T, with ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	args := []string{"sample", "-o", dir, "--frames", "24", "--width", "480", "--height", "270"}
	for _, w := range with {
		args = append(args, "--with", w)
	}
	if code, _, stderr := splatworks(t, args...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	body, err := os.ReadFile(filepath.Join(dir, "sample.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestKilledWorker kills the trainer in the middle of its work, on a backend that delivers every event three times and
// out of order. The result comes anyway, and the API keeps its contract.
func TestKilledWorker(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server")
	b := start(t, t.TempDir(), "--chaos", "duplicate=3,reorder,delay=2s", "--lease", "6s", "--rate-limit", strconv.Itoa(callsAMinute))
	a := b.trigger("killed", `{"preset":"preview","train_budget_s":12}`)
	b.upload(a, smallSample(t))
	b.until(a, "training is well under way", func(d document) bool { return d.percent("train") > 50 })
	before := b.allManifests()
	if len(before) != 3 {
		t.Errorf("%d manifests before the trainer's: %v", len(before), before)
	}
	pids := b.workers("train")
	if len(pids) == 0 {
		t.Fatal("no train worker found")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	lost := b.until(a, "the loss is known", func(d document) bool { return d.Failure != nil || d.Status == "COMPLETED" }).Failure
	if lost == nil || lost.Code != "worker_lost" || !strings.Contains(lost.Message, "signal: killed") {
		t.Errorf("the worker was killed, and the failure is %+v", lost)
	}
	d := b.until(a, "it is done", func(d document) bool { return d.Status == "COMPLETED" })
	b.checkTrace(a)

	report := b.download(d, "report")
	var r artifacts.ReportDocument
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	trained := 0
	for _, s := range r.Stages {
		if s.Stage != pipeline.Train {
			continue
		}
		trained++
		if s.Attempt != 2 || s.Metrics["resumed_at"] == 0 {
			t.Errorf("train: attempt %d, resumed at %v", s.Attempt, s.Metrics["resumed_at"])
		}
	}
	if trained != 1 {
		t.Errorf("%d records of the train stage", trained)
	}
	// A manifest written again would have another generation, and raise another event.
	after := b.allManifests()
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("manifest %s was written again: %v", name, after)
		}
	}
	if len(after) != len(pipeline.Stages()) {
		t.Errorf("manifests %v for %d stages", after, len(pipeline.Stages()))
	}
	b.checkContract(a) // here, where a backend runs that has completed something
}

func (b *backend) download(d document, kind string) []byte {
	b.t.Helper()
	for _, r := range d.Results {
		if r.Kind != kind {
			continue
		}
		resp, err := http.Get(r.URL)
		if err != nil {
			b.t.Fatal(err)
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK || int64(body.Len()) != r.Size {
			b.t.Fatalf("download %s: %s, %d bytes of %d, %v", kind, resp.Status, body.Len(), r.Size, err)
		}
		return body.Bytes()
	}
	b.t.Fatalf("no result of kind %s in %+v", kind, d.Results)
	return nil
}

// storageURL is where the emulator's own API answers, to this machine only.
func (b *backend) storageURL() string {
	address, err := os.ReadFile(filepath.Join(b.dir, "cloud", "storage-address"))
	if err != nil {
		b.t.Fatal(err)
	}
	return "http://" + string(address)
}

// allManifests lists the manifests of every bucket as name#generation.
func (b *backend) allManifests() (names []string) {
	for _, bucket := range b.buckets() {
		names = append(names, b.manifests(b.storageURL(), bucket)...)
	}
	return names
}

// buckets of the local backend.
func (b *backend) buckets() []string {
	names := []string{"artifacts"}
	for _, s := range pipeline.Stages() {
		names = append(names, "inbox-"+string(s))
	}
	return names
}

// TestBadInput sends what cannot work and then what does, to one backend.
func TestBadInput(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server")
	b := start(t, t.TempDir())
	for _, bad := range []struct {
		name string
		body []byte
	}{
		{"text", []byte(strings.Repeat("this is no video\n", 1000))},
		{"empty", nil},
		{"still", smallSample(t, "still")},
		{"noise", smallSample(t, "noise")},
	} {
		t.Run(bad.name, func(t *testing.T) {
			a := b.trigger("bad-"+bad.name, `{"preset":"preview"}`)
			b.upload(a, bad.body)
			d := b.until(a, "it failed", func(d document) bool { return d.Status == "FAILED" })
			f := d.Failure
			if f == nil || f.Kind != "invalid_input" || f.Code == "" || f.Stage == "" || f.Message == "" || f.Advice == "" || f.Retryable {
				t.Fatalf("failure %+v", f)
			}
			t.Logf("%s in %s: %s %s", f.Code, f.Stage, f.Message, f.Advice)
		})
	}
	a := b.trigger("good", `{"preset":"preview","train_budget_s":5}`)
	b.upload(a, smallSample(t))
	b.until(a, "it is done", func(d document) bool { return d.Status == "COMPLETED" })
}

func TestUsage(t *testing.T) {
	need(t)
	for _, args := range [][]string{{"run"}, {"nonsense"}, {"run", "x.mp4", "-o", t.TempDir(), "--preset", "best"}} {
		if code, _, stderr := splatworks(t, args...); code != 2 || stderr == "" {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	text := filepath.Join(t.TempDir(), "text.mp4")
	if err := os.WriteFile(text, []byte(strings.Repeat("no video\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := splatworks(t, "run", text, "-o", t.TempDir(), "--json")
	if code != 1 || !strings.Contains(stderr, "FAILED in filter") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	var said struct {
		Status  string
		Failure struct{ Code string }
	}
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || said.Status != "FAILED" || said.Failure.Code == "" {
		t.Errorf("--json printed %q", stdout)
	}
}
