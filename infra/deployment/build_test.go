package deployment

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func apply(t *testing.T, command string, rules ...rule) outcome {
	return run(t, rules, []string{"DEPLOYMENT=b1"}, "terraform/build/apply.sh", command, "prod")
}

// established is what the state of an environment holds after an apply that went through.
var established = rule{Program: "terraform", Match: "state list", Stdout: "terraform_data.established[0]\n"}

const (
	noMetric = "Error: Error creating AlertPolicy: googleapi: Error 404: Cannot find metric(s) that match type = \"logging.googleapis.com/user/splatworks-reaper-ticks\"\n"
	noGrant  = "Error: Permission denied on secret: projects/1/secrets/splatworks-redis-url/versions/latest for Revision service account\n"
	tainted  = "# google_storage_bucket.artifacts:\nresource \"google_storage_bucket\" \"artifacts\" {\n}\n\n" +
		"# module.stage[\"filter\"].module.receiver.google_cloud_run_v2_service.this: (tainted)\nresource \"google_cloud_run_v2_service\" \"this\" {\n}\n\n" +
		"# google_redis_instance.queue[0]: (tainted)\nresource \"google_redis_instance\" \"queue\" {\n}\n"
)

// TestFirstApplyComesThrough: the first attempt meets metrics that are not known yet, the second a grant that is not, which
// leaves a service whose revision was rejected; the third goes through, and only then is anything protected.
func TestFirstApplyComesThrough(t *testing.T) {
	o := apply(t, "apply",
		rule{Program: "terraform", Match: "apply", Times: 1, Exit: 1, Stderr: noMetric},
		rule{Program: "terraform", Match: "apply", Times: 1, Exit: 1, Stderr: noGrant},
		rule{Program: "terraform", Match: "show", Times: 2}, // before the first attempt and after it
		rule{Program: "terraform", Match: "show", Times: 1, Stdout: tainted})
	o.ended(t, 0, "protection comes on")
	applied := o.called("terraform apply")
	if len(applied) != 4 {
		t.Fatalf("%d applies, want three attempts and one that protects: %q", len(applied), applied)
	}
	for i, call := range applied {
		if want := i < 3; strings.Contains(call, "bring_up=true") != want || strings.Contains(call, "bring_up=false") == want {
			t.Errorf("apply %d: protection must be off until one went through: %s", i+1, call)
		}
	}
	labels := map[string]bool{}
	for _, call := range applied[:3] {
		labels[regexp.MustCompile(`deployment=(\S+)`).FindString(call)] = true
	}
	if len(labels) != 3 {
		t.Errorf("each attempt must give its revisions a label of its own, or a rejected one is not made again: %v", labels)
	}
	if got := o.called("untaint"); !slices.Equal(got, []string{`terraform untaint module.stage["filter"].module.receiver.google_cloud_run_v2_service.this`}) {
		t.Errorf("untainted %q, want the service and nothing that must be made again", got)
	}
	o.inOrder(t, "apply", "apply", "untaint", "apply", "bring_up=false", "output trigger_url")
}

