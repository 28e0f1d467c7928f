package deployment

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/depth"
	"github.com/splatworks/splatworks/services/export"
	"github.com/splatworks/splatworks/services/filter"
	"github.com/splatworks/splatworks/services/preprocess"
	"github.com/splatworks/splatworks/services/train"
)

// resource is one resource of a plan, as terraform show -json prints it.
type resource struct {
	Address string
	Type    string
	Values  json.RawMessage
}

type module struct {
	Resources    []resource
	ChildModules []module `json:"child_modules"`
}

func (m module) all() []resource {
	found := slices.Clone(m.Resources)
	for _, child := range m.ChildModules {
		found = append(found, child.all()...)
	}
	return found
}

// TestTerraform runs terraform/check.sh (format, linter, validate, plan, terraform test) and looks at the plans it made.
func TestTerraform(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	plans := t.TempDir()
	check := exec.Command("sh", filepath.Join("..", "..", "terraform", "check.sh"))
	check.Env = append(os.Environ(), "PLANS="+plans)
	out, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("terraform/check.sh: %v\n%s", err, out)
	}
	if _, reason, skipped := strings.Cut(string(out), "SKIP: "); skipped {
		t.Skip(strings.TrimSpace(reason))
	}
	t.Logf("%s", out)

	var every [][]resource
	for _, environment := range []string{"dev", "prod"} {
		resources := readPlan(t, filepath.Join(plans, environment+".json"))
		t.Run(environment+"/grants are the documented ones", func(t *testing.T) { grantsAreDocumented(t, resources) })
		t.Run(environment+"/programs get what they require", func(t *testing.T) { programsGetWhatTheyRequire(t, resources) })
		t.Run(environment+"/nothing is public", func(t *testing.T) { nothingIsPublic(t, resources) })
		t.Run(environment+"/stages are the pipeline's", func(t *testing.T) { stagesAreThePipelines(t, resources) })
		t.Run(environment+"/services are ready before they are called", func(t *testing.T) { servicesAreProbed(t, resources) })
		for _, engine := range []string{"redis", "valkey", "vm", "url"} {
			every = append(every, readPlan(t, filepath.Join(plans, environment+"-"+engine+".json")))
			t.Run(environment+"/"+engine+"/accounts and grants wait for no store", func(t *testing.T) {
				nothingSmallWaitsForTheStore(t, readGraph(t, filepath.Join(plans, environment+"-"+engine+".dot")))
			})
		}
	}
	t.Run("the deployer may make everything", func(t *testing.T) { deployerMayMake(t, every) })
	t.Run("Google's accounts come before their grants", func(t *testing.T) {
		agentsBeforeGrants(t, readGraph(t, filepath.Join(plans, "bootstrap.dot")))
	})
}

func readPlan(t *testing.T, path string) []resource {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		PlannedValues struct {
			RootModule module `json:"root_module"`
		} `json:"planned_values"`
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	resources := plan.PlannedValues.RootModule.all()
	if len(resources) < 80 {
		t.Fatalf("%s has only %d resources", path, len(resources))
	}
	return resources
}

func decode[T any](t *testing.T, r resource) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.Values, &v); err != nil {
		t.Fatalf("%s: %v", r.Address, err)
	}
	return v
}

// grant is an IAM member resource of any kind: one of the target fields is set.
type grant struct {
	Member, Role                string
	Bucket, Topic, Subscription string
	SecretID                    string `json:"secret_id"`
	ServiceAccountID            string `json:"service_account_id"`
	Name                        string
	Project                     string
	Condition                   []struct{ Title string }
}

// on names what is granted, as the table in the docs does.
func (g grant) on(kind string) string {
	var target string
	switch kind {
	case "google_project_iam_member":
		target = "project"
	case "google_storage_bucket_iam_member":
		target = "bucket " + regexp.MustCompile(`^.*-splatworks-`).ReplaceAllString(g.Bucket, "")
	case "google_pubsub_topic_iam_member":
		target = "topic " + strings.TrimPrefix(g.Topic, "splatworks-")
	case "google_secret_manager_secret_iam_member":
		target = "secret " + strings.TrimPrefix(g.SecretID, "splatworks-")
	case "google_cloud_run_v2_service_iam_member":
		target = "service " + strings.TrimPrefix(g.Name, "splatworks-")
	case "google_cloud_run_v2_job_iam_member":
		target = "job " + strings.TrimPrefix(g.Name, "splatworks-")
	case "google_service_account_iam_member":
		target = "account " + strings.TrimPrefix(accountOf(g.ServiceAccountID), "splatworks-")
	case "google_artifact_registry_repository_iam_member":
		target = "repository"
	default:
		target = kind
	}
	for _, c := range g.Condition {
		target += ", only " + c.Title
	}
	return target
}