func TestApplyGivesUpAfterThreeAttempts(t *testing.T) {
	o := apply(t, "apply", rule{Program: "terraform", Match: "apply", Exit: 1, Stderr: noGrant})
	o.ended(t, 1, "gave up after 3 attempts", "make deploy again")
	if n := len(o.called("terraform apply")); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

// TestLaterApplyIsProtected, and continues from a build that was interrupted after a revision was rejected.
func TestLaterApplyIsProtected(t *testing.T) {
	o := apply(t, "apply", established, rule{Program: "terraform", Match: "show", Times: 1, Stdout: tainted})
	o.ended(t, 0)
	if applied := o.called("terraform apply"); len(applied) != 1 || !strings.Contains(applied[0], "bring_up=false") {
		t.Errorf("applies: %q", applied)
	}
	o.inOrder(t, "untaint", "apply")
}

func TestPlanAppliesNothing(t *testing.T) {
	o := apply(t, "plan", established)
	o.ended(t, 0)
	if len(o.called("terraform plan")) != 1 || len(o.called("terraform apply"))+len(o.called("untaint")) > 0 {
		t.Errorf("calls: %q", o.Calls)
	}
}

// TestStoreEndsNoBuild: what could not be made beside the images is made by the apply.
func TestStoreEndsNoBuild(t *testing.T) {
	o := apply(t, "store", rule{Program: "terraform", Match: "apply", Exit: 1, Stderr: noGrant})
	o.ended(t, 0, "apply makes it")
	for _, resource := range []string{"google_redis_instance.queue", "google_memorystore_instance.queue", "google_logging_metric.ticks"} {
		if len(o.called("-target="+resource)) != 1 {
			t.Errorf("%s is not made beside the images", resource)
		}
	}
}

// TestStoreMakesEveryMetric: each log metric is made before the alerts on it, beside the images and by a wait.
func TestStoreMakesEveryMetric(t *testing.T) {
	script, monitoring := text(t, "terraform", "build", "apply.sh"), text(t, "terraform", "monitoring.tf")
	metrics := regexp.MustCompile(`resource "google_logging_metric" "(\w+)"`).FindAllStringSubmatch(monitoring, -1)
	if len(metrics) < 5 {
		t.Fatalf("%d log metrics", len(metrics))
	}
	_, wait, _ := strings.Cut(monitoring, `resource "time_sleep" "metrics_known"`)
	wait, _, _ = strings.Cut(wait, "\n}\n")
	for _, m := range metrics {
		if !strings.Contains(script, "-target=google_logging_metric."+m[1]+" ") || !strings.Contains(wait, "google_logging_metric."+m[1]+".id") {
			t.Errorf("log metric %s is not made before the alerts", m[1])
		}
	}
}

func TestDestroy(t *testing.T) {
	o := apply(t, "destroy", established, rule{Program: "terraform", Match: "destroy", Times: 1, Exit: 1, Stderr: "subnetwork is in use\n"})
	o.ended(t, 0)
	o.inOrder(t, "protect=false", "terraform destroy", "terraform destroy")
	apply(t, "destroy", rule{Program: "terraform", Match: "destroy", Exit: 1}).ended(t, 1, "make teardown again")
}

// TestValkeyToken: the instance was just made; its user and the user's token are made, and read when they are ready.
func TestValkeyToken(t *testing.T) {
	o := run(t, []rule{
		{Program: "curl", Match: "GET https://memorystore.googleapis.com/v1/projects/p/locations/r/instances/n-queue/tokenAuthUsers/default -H", Exit: 22},
		{Program: "curl", Match: ":addAuthToken", Times: 1, Exit: 22, Stderr: "409 the user is being made\n"},
		{Program: "curl", Match: "/authTokens", Times: 2, Stdout: `{"authTokens": []}`},
		{Program: "curl", Match: "/authTokens", Stdout: "{\n \"authTokens\": [{\"name\": \"x\",\n \"token\": \"s3cret\"}]}"},
	}, nil, "terraform/build/token.sh", "p", "r", "n")
	o.ended(t, 0)
	if o.Output != "s3cret" {
		t.Errorf("printed %q", o.Output)
	}
	o.inOrder(t, ":addTokenAuthUser", ":addAuthToken", ":addAuthToken", "/authTokens")
	if n := len(o.called(":addAuthToken")); n != 2 {
		t.Errorf("asked %d times for a token, want twice: the first was refused", n)
	}
	run(t, []rule{{Program: "curl", Match: "", Exit: 22}}, nil, "terraform/build/token.sh", "p", "r", "n").ended(t, 1, "Make one")
}

// images runs build.sh for bases and kinds, with runtime as the settings ask for, and returns the calls and the notes.
func images(t *testing.T, runtime string, environment []string, rules []rule, kinds ...string) (outcome, string) {
	t.Helper()
	out := t.TempDir()
	for name, text := range map[string]string{"runtime": runtime, "static": "r/static@sha256:1", "static.json": `  "containerimage.digest": "sha256:11"`, "depth.json": `  "containerimage.digest": "sha256:22"`, "media.json": `  "containerimage.digest": "sha256:33"`, "preprocess.json": `  "containerimage.digest": "sha256:44"`, "train-cuda.json": `  "containerimage.digest": "sha256:55"`} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules = append(rules, rule{Program: "docker", Match: "imagetools inspect", Stdout: "sha256:abc\n"}, rule{Program: "docker", Match: "buildx inspect splatworks", Times: 1, Exit: 1})
	environment = append([]string{"REPOSITORY=h/p/splatworks", "OUT=" + out, "TAG=b1",
		"RUNTIME_URL=cpu.tgz", "RUNTIME_SHA256=1", "RUNTIME_GPU_URL=gpu.tgz", "RUNTIME_GPU_SHA256=2", "CUDA_IMAGE=nvidia/cuda:12-cudnn", "VALKEY_IMAGE=valkey/valkey:8"}, environment...)
	var all outcome
	for _, kind := range append([]string{"bases"}, kinds...) {
		o := run(t, rules, environment, "infra/docker/build.sh", kind)
		all.Calls, all.Output, all.Exit = append(all.Calls, o.Calls...), all.Output+o.Output, max(all.Exit, o.Exit)
	}
	return all, out
}

var model = []string{"MODEL_URL=m.onnx", "MODEL_SHA256=3"}

func TestImagesComeThroughAMirror(t *testing.T) {
	o, _ := images(t, "cpu", nil, nil)
	o.ended(t, 0)
	if len(o.called("buildx create", "image=mirror.gcr.io/moby/buildkit", "--buildkitd-config infra/docker/buildkitd.toml")) != 1 {
		t.Errorf("the builder must come from a mirror and use one: %q", o.called("buildx create"))
	}
	if !strings.Contains(text(t, "infra", "docker", "buildkitd.toml"), `mirrors = ["mirror.gcr.io"]`) {
		t.Error("the builder's configuration names no mirror")
	}
}

func TestARefusedPullIsTriedAgain(t *testing.T) {
	o, out := images(t, "cpu", nil, []rule{
		{Program: "docker", Match: "imagetools inspect golang", Times: 2, Exit: 1, Stderr: "429 Too Many Requests\n"},
		{Program: "docker", Match: "buildx build", Times: 1, Exit: 1, Stderr: "429 Too Many Requests\n"},
	}, "static")
	o.ended(t, 0, "once more")
	if note, err := os.ReadFile(filepath.Join(out, "static")); err != nil || string(note) != "h/p/splatworks/static@sha256:11\n" {
		t.Errorf("noted %q, %v", note, err)
	}
	refused, _ := images(t, "cpu", nil, []rule{{Program: "docker", Match: "buildx build", Exit: 1}}, "static")
	refused.ended(t, 1)
}

func TestPackagesOfADayOnRequest(t *testing.T) {
	for _, snapshot := range []string{"yes", "no"} {
		o, _ := images(t, "cpu", []string{"SNAPSHOT=" + snapshot}, nil, "media", "preprocess", "depth")
		o.ended(t, 0)
		if n := len(o.called("buildx build", "--build-arg SNAPSHOT="+snapshot+" ")); n != 3 {
			t.Errorf("SNAPSHOT=%s reaches %d of three images", snapshot, n)
		}
	}
	for _, kind := range []string{"media", "preprocess", "depth"} {
		if file := text(t, "infra", "docker", kind+".Dockerfile"); !strings.Contains(file, "\nARG SNAPSHOT=") || !strings.Contains(file, " SNAPSHOT=${SNAPSHOT} sh /install/install.sh") {
			t.Errorf("%s.Dockerfile does not pass SNAPSHOT on", kind)
		}
	}
	if !strings.Contains(text(t, "infra", "docker", "install.sh"), "Acquire::Retries=") {
		t.Error("a package that could not be fetched is not retried")
	}
}

// TestDepthsImageIsWhatTheSettingsAskFor: CUDA's runtime and libraries when depth_gpu is set, and the note that lets terraform
// refuse a GPU without them.
func TestDepthsImageIsWhatTheSettingsAskFor(t *testing.T) {
	for name, test := range map[string]struct {
		runtime       string
		environment   []string
		words         []string
		noted, absent string
	}{
		"CPU":           {"cpu", model, []string{"--target full", "RUNTIME_URL=cpu.tgz"}, "cpu", "CUDA_IMAGE"},
		"GPU":           {"cuda", model, []string{"--target gpu", "RUNTIME_URL=gpu.tgz", "CUDA_IMAGE=nvidia/cuda@sha256:abc"}, "cuda", "cpu.tgz"},
		"without model": {"cuda", nil, []string{"--target plain"}, "none", "RUNTIME_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			o, out := images(t, test.runtime, test.environment, nil, "depth")
			o.ended(t, 0)
			if built := o.called(append([]string{"buildx build", "depth.Dockerfile"}, test.words...)...); len(built) != 1 || strings.Contains(built[0], test.absent) {
				t.Errorf("built %q", o.called("buildx build"))
			}
			if note, err := os.ReadFile(filepath.Join(out, "depth.runtime")); err != nil || strings.TrimSpace(string(note)) != test.noted {
				t.Errorf("noted %q, %v; want %s", note, err, test.noted)
			}
		})
	}
}