// accountOf is the account's id in a member, an address or a resource name.
func accountOf(s string) string {
	s = s[strings.LastIndexAny(s, ":/")+1:]
	id, _, _ := strings.Cut(s, "@")
	return id
}

func grantsAreDocumented(t *testing.T, resources []resource) {
	planned := map[string]string{}
	machine := false // the queue's own, whose account is documented and not always there
	for _, r := range resources {
		machine = machine || r.Type == "google_compute_instance"
		if !strings.Contains(r.Type, "_iam_") || closesToBasicRoles(t, r) {
			continue
		}
		if !strings.HasSuffix(r.Type, "_iam_member") {
			t.Errorf("%s: only single grants (..._iam_member) may be made: others overwrite what they do not know", r.Address)
			continue
		}
		g := decode[grant](t, r)
		if !strings.HasPrefix(g.Member, "serviceAccount:splatworks-") {
			continue // people, and Google's own agents
		}
		planned[fmt.Sprintf("%s | %s | %s", strings.TrimPrefix(accountOf(g.Member), "splatworks-"), g.Role, g.on(r.Type))] = r.Address
	}
	documented := documentedGrants(t)
	for g, address := range planned {
		if !documented[g] {
			t.Errorf("%s grants what the table in docs/operations.md does not have: %s", address, g)
		}
	}
	for g := range documented {
		if planned[g] == "" && (machine || !strings.HasPrefix(g, "queue |")) {
			t.Errorf("the table in docs/operations.md has a grant that is not planned: %s", g)
		}
	}
}

// closesToBasicRoles: an empty binding takes away what a new bucket gives to the project's Viewers and Editors, and is the one
// binding that may is beside single grants.
func closesToBasicRoles(t *testing.T, r resource) bool {
	if r.Type != "google_storage_bucket_iam_binding" {
		return false
	}
	binding := decode[struct {
		Role    string
		Members []string
	}](t, r)
	return strings.HasPrefix(binding.Role, "roles/storage.legacy") && len(binding.Members) == 0
}

// documentedGrants reads the rows "| `account` | `role` | on | why |" of docs/operations.md. STAGE stands for every stage,
// NEXT for the one after it.
func documentedGrants(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	grants := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[2], "roles/") {
			continue
		}
		row := make([]string, 3)
		for i := range row {
			row[i] = strings.Trim(cells[i+1], " `")
		}
		pattern := strings.Join(row, " | ")
		if !strings.Contains(pattern, "STAGE") && !strings.Contains(pattern, "NEXT") {
			grants[pattern] = true
			continue
		}
		for _, stage := range pipeline.Stages() {
			next, more := stage.Next()
			if !more && strings.Contains(pattern, "NEXT") {
				continue
			}
			grants[strings.NewReplacer("STAGE", string(stage), "NEXT", string(next)).Replace(pattern)] = true
		}
	}
	if len(grants) < 20 {
		t.Fatalf("only %d grants found in docs/operations.md", len(grants))
	}
	return grants
}

type container struct {
	Image string
	Env   []struct{ Name, Value string }
}

type runResource struct {
	Name     string
	Template []struct {
		Containers []container
		Template   []struct {
			Containers []container
			MaxRetries int `json:"max_retries"`
			Timeout    string
		}
	}
}

func (r runResource) container() container {
	if len(r.Template[0].Template) > 0 {
		return r.Template[0].Template[0].Containers[0]
	}
	return r.Template[0].Containers[0]
}