func TestEarlierImagesBuildNothing(t *testing.T) {
	for _, environment := range [][]string{{"IMAGES=b0"}, {"DESTROY=true"}} {
		o, _ := images(t, "cuda", environment, nil, "static", "depth", "valkey")
		o.ended(t, 0)
		if len(o.Calls) > 0 {
			t.Errorf("%s: %q", environment, o.Calls)
		}
	}
}

func TestValkeyIsCopied(t *testing.T) {
	o, out := images(t, "cpu", nil, nil, "valkey")
	o.ended(t, 0)
	if note, err := os.ReadFile(filepath.Join(out, "valkey")); err != nil || string(note) != "h/p/splatworks/valkey@sha256:abc\n" || len(o.called("imagetools create", "valkey/valkey@sha256:abc")) != 1 {
		t.Errorf("noted %q, %v: %q", note, err, o.Calls)
	}
}

// TestScanIsAdvisory: scanners that cannot be had end nothing, unless somebody asked for a gate.
func TestScanIsAdvisory(t *testing.T) {
	out := t.TempDir()
	for _, kind := range []string{"static", "media", "preprocess", "depth"} {
		if err := os.WriteFile(filepath.Join(out, kind), []byte("r/"+kind+"@sha256:1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environment := []string{"OUT=" + out, "GO_IMAGE=golang:1", "SCANNER_IMAGE=grype:1"}
	bill := rule{Program: "docker", Match: "imagetools inspect", Stdout: "{}\n"}
	broken := []rule{bill, {Program: "docker", Match: "run", Exit: 125, Stderr: "429 Too Many Requests\n"}}
	run(t, broken, environment, "infra/docker/scan.sh", "").ended(t, 0, "no scan")
	run(t, broken, environment, "infra/docker/scan.sh", "critical").ended(t, 1, "_FAIL_ON=critical")
	run(t, []rule{{Program: "docker", Match: "", Exit: 1}}, environment, "infra/docker/scan.sh", "").ended(t, 0, "no scan")

	o := run(t, []rule{bill}, environment, "infra/docker/scan.sh", "high")
	o.ended(t, 0)
	for _, distribution := range []string{"--distro debian:13", "--distro debian:unstable"} {
		if len(o.called("grype:1", distribution, "--fail-on high")) == 0 {
			t.Errorf("nothing is looked up for %s", distribution)
		}
	}
	if n := len(o.called("golang:1", "govulncheck", "-mode=binary")); n != 2 {
		t.Errorf("the programs of %d images are looked at, want static's and depth's", n)
	}

	if err := os.WriteFile(filepath.Join(out, "train-cuda"), []byte("r/train-cuda@sha256:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o = run(t, []rule{bill}, environment, "infra/docker/scan.sh", "high"); len(o.called("docker create r/train-cuda@sha256:1")) != 1 {
		t.Errorf("the programs of train-cuda are not looked at: %q", o.Calls)
	}
}

// TestKept: digests and providers of a deployment are kept, what runs is tagged, and an earlier build's are found again.
func TestKept(t *testing.T) {
	environment := []string{"STATE=gs://s/splatworks/dev", "OUT=" + t.TempDir(), "PROJECT_ID=p", "_REGION=r"}
	o := run(t, nil, environment, "terraform/build/kept.sh", "fetch", "dev")
	o.ended(t, 0)
	o.inOrder(t, "storage cp gs://s/splatworks/dev/settings.tfvars environments/dev.settings.tfvars", "storage cp gs://s/splatworks/dev/lock.hcl .terraform.lock.hcl")

	o = run(t, []rule{{Program: "gcloud", Match: "storage ls gs://s/splatworks/dev/images/b0.json", Exit: 1}, {Program: "gcloud", Match: "storage ls gs://s/splatworks/dev/images/", Stdout: "gs://s/splatworks/dev/images/b7.json\n"}},
		append(environment, "IMAGES=b0"), "terraform/build/kept.sh", "fetch", "dev")
	o.ended(t, 1, "no deployment of dev was made by build b0; there are: b7")

	o = run(t, nil, append(environment, "IMAGES=b7"), "terraform/build/kept.sh", "fetch", "dev")
	o.ended(t, 0)
	if len(o.called("storage cp gs://s/splatworks/dev/images/b7.json", "kept.json")) != 1 {
		t.Errorf("the digests of b7 are not fetched: %q", o.Calls)
	}
}

// TestWhatRunsIsTagged runs the last step of a build after the one that wrote the images.
func TestWhatRunsIsTagged(t *testing.T) {
	out := t.TempDir()
	for name, content := range map[string]string{"engine": "vm", "runtime": "cuda", "training": "cuda", "depth.runtime": "cuda", "static": "r/static@sha256:1", "media": "r/media@sha256:2", "preprocess": "r/preprocess@sha256:3", "depth": "r/depth@sha256:4", "train": "r/train@sha256:5", "train-cuda": "r/train-cuda@sha256:8", "valkey": "r/valkey@sha256:6", "base.GO_IMAGE": "golang@sha256:7"} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(t.TempDir(), "steps.sh")
	if err := os.WriteFile(script, []byte("set -eu\nterraform/build/images.sh write\ncat terraform/build.auto.tfvars.json\nexec terraform/build/kept.sh keep b1 splat\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := run(t, nil, []string{"STATE=gs://s/splatworks/dev", "OUT=" + out, "PROJECT_ID=p", "_REGION=r"}, script)
	o.ended(t, 0, `"depth_runtime": "cuda"`, `"train": "r/train@sha256:5"`, "IMAGES=b1")
	for _, kind := range []string{"static", "media", "preprocess", "depth", "train", "train-cuda", "valkey"} {
		if len(o.called("docker tags add r/"+kind+"@sha256:", "r/"+kind+":running-splat")) != 1 {
			t.Errorf("%s is not tagged as running", kind)
		}
	}
	o.inOrder(t, "images/b1.json", "images/latest.json", "lock.hcl", "images/bases/b1/")
	bootstrap := text(t, "terraform", "bootstrap", "main.tf")
	if !strings.Contains(bootstrap, `tag_prefixes = ["running-"]`) || !strings.Contains(bootstrap, `repository_id = "splatworks-cache"`) {
		t.Error("the registry's clean-up does not spare what is tagged as running, or the cache is among the images")
	}
}