func programsGetWhatTheyRequire(t *testing.T, resources []resource) {
	known := namesInConfig(reflect.TypeFor[app.Config](), "")
	programs := 0
	for _, r := range resources {
		if r.Type != "google_cloud_run_v2_service" && r.Type != "google_cloud_run_v2_job" {
			continue
		}
		programs++
		set := map[string]bool{}
		for _, variable := range decode[runResource](t, r).container().Env {
			set[variable.Name] = true
			if _, ours := known[variable.Name]; !ours && notOurs[variable.Name] == "" {
				t.Errorf("%s sets %s, which no program reads", r.Address, variable.Name)
			}
		}
		for name, required := range known {
			if required && !set[name] {
				t.Errorf("%s lacks %s, without which the program does not start", r.Address, name)
			}
		}
	}
	if want := 2*len(pipeline.Stages()) + 3; programs != want {
		t.Errorf("%d services and jobs planned, want %d", programs, want)
	}
}

func nothingIsPublic(t *testing.T, resources []resource) {
	for _, r := range resources {
		if r.Type == "google_cloud_run_v2_service" && decode[struct {
			Unchecked bool `json:"invoker_iam_disabled"`
		}](t, r).Unchecked {
			t.Errorf("%s checks no token", r.Address)
		}
		if strings.HasSuffix(r.Type, "_iam_member") {
			if g := decode[grant](t, r); strings.HasPrefix(g.Member, "all") {
				t.Errorf("%s grants to %s", r.Address, g.Member)
			}
		}
	}
}

// continues is the stage with which a worker's program continues on its machine.
var continues = map[pipeline.Stage]pipeline.Stage{pipeline.Filter: pipeline.Preprocess, pipeline.Train: pipeline.Export}

// startMargin is what a worker may need before its first claim.
const startMargin = time.Minute

// stagesAreThePipelines compares the map in terraform with the order in Go, and the time a job has with what its stage
// needs: a worker with less time left than one task may take claims nothing.
func stagesAreThePipelines(t *testing.T, resources []resource) {
	jobs := map[string]time.Duration{}
	manifests := map[string][]string{} // stage to the inboxes its worker may write
	for _, r := range resources {
		switch r.Type {
		case "google_cloud_run_v2_job":
			job := decode[runResource](t, r)
			task := job.Template[0].Template[0]
			if task.MaxRetries != 0 {
				t.Errorf("%s retries", r.Address)
			}
			limit, err := time.ParseDuration(task.Timeout)
			if err != nil {
				t.Errorf("%s: %v", r.Address, err)
			}
			jobs[strings.TrimPrefix(job.Name, "splatworks-")] = limit
		case "google_storage_bucket_iam_member":
			if g := decode[grant](t, r); g.Role == "roles/storage.objectCreator" {
				worker, is := strings.CutSuffix(accountOf(g.Member), "-worker")
				if is {
					worker = strings.TrimPrefix(worker, "splatworks-")
					manifests[worker] = append(manifests[worker], regexp.MustCompile(`^.*-splatworks-(.*)-inbox$`).ReplaceAllString(g.Bucket, "$1"))
				}
			}
		}
	}
	for _, stage := range pipeline.Stages() {
		if jobs[string(stage)] == 0 {
			t.Errorf("stage %s has no job", stage)
		}
		var next []string
		for _, s := range []pipeline.Stage{stage, continues[stage]} {
			if following, more := s.Next(); more {
				next = append(next, string(following))
			}
		}
		if wrote := manifests[string(stage)]; !slices.Equal(slices.Sorted(slices.Values(wrote)), slices.Sorted(slices.Values(next))) {
			t.Errorf("the worker of %s hands over to %q, the pipeline to %q", stage, wrote, next)
		}
		if longer := jobs[string(continues[stage])]; jobs[string(stage)] < longer {
			t.Errorf("the job of %s ends after %v, and it continues with %s, whose own may take %v", stage, jobs[string(stage)], continues[stage], longer)
		}
	}
	for _, definition := range []stage.Definition{filter.Stage(filter.Config{}), preprocess.Stage(preprocess.Config{}), depth.Stage(depth.Config{}), train.Stage(train.Config{}), export.Stage(export.Config{})} {
		if limit := jobs[string(definition.Stage)]; limit < definition.Budget+startMargin {
			t.Errorf("the job of %s ends after %v, one task may take %v: with less than that left a worker claims nothing", definition.Stage, limit, definition.Budget)
		}
	}
	if len(jobs) != len(pipeline.Stages()) {
		t.Errorf("%d jobs for %d stages", len(jobs), len(pipeline.Stages()))
	}
}
